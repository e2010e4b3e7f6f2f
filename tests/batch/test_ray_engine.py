"""The Ray engine on a cluster that runs already: relative paths, a lost actor, and stopping."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seats.batch.jobs import Asked, Finished, Job, Made, Said
from seats.batch.ledger import Ledger, Ticket
from seats.batch.ray_engine import RayEngine, RayWorker, _Actor
from seats.batch.settings import Setup
from seats.batch.worker import slots
from seats.errors import ModelError, SeatsError, SettingsError
from seats.models.checkpoint import Checkpoint
from tests.media.make import write_clip

ray = pytest.importorskip("ray")
ASKED = (Asked("1", "what ?"), Asked("2", "who ?"))
LOST = "a Ray actor was lost; its clips go to others, and another is asked for"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster whose processes begin in another folder."""
    from ray.cluster_utils import Cluster

    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    os.environ.setdefault("RAY_worker_niceness", "0")  # else a machine with other work on it runs into the timeout
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    os.chdir(before)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    clip = write_clip(folder / "0.mp4", frames=20, rate=10)
    for n in range(1, 12):
        (folder / f"{n}.mp4").write_bytes(clip.read_bytes() if n % 5 else b"no clip")
    return folder


class SecondWorker(RayWorker):
    """Only the first to come loads its model; the next one dies of it, those after it load."""

    def load(self, setup: Setup, folder: str) -> int:
        marks = Path(setup.model.checkpoint.folder).parent / "marks"
        marks.mkdir(exist_ok=True)
        for n in range(9):
            try:
                (marks / str(n)).touch(exist_ok=False)
            except FileExistsError:
                continue
            if n == 1:
                while len(list(marks.iterdir())) < 3:  # until the first is at work
                    time.sleep(0.05)
                os.kill(os.getpid(), signal.SIGKILL)
            break
        slots = super().load(setup, folder)
        (marks / f"loaded {n}").touch()
        return slots


