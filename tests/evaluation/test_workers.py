import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import Pipe
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from seats.errors import ModelError, SeatsError
from seats.evaluation.qa import QAItem
from seats.evaluation.run import Evaluation, plan
from seats.evaluation.settings import Asking, Compared, named_settings, set_up
from seats.evaluation.workers import _alive, answer_all
from seats.inference.generate import Decoding
from seats.keep import Setting
from seats.media import load_clip
from seats.methods import Random
from seats.models.checkpoint import find_checkpoint
from seats.models.omni import load_model, model_shape
from tests.checkpoints import save_tiny_checkpoint
from tests.test_children import ended_within

SAMPLES = Path(__file__).parents[2] / "samples"
ITEMS = [QAItem(name, SAMPLES / name, "what ?", ("?",)) for name in ("simple.mp4", "silent.mp4", "sound-only.m4a")]


def test_a_worker_that_is_gone_when_it_is_to_get_a_clip_is_said():
    ours, theirs = Pipe()
    theirs.close()
    with pytest.raises(SeatsError, match="worker 1 ended unexpectedly, perhaps for lack of memory"), _alive("worker 1"):
        ours.send("a clip")


def start(folder):
    model = load_model(find_checkpoint(folder), device="cpu")
    return model, partial(load_clip, end_s=2.0, sampling=model.sampling)


def start_and_fail():
    raise ModelError("the weights are gone")


def start_and_die():
    import os

    os._exit(1)


@pytest.fixture
def folder(tmp_path):
    return str(save_tiny_checkpoint(tmp_path, "qwen2.5-omni"))


def ready(folder):
    asking = Asking(decoding=Decoding(max_new_tokens=2))
    methods = set_up(named_settings(["full", "random"], [10.0]), asking, model_shape(find_checkpoint(folder)))
    return Evaluation.of(methods, asking, {"name": "m"}, {})


@pytest.mark.slow
def test_workers_give_the_rows_that_one_process_gives(folder):
    evaluation = ready(folder)
    work = plan(ITEMS, evaluation, {}).work

    def rows(workers):
        found = answer_all(work, evaluation, partial(start, folder), workers)
        return {row.key: (row.answer, row.llm_flops, row.overall) for row in found}

    alone = rows(1)
    assert len(alone) == 6
    assert rows(2) == alone


@dataclass(frozen=True, eq=False)
class Learned(Random):
    """A method with weights of its own."""

    weights: torch.Tensor = field(default_factory=lambda: torch.ones(3))
    name: ClassVar[str] = "learned"

    def settings(self):
        return {"name": self.name}


@pytest.mark.slow
def test_a_method_can_hold_tensors(folder):
    setting = Setting("learned", 10.0)
    compared = Compared((setting,), {setting: Learned(0.1, 0.3)}, {})
    evaluation = Evaluation.of(compared, Asking(decoding=Decoding(max_new_tokens=2)), {"name": "m"}, {})
    rows = answer_all(plan(ITEMS, evaluation, {}).work, evaluation, partial(start, folder), 2)
    assert [row.status for row in rows] == ["answered"] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("begin", "error", "says"),
    [(start_and_fail, ModelError, "weights are gone"), (start_and_die, SeatsError, "--workers")],
)
def test_what_goes_wrong_in_a_worker_is_raised_here(folder, begin, error, says):
    evaluation = ready(folder)
    one = plan(ITEMS[:1], evaluation, {}).work  # for which one process of the two is started
    with pytest.raises(error, match=says):
        list(answer_all(one, evaluation, begin, 2))


def start_and_hang(pids):
    import time

    with pids.open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(1e6)


PARENT = """
import sys
from pathlib import Path
from functools import partial
from tests.evaluation.test_workers import ITEMS, answer_all, plan, ready, start_and_hang

evaluation = ready(sys.argv[1])
list(answer_all(plan(ITEMS, evaluation, {}).work, evaluation, partial(start_and_hang, Path(sys.argv[2])), 2))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_what_started_them_whatever_they_do(folder, tmp_path, number):
    pids = tmp_path / "pids"
    pids.touch()
    command = [sys.executable, "-c", PARENT, folder, str(pids)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as parent:
        until = time.monotonic() + 60
        while len(found := pids.read_text().split()) < 2:
            assert time.monotonic() < until
            assert parent.poll() is None
            time.sleep(0.05)
        parent.send_signal(number)
        assert all(ended_within(int(pid), 5) for pid in found)


def test_nothing_to_do_starts_nothing(folder):
    assert list(answer_all([], ready(folder), start_and_fail, 2)) == []
