"""The local engine: every clip gets its rows, whatever becomes of the workers."""

from __future__ import annotations

import errno
import os
import resource
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest
import torch

from seats.batch.jobs import Asked, Finished, Job, Made, Said, Started
from seats.batch.local import LocalEngine, devices_for
from seats.batch.settings import Setup
from seats.batch.worker import slots
from seats.children import Child
from seats.errors import ModelError, SettingsError
from tests.media.make import write_clip

ASKED = (Asked("1", "what ?"), Asked("2", "who ?"))


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    folder = tmp_path_factory.mktemp("clips")
    clip = write_clip(folder / "0.mp4", frames=20, rate=10)
    for n in range(1, 12):
        (folder / f"{n}.mp4").write_bytes(clip.read_bytes() if n % 5 else b"no clip")
    return [Job(str(folder / f"{n}.mp4"), ASKED) for n in range(12)]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def blameless(engine: LocalEngine) -> int | None:
    """A worker whose model is busy, and which has no clip over which one was lost before: twice gives a clip up."""
    for worker in engine._workers:
        if worker.model_at in worker.tickets and not any(ticket.tries for ticket in worker.tickets.values()):
            return worker.child.process.pid
    return None


@pytest.mark.slow
def test_lost_workers_cost_no_row(setup: Setup, jobs: list[Job]) -> None:
    made: Counter[tuple[str, str]] = Counter()
    finished: Counter[str] = Counter()
    said: list[str] = []
    kills = 0
    with LocalEngine(setup, ["cpu", "cpu"]) as engine:
        for event in engine.events(jobs, threading.Event()):
            if isinstance(event, Made):
                made[event.job.clip, event.asked.id] += 1
                broken = event.job.clip in (jobs[5].clip, jobs[10].clip)  # with however many questions
                assert event.row["status"] == ("error" if broken else "ok"), event.row
                if not kills and len(made) >= 5 and (pid := blameless(engine)):
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
            elif isinstance(event, Finished):
                finished[event.job.clip] += 1
                assert event.complete
            elif isinstance(event, Said):
                said.append(event.text)
        pids = [worker.child.process.pid for worker in engine._workers]
    assert kills == 1
    assert made == Counter({(job.clip, asked.id): 1 for job in jobs for asked in ASKED})
    assert finished == Counter({job.clip: 1 for job in jobs})
    assert said[0] == "a worker was lost (SIGKILL); starting another"
    assert not any(map(alive, pids))


def start_broken_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Child.start
    monkeypatch.setattr(
        "seats.batch.local.Child.start", lambda _, quiet: start("tests.batch.broken_worker", quiet=quiet)
    )


