"""`--max-vram` of a batch: each clip as large as fits, said in its row, and nothing changed where there is no limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seats.batch.jobs import Asked, Event, Finished, Job, Made
from seats.batch.rows import Row
from seats.batch.settings import Setup, digest_of, planned_ask
from seats.batch.worker import Worker
from seats.errors import OutOfMemoryError
from seats.media.content import content_of
from seats.plan.clip import clip_facts
from seats.plan.limit import Limit
from seats.plan.model import of_checkpoint
from seats.plan.plan import make_plan
from tests.media.make import tone, write_clip

QUESTIONS = (Asked("1", "what ?"), Asked("2", "what is in the clip , and what is heard ?"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A long clip, of pictures alone, as there is nothing to lower in sound, and a short one."""
    folder = tmp_path_factory.mktemp("clips")
    return {
        "long": str(write_clip(folder / "long.mp4", frames=900, rate=10)),
        "short": str(write_clip(folder / "short.mp4", frames=20, rate=10, sound=tone(2))),
    }


def limited(setup: Setup, bytes_: int, **answering: Any) -> Setup:
    clip = replace(setup.clip, limit=Limit(bytes_, setup.model.checkpoint))
    return Setup.of(setup.model, clip, replace(setup.answer, **answering))


def needed(setup: Setup, clip: str, row: Row | None = None) -> int:
    """Bytes that the longer question takes, as the batch would read the clip, or as it has."""
    sampling = setup.clip.sampling
    if row is not None:
        said = row["max_vram"]
        sampling = replace(sampling, max_frames=said["max_frames"], max_pixels=said["max_pixels"])
        sampling = replace(sampling, min_pixels=min(sampling.min_pixels, said["max_pixels"]))
    model = replace(of_checkpoint(setup.model.checkpoint), sampling=sampling)
    ask = replace(planned_ask(setup, "cpu"), question=QUESTIONS[1].question)
    return make_plan(model, clip_facts(Path(clip)), ask).needed_bytes


@pytest.fixture(scope="module")
def tight(setup: Setup, clips: dict[str, str]) -> Setup:
    """A limit that the short clip keeps."""
    low, high = (needed(setup, clips[name]) for name in ("short", "long"))
    assert low < high
    return limited(setup, (low + high) // 2)


@pytest.fixture(scope="module")
def worker(tight: Setup) -> Iterator[Worker]:
    made = Worker(tight)
    yield made
    made.stop()


def rows_of(worker: Worker, clip: str) -> list[Row]:
    events: list[Event] = []
    worker.run(Job(clip, QUESTIONS), events.append)
    return [event.row for event in events if isinstance(event, Made)]


def test_a_clip_that_is_too_large_is_looked_at_less_finely(worker: Worker, tight: Setup, clips: dict[str, str]) -> None:
    assert tight.clip.limit is not None
    limit = tight.clip.limit.limit_bytes
    for row in rows_of(worker, clips["long"]):
        assert row["status"] == "ok"
        assert row["max_vram"]["limit_bytes"] == limit
        video = row["clip"]["video"]
        assert video["frames"] <= row["max_vram"]["max_frames"]
        assert video["width"] * video["height"] <= row["max_vram"]["max_pixels"]
        assert needed(tight, clips["long"], row) <= limit


def test_a_clip_that_fits_is_read_as_without_a_limit(worker: Worker, setup: Setup, clips: dict[str, str]) -> None:
    free = Worker(setup)
    for row, plain in zip(rows_of(worker, clips["short"]), rows_of(free, clips["short"]), strict=True):
        assert "max_vram" not in row
        assert (row["clip"], row["answer"], row["tokens"]) == (plain["clip"], plain["answer"], plain["tokens"])
    free.stop()


def test_a_bad_clip_is_the_same_row(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("a letter")
    rows = rows_of(worker, str(tmp_path / "text.mp4"))
    assert [row["error"]["type"] for row in rows] == ["MediaError"] * 2


def test_where_nothing_fits_the_clip_fails_or_the_model_does(setup: Setup, clips: dict[str, str]) -> None:
    with pytest.raises(OutOfMemoryError, match="weights"):
        Worker(limited(setup, 2**10))
    weights = make_plan(
        of_checkpoint(setup.model.checkpoint), clip_facts(Path(clips["long"])), planned_ask(setup, "cpu")
    ).weights_bytes
    barely = Worker(limited(setup, weights + 2**10))
    rows = rows_of(barely, clips["long"])
    barely.stop()
    assert [row["error"]["type"] for row in rows] == ["OutOfMemoryError"] * 2
    assert rows[0]["content"]["hash"] == content_of(clips["long"]).hash  # so that resuming knows it
    assert "raise --max-vram" in rows[0]["error"]["message"]


def test_answers_within_a_limit_are_answers_of_their_own(setup: Setup, tight: Setup) -> None:
    assert digest_of(setup.model, setup.clip, setup.answer) == setup.digest != tight.digest
    assert limited(setup, 2**40).digest != tight.digest


def test_a_clip_whose_questions_all_have_rows_is_only_ended(setup: Setup) -> None:
    """As it comes back from a worker that was lost before it could say so."""
    worker = Worker(limited(setup, 2**40))
    events: list[Event] = []
    worker.run(Job("a.mp4", ()), events.append)
    worker.stop()
    assert events == [Finished(Job("a.mp4", ()), complete=True)]


@pytest.mark.parametrize("compare", [False, True])
def test_what_is_compared_with_must_fit_too(setup: Setup, compare: bool) -> None:
    worker = Worker(limited(setup, 2**40, compare=compare))
    limit = worker._settings_for(Job("a.mp4", QUESTIONS)).limit
    worker.stop()
    assert limit is not None
    assert limit.ask is not None
    assert (limit.ask.method, limit.ask.compare) == ("seats", compare)
    assert limit.ask.question == QUESTIONS[1].question  # the longer one
