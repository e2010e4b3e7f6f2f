"""Good and bad clips through the command line: a row for each, and the answers that `ask` gives."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.batch_clips import measure
from seats.batch import worker as module
from seats.batch.decoding import Decoded
from seats.batch.jobs import Asked, Event, Finished, Job
from seats.batch.settings import ClipSettings, Setup
from seats.batch.worker import Worker, slots

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc")


@linux
@pytest.mark.slow
def test_rows_and_answers(tmp_path: Path) -> None:
    figures = measure(tmp_path, 18, 5, drawn=1)
    assert figures["faults"] == []
    assert figures["rows"] == 18
    assert figures["equal_to_ask"] == figures["answered"] == 13
    assert figures["failed"] == {"MediaError": 5}
    assert figures["different_answers"] > 1


@linux
@pytest.mark.slow
def test_rows_and_answers_when_a_ray_actor_is_lost(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    figures = measure(tmp_path, 12, 1, ray=True, kill_after=2)
    assert figures["faults"] == []
    assert figures["actor_killed_after_rows"] < 12
    assert figures["lost_workers_said"]
    assert figures["rows"] == 12
    assert figures["equal_to_ask"] == 11


@pytest.mark.parametrize(("decoding_s", "model_s"), [(0.05, 0.05), (0.02, 0.05), (0.05, 0.02)])
def test_decoding_goes_on_beside_the_model(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, decoding_s: float, model_s: float
) -> None:
    """With steps that only wait, so that other work on the machine does not matter."""
    clips = 20

    class Waiting:
        busy = threading.Lock()

        def __init__(self, _: int) -> None:
            pass

        def decode(self, path: str, settings: ClipSettings) -> Decoded:
            with self.busy:
                time.sleep(decoding_s)
            return Decoded(None, None, None)

        def close(self) -> None:
            pass

    def answer(_: Worker, path: str, left: tuple[Asked, ...], *rest: Any) -> list[Any]:
        time.sleep(model_s)
        tell_row: Callable[..., None] = rest[-1]
        for asked in left:
            tell_row(asked, {})
        return []

    monkeypatch.setattr(module, "Decoder", Waiting)
    monkeypatch.setattr(Worker, "_answer", answer)
    worker = Worker(setup)
    events: list[Event] = []
    with ThreadPoolExecutor(slots(setup)) as pool:
        began = time.monotonic()
        list(pool.map(lambda n: worker.run(Job(str(n), (Asked("1", "what ?"),)), events.append), range(clips)))
        seconds = time.monotonic() - began
    worker.stop()
    assert sum(isinstance(event, Finished) and event.complete for event in events) == clips
    assert seconds < 0.85 * clips * (decoding_s + model_s)