@pytest.mark.slow
def test_a_clip_that_kills_its_worker_costs_only_itself(
    setup: Setup, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    start_broken_workers(monkeypatch)
    good = Path(jobs[0].clip)
    deadly = good.with_name("deadly.mp4")
    deadly.write_bytes(good.read_bytes())
    six = [jobs[0], jobs[1], Job(str(deadly), ASKED), jobs[2], jobs[3], jobs[4]]
    rows: dict[tuple[str, str], str] = {}
    with LocalEngine(setup, ["cpu"]) as engine:
        for event in engine.events(six, threading.Event()):
            if isinstance(event, Made):
                assert (event.job.clip, event.asked.id) not in rows
                rows[event.job.clip, event.asked.id] = event.row["error"]["message"] if "error" in event.row else "ok"
    assert {clip for (clip, _), said in rows.items() if said == "ok"} == {job.clip for job in six} - {str(deadly)}
    assert len(rows) == 12
    assert "the worker was lost over it 2 times (SIGKILL)" in rows[str(deadly), "1"]


def test_leaving_ends_a_worker_at_once_also_one_that_is_loading(setup: Setup) -> None:
    with LocalEngine(setup, ["cpu"]) as engine:
        pid = engine._workers[0].child.process.pid
        assert alive(pid)
    assert not alive(pid)


@pytest.mark.slow
def test_stopping(setup: Setup, jobs: list[Job]) -> None:
    stop = threading.Event()
    rows = complete = 0
    with LocalEngine(setup, ["cpu"]) as engine:
        for event in engine.events(jobs, stop):
            if isinstance(event, Started):
                stop.set()
            rows += isinstance(event, Made)
            complete += isinstance(event, Finished) and event.complete
        assert [worker.slots for worker in engine._workers] == [slots(setup)]
    assert 1 <= rows <= 4
    assert complete <= 2
    with LocalEngine(setup, ["cpu"]) as engine:  # while the model is loading
        assert list(engine.events(jobs, stop)) == []


@pytest.mark.slow
def test_what_a_worker_refuses_is_raised_here(setup: Setup, jobs: list[Job]) -> None:
    with LocalEngine(setup, ["warp"]) as engine, pytest.raises(SettingsError, match="warp"):
        list(engine.events(jobs, threading.Event()))


@pytest.mark.slow
def test_a_decoder_that_does_not_start_stops_the_batch_and_blames_no_clip(
    setup: Setup, jobs: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'decoding_child' in sys.orig_argv[-1]:\n    os._exit(9)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("seats.batch.ledger._LOST_IN_A_ROW", 1)
    with LocalEngine(setup, ["cpu"]) as engine, pytest.raises(ModelError, match="decoder cannot be started"):
        assert not [event for event in engine.events(jobs, threading.Event()) if isinstance(event, Made)]


@pytest.mark.slow
def test_what_nobody_foresaw_in_a_worker_is_shown_and_ends_the_batch(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    start_broken_workers(monkeypatch)
    monkeypatch.setattr("seats.batch.ledger._LOST_IN_A_ROW", 1)
    jobs = [Job("hole.mp4", ASKED)]
    with LocalEngine(setup, ["cpu"]) as engine, pytest.raises(ModelError, match=r"1 times in a row \(exit code 1\)"):
        list(engine.events(jobs, threading.Event()))
    assert "IndexError: list index out of range" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(torch, "AcceleratorError"), reason="this torch has no such error")
def test_a_worker_whose_device_is_broken_is_lost_for_that(
    setup: Setup, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    start_broken_workers(monkeypatch)
    monkeypatch.setattr("seats.batch.ledger._LOST_IN_A_ROW", 1)
    clip = Path(jobs[0].clip).with_name("faulty.mp4")
    clip.write_bytes(Path(jobs[0].clip).read_bytes())
    with LocalEngine(setup, ["cpu"]) as engine, pytest.raises(ModelError, match=r"\(an error of its device\)"):
        list(engine.events([Job(str(clip), ASKED)], threading.Event()))


def test_a_worker_that_ends_while_it_loads_ends_the_batch(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    start_one_by_one(monkeypatch, "no_such_module")
    with LocalEngine(setup, ["cpu"]) as engine, pytest.raises(ModelError, match=r"loaded the model \(exit code 1\)"):
        list(engine.events([Job("a.mp4", ASKED)], threading.Event()))


def test_a_worker_that_cannot_be_started_again_is_tried_three_times(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_one_by_one(monkeypatch, "dying_worker", *["no_such_module"] * 3)
    said: list[str] = []

    def listen(engine: LocalEngine) -> None:
        for event in engine.events([Job("a.mp4", ASKED)], threading.Event()):
            assert isinstance(event, Said)
            said.append(event.text)

    with LocalEngine(setup, ["cpu"]) as engine, pytest.raises(ModelError, match="cannot be started again"):
        listen(engine)
    ends = ["exit code 9", "exit code 1", "exit code 1"]
    assert said == [f"a worker was lost ({end}); starting another" for end in ends]


def start_one_by_one(monkeypatch: pytest.MonkeyPatch, *modules: str) -> list[Child]:
    """Let workers run these instead, and after them none be started. Returns those that were."""
    left, start = iter(modules), Child.start
    started: list[Child] = []

    def start_next(_: str, *, quiet: bool) -> Child:
        module = next(left, None)
        if module is None:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        child = start(f"tests.batch.{module}", quiet=True)
        started.append(child)
        if module == "no_such_module":
            child.process.wait()  # it has ended before it is written to
        return child

    monkeypatch.setattr("seats.batch.local.Child.start", start_next)
    return started


def test_a_worker_in_the_place_of_a_lost_one_has_its_device(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    start_one_by_one(monkeypatch, "silent_worker", "dying_worker", "ready_worker")
    with LocalEngine(setup, ["cuda:0", "cuda:1"]) as engine:
        events = list(engine.events([Job("a.mp4", ASKED)], threading.Event()))
    assert [event.row["device"] for event in events if isinstance(event, Made)] == ["cuda:1"] * 2


def test_the_clip_in_the_model_is_to_blame_and_not_the_one_that_came_first(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_one_by_one(monkeypatch, "overtaking_worker", "overtaking_worker", "ready_worker")
    jobs = [Job(name, ASKED) for name in ("a.mp4", "b.mp4")]
    with LocalEngine(setup, ["cpu"]) as engine:
        events = list(engine.events(jobs, threading.Event()))
    failed = {(event.job.clip, "error" in event.row) for event in events if isinstance(event, Made)}
    assert failed == {("a.mp4", False), ("b.mp4", True)}


def test_a_clip_is_not_to_blame_where_a_decoder_cannot_be_started(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_one_by_one(monkeypatch, "decoderless_worker", "decoderless_worker", "ready_worker")
    with LocalEngine(setup, ["cpu"]) as engine:
        events = list(engine.events([Job("a.mp4", ASKED)], threading.Event()))
    assert ["error" in event.row for event in events if isinstance(event, Made)] == [False, False]


def test_without_a_worker_that_cannot_be_started_again_the_others_go_on(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_one_by_one(monkeypatch, "dying_worker", "ready_worker", *["no_such_module"] * 3)
    said: list[str] = []
    with LocalEngine(setup, ["cpu", "cpu"]) as engine:
        for event in engine.events([Job("slow.mp4", ASKED)] * 2, threading.Event()):
            if isinstance(event, Said):
                said.append(event.text)
            if said and "going on" in said[-1]:
                break
    assert said[-1] == "a worker cannot be started again (exit code 1); going on with 1"


def test_a_worker_that_is_lost_after_stopping_is_not_replaced(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    started = start_one_by_one(monkeypatch, "ready_worker")
    stop = threading.Event()
    events = []
    with LocalEngine(setup, ["cpu"]) as engine:
        for event in engine.events([Job("slow.mp4", ASKED)], stop):
            events.append(type(event))
            if isinstance(event, Started):
                stop.set()
                started[0].process.kill()
    assert events == [Said, Started]


def test_workers_say_the_same_so_only_one_is_heard(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    start_one_by_one(monkeypatch, "ready_worker", "ready_worker")
    said: list[str] = []
    answered: set[str] = set()

    with LocalEngine(setup, ["cpu", "cpu:0"]) as engine:
        for event in engine.events([Job("a.mp4", ASKED)] * 50_000, threading.Event()):
            if isinstance(event, Said):
                said.append(event.text)
            elif isinstance(event, Made):
                answered.add(event.row["device"])
            if len(answered) == 2:
                break
    assert said == ["a remark"]


@pytest.mark.parametrize("workers", [2, 3])
def test_no_worker_waits_while_another_has_several_clips(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    start_one_by_one(monkeypatch, *["greedy_worker"] * workers)
    begun: set[int] = set()
    with LocalEngine(setup, ["cpu"] * workers) as engine:
        for event in engine.events([Job("slow.mp4", ASKED)] * workers, threading.Event()):
            assert isinstance(event, Started)
            begun = {number for worker in engine._workers for number in worker.tickets}
            most = max(len(worker.tickets) for worker in engine._workers)
            assert most == 1
            if len(begun) == workers:
                break
    assert len(begun) == workers


def test_where_a_second_worker_cannot_be_started_the_first_is_ended(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = start_one_by_one(monkeypatch, "ready_worker")
    with pytest.raises(ModelError, match=r"cannot be started .*--workers"):
        LocalEngine(setup, ["cpu", "cpu"]).__enter__()
    assert [child.process.poll() for child in started] == [-signal.SIGKILL]


def test_a_machine_without_room_for_a_worker_says_so(setup: Setup) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open() as first_free:
        resource.setrlimit(resource.RLIMIT_NOFILE, (first_free.fileno(), hard))
        try:
            with pytest.raises(ModelError, match=r"cannot be started \(Too many open files\): .*--workers"):
                LocalEngine(setup, ["cpu"]).__enter__()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seats.batch.local.gpu_driver_here", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert devices_for("auto", None) == ["cuda:0", "cuda:1"]
    assert devices_for("cuda", 3) == ["cuda:0", "cuda:1", "cuda:0"]
    assert devices_for("cuda:1", None) == ["cuda:1"]
    assert devices_for("cpu", 2) == ["cpu", "cpu"]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert devices_for("auto", None) == ["auto"]
