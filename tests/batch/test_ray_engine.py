"""The Ray engine on a cluster that runs already: relative paths, a lost actor, and stopping."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from seats.batch.jobs import Asked, Finished, Job, Made, Said
from seats.batch.ray_engine import RayEngine
from seats.batch.settings import Setup
from seats.errors import ModelError, SeatsError
from seats.models.checkpoint import Checkpoint
from tests.media.make import write_clip

ray = pytest.importorskip("ray")
ASKED = (Asked("1", "what ?"), Asked("2", "who ?"))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster whose processes begin in another folder."""
    from ray.cluster_utils import Cluster

    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
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


@pytest.mark.slow
def test_rows_by_a_cluster(
    setup: Setup, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(folder)
    jobs = [Job(f"{n}.mp4", ASKED) for n in range(12)]
    made: Counter[tuple[str, str]] = Counter()
    finished: Counter[str] = Counter()
    said: list[str] = []
    killed = None
    with RayEngine(setup, 2, address) as engine:
        for event in engine.events(jobs, threading.Event()):
            if isinstance(event, Made):
                made[event.job.clip, event.asked.id] += 1
                assert event.row["status"] == ("error" if event.job in (jobs[5], jobs[10]) else "ok"), event.row
                if killed is None and len(made) >= 4:
                    killed = next(a for a in engine._actors if a.tickets)
                    pid = ray.get(killed.handle.__ray_call__.remote(lambda _: os.getpid()))
                    os.kill(pid, signal.SIGKILL)
            elif isinstance(event, Finished):
                finished[event.job.clip] += 1
                assert event.complete
            elif isinstance(event, Said):
                said.append(event.text)
    assert killed is not None
    assert said == ["a Ray actor was lost; its clips go to others, and another is asked for"]
    assert made == Counter({(job.clip, asked.id): 1 for job in jobs for asked in ASKED})
    assert finished == Counter({job.clip: 1 for job in jobs})

    stop = threading.Event()
    rows = 0
    with RayEngine(setup, 1, address) as engine:
        for event in engine.events(jobs, stop):
            rows += isinstance(event, Made)
            stop.set()
    assert 1 <= rows < 24

    gone = replace(setup, model=replace(setup.model, checkpoint=Checkpoint("gone", tmp_path)))
    with RayEngine(gone, 1, address) as engine, pytest.raises(ModelError):
        list(engine.events(jobs, threading.Event()))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:70000"])
def test_no_cluster(setup: Setup, address: str) -> None:
    began = time.monotonic()
    with pytest.raises(SeatsError, match=f"Ray cannot be reached at {address}"), RayEngine(setup, 1, address):
        pass
    assert time.monotonic() - began < 20  # Ray itself tries for minutes