@pytest.mark.slow
def test_rows_by_a_cluster_that_loses_an_actor_while_it_loads(
    setup: Setup, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr("seats.batch.ray_engine.RayWorker", SecondWorker)
    monkeypatch.chdir(folder)
    jobs = [Job(f"{n}.mp4", ASKED) for n in range(12)]
    made: Counter[tuple[str, str]] = Counter()
    finished: Counter[str] = Counter()
    said: list[str] = []
    stop = threading.Event()
    with RayEngine(setup, 2, address) as engine:
        for event in engine.events(jobs, stop):
            if isinstance(event, Made):
                if not made and not said:  # the loss is told before all are done
                    ray.wait([actor.ready for actor in engine._actors if not actor.slots], timeout=100)
                made[event.job.clip, event.asked.id] += 1
                broken = event.job.clip in (jobs[5].clip, jobs[10].clip)  # with however many questions
                assert event.row["status"] == ("error" if broken else "ok"), event.row
            elif isinstance(event, Finished):
                finished[event.job.clip] += 1
                assert event.complete
            elif isinstance(event, Said):
                said.append(event.text)
        assert made == Counter({(job.clip, asked.id): 1 for job in jobs for asked in ASKED})
        assert finished == Counter({job.clip: 1 for job in jobs})
        assert said == [LOST]

        rows = 0
        for event in engine.events(jobs, stop):
            if isinstance(event, Made):
                rows += 1
                stop.set()
    assert 1 <= rows < 24


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_is_told(setup: Setup, address: str, tmp_path: Path) -> None:
    gone = replace(setup, model=replace(setup.model, checkpoint=Checkpoint("gone", tmp_path)))
    with RayEngine(gone, 1, address) as engine, pytest.raises(ModelError):
        list(engine.events([Job("a.mp4", ASKED)], threading.Event()))


class DeadlyWorker(RayWorker):
    """Dies of clips that are called so, when the model turns to them."""

    def load(self, setup: Setup, folder: str) -> int:
        slots = super().load(setup, folder)
        answer = self._worker._answer

        def answer_or_die(path: str, *rest: Any) -> Any:
            time.sleep(0.5)  # so that others have been decoded meanwhile
            if "deadly" in path:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer(path, *rest)

        self._worker._answer = answer_or_die  # type: ignore[method-assign]
        return slots


@pytest.mark.slow
def test_a_clip_that_kills_its_actor_costs_only_itself(
    setup: Setup, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr("seats.batch.ray_engine.RayWorker", DeadlyWorker)
    deadly = folder / "deadly.mp4"
    deadly.write_bytes((folder / "0.mp4").read_bytes())
    paths = [folder / "0.mp4", deadly, folder / "1.mp4", folder / "2.mp4"]
    rows: dict[tuple[str, str], str] = {}
    finished: Counter[str] = Counter()
    said: list[str] = []
    with RayEngine(setup, 1, address) as engine:
        for event in engine.events([Job(str(path), ASKED) for path in paths], threading.Event()):
            if isinstance(event, Made):
                assert (event.job.clip, event.asked.id) not in rows
                rows[event.job.clip, event.asked.id] = event.row["error"]["message"] if "error" in event.row else "ok"
            elif isinstance(event, Finished):
                finished[event.job.clip] += 1
                assert event.complete
            elif isinstance(event, Said):
                said.append(event.text)
    assert {clip for (clip, _), said in rows.items() if said == "ok"} == {str(path) for path in paths if path != deadly}
    assert len(rows) == 8
    assert "the worker was lost over it 3 times" in rows[str(deadly), "1"]
    assert finished == Counter(map(str, paths))
    assert said == [LOST] * 3


def test_relative_paths_mean_something_only_where_the_folder_is(
    setup: Setup, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # which the worker changes
    worker = RayWorker()
    assert worker.load(setup, str(folder)) == slots(setup)
    (made,) = (event for event in worker.run(Job("0.mp4", ASKED[:1])) if isinstance(event, Made))
    assert made.row["status"] == "ok"
    worker.stop()
    elsewhere = RayWorker()
    elsewhere.load(setup, str(tmp_path / "gone"))
    with pytest.raises(SettingsError, match=r"gone is not there on .*, and 0\.mp4 is relative to it"):
        elsewhere.run(Job("0.mp4", ASKED[:1]))
    job = Job(str(folder / "0.mp4"), ASKED[:1])
    assert elsewhere.run(job)[-1] == Finished(job, complete=True)
    elsewhere.stop()


def test_a_suspect_is_alone_on_its_actor() -> None:
    ledger = Ledger([Job("a.mp4", ASKED), Job("b.mp4", ASKED)], "s")
    loading, busy, free = _Actor(None, None), _Actor(None, None, slots=2), _Actor(None, None, slots=2)
    busy.tickets["one"] = Ticket(Job("c.mp4", ASKED))
    assert [actor.takes(ledger, 2) for actor in (loading, busy, free)] == [False, True, True]
    assert [actor.takes(ledger, 1) for actor in (loading, busy, free)] == [False, False, True]
    first = ledger.next()
    assert first is not None
    list(ledger.blame(first, "lost"))
    assert [actor.takes(ledger, 2) for actor in (loading, busy, free)] == [False, False, True]
    suspect = ledger.next()
    assert suspect is not None
    free.tickets["two"] = suspect
    assert [actor.takes(ledger, 2) for actor in (loading, busy, free)] == [False, True, False]


def test_stopping_before_an_actor_is_ready_ends_at_once(setup: Setup) -> None:
    stop = threading.Event()
    stop.set()
    assert list(RayEngine(setup, 2).events([Job("a.mp4", ASKED)], stop)) == []


def test_one_gpu_by_its_number_is_refused(setup: Setup) -> None:
    with pytest.raises(SettingsError, match="--device cuda:1: Ray gives each worker a GPU; choose cuda"):
        RayEngine(replace(setup, model=replace(setup.model, device="cuda:1")), 2)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:70000"])
def test_no_cluster(setup: Setup, address: str) -> None:
    began = time.monotonic()
    with pytest.raises(SeatsError, match=f"Ray cannot be reached at {address}"), RayEngine(setup, 1, address):
        pass
    assert time.monotonic() - began < 20  # Ray itself tries for minutes
