import time
from types import SimpleNamespace

import pytest
import torch

from seats.costs import timers
from seats.costs.timers import StepTimer


def test_steps_add_up_under_their_names(monkeypatch):
    moments = iter([1.0, 1.5, 2.0, 2.25, 3.0, 3.0])
    monkeypatch.setattr(timers, "time", SimpleNamespace(perf_counter=lambda: next(moments)))
    timer = StepTimer()
    for _ in range(2):
        with timer.step("slow"):
            pass
    with timer.step("quick"):
        pass
    timer.add("elsewhere", 12.5)
    timer.add("elsewhere", 1)
    assert timer.ms() == {"slow": 750.0, "quick": 0.0, "elsewhere": 13.5}


def test_a_step_that_fails_is_counted_and_still_fails():
    timer = StepTimer("cpu")

    def work() -> None:
        with timer.step("broken"):
            time.sleep(0.02)
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert timer.ms()["broken"] >= 20


def test_a_device_without_events_is_waited_for_around_every_step(monkeypatch):
    happened = []
    monkeypatch.setattr(torch.mps, "synchronize", lambda: happened.append("wait"))
    timer = StepTimer("mps:0")
    for _ in range(2):
        with timer.step("work"):
            happened.append("work")
    assert happened == ["wait", "work", "wait"] * 2


def test_ms_is_a_copy():
    timer = StepTimer(torch.device("cpu"))
    timer.add("a", 1)
    timer.ms()["a"] = 5
    assert timer.ms() == {"a": 1}


def test_a_step_on_cuda_is_counted_once_however_often_it_is_asked_for(monkeypatch):
    moments = iter([1.0, 3.5])

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self, _stream):
            self.ms = next(moments)

        def synchronize(self):
            pass

        def elapsed_time(self, end):
            return end.ms - self.ms

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device: None)
    timer = StepTimer("cuda:0")
    with timer.step("work"):
        pass
    assert [timer.ms(), timer.ms()] == [{"work": 2.5}] * 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_cuda_steps_take_the_device_s_time_and_do_not_wait():
    timer, x = StepTimer("cuda:0"), torch.randn(4096, 4096, device="cuda:0")
    x @ x
    torch.cuda.synchronize()
    began = time.perf_counter()
    with timer.step("matmul"):
        for _ in range(200):
            x = x @ x
            x = x / x.norm()
    launched = 1e3 * (time.perf_counter() - began)
    torch.cuda.synchronize()
    whole = 1e3 * (time.perf_counter() - began)

    assert launched < 0.8 * whole
    assert 0.7 * whole < timer.ms()["matmul"] <= 1.1 * whole
    assert timer.ms() == timer.ms()  # events are counted once
