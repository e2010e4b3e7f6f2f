"""A batch from jobs to rows, with an engine that answers at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seats.batch.jobs import Asked, Event, Finished, Job, Made, Planned, Said, Started
from seats.batch.run import Outcome, run_batch
from seats.errors import SeatsError
from tests.batch.made import make_row


class Instant:
    """Answers clips whose name does not begin with "bad". end_at: stops for good before that many rows, as a crash
    would; more: what it puts into rows."""

    def __init__(self, end_at: int | None = None, **more: Any) -> None:
        self.end_at, self.more = end_at, more

    def __enter__(self) -> Instant:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def events(self, jobs: Iterable[Job], stop: threading.Event) -> Iterator[Event]:
        made = 0
        for job in jobs:
            yield Started(job)
            for asked in job.asked:
                if stop.is_set() or made == self.end_at:
                    yield Finished(job, complete=False)
                    return
                ok = not Path(job.clip).name.startswith("bad")
                row = make_row(job.clip, id=asked.id, question=asked.question, ok=ok)
                yield Made(job, asked, row | self.more)
                made += 1
            yield Finished(job, complete=True)


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    names = ["a.mp4", "bad.mp4", "c.mp4", "d.mp4"]
    for name in names:
        (tmp_path / name).write_text(name)
    return [Job(str(tmp_path / name), (Asked(f"{name}#1", "what ?"), Asked(f"{name}#2", "who ?"))) for name in names]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "r.jsonl"


def ids(out: Path) -> list[str]:
    return [json.loads(line)["id"] for line in out.read_text().splitlines()]


def test_all_rows_and_what_is_told(jobs: list[Job], out: Path) -> None:
    told: list[Event] = []
    outcome = run_batch(jobs, out, "s", Instant, tell=told.append)
    assert ids(out) == [asked.id for job in jobs for asked in job.asked]
    assert told[0] == Planned(clips=4, pending=4, done=0, failed=0)
    assert (outcome.finished, outcome.failed_clips, outcome.answered, outcome.failed) == (4, 1, 6, 2)
    assert outcome.errors == {"MediaError": 2}
    assert 0 < outcome.seconds < 60
    assert not outcome.interrupted


def test_the_time_is_that_from_the_first_clip_to_the_last_row(
    jobs: list[Job], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("seats.batch.run.time.monotonic", lambda: now)

    def tell(event: Event) -> None:
        nonlocal now
        now += isinstance(event, Made)

    assert run_batch(jobs, out, "s", Instant, tell=tell).seconds == 7


def test_what_had_to_be_repaired_is_told(jobs: list[Job], out: Path) -> None:
    run_batch(jobs, out, "s", Instant)
    out.write_bytes(out.read_bytes()[:-20])
    told: list[Event] = []
    assert run_batch(jobs, out, "s", Instant, tell=told.append).done_before == 5
    assert ["cut off" in event.text for event in told if isinstance(event, Said)] == [True]


def test_results_that_were_removed_after_the_last_row_are_told(jobs: list[Job], out: Path) -> None:
    def tell(event: Event) -> None:
        if isinstance(event, Finished) and event.job.clip == jobs[-1].clip:
            out.unlink()

    with pytest.raises(SeatsError, match="removed or replaced"):
        run_batch(jobs, out, "s", Instant, tell=tell)


def test_rows_are_on_disk_when_they_are_told(jobs: list[Job], out: Path) -> None:
    def tell(event: Event) -> None:
        if isinstance(event, Made):
            assert ids(out)[-1] == event.asked.id

    run_batch(jobs, out, "s", Instant, tell=tell)


@pytest.mark.parametrize("end_at", range(9))
def test_ending_anywhere_and_going_on(jobs: list[Job], out: Path, end_at: int) -> None:
    first = run_batch(jobs, out, "s", lambda: Instant(end_at))
    assert first.interrupted == (end_at < 8)
    second = run_batch(jobs, out, "s", Instant)
    assert ids(out) == [asked.id for job in jobs for asked in job.asked]
    assert first.answered + second.answered == 6
    assert (second.done_before + second.failed_before, second.interrupted) == (end_at, False)


def test_stopping(jobs: list[Job], out: Path) -> None:
    stop = threading.Event()

    def tell(event: Event) -> None:
        if isinstance(event, Made) and event.asked.id == "bad.mp4#1":
            stop.set()

    outcome = run_batch(jobs, out, "s", Instant, stop=stop, tell=tell)
    assert ids(out) == ["a.mp4#1", "a.mp4#2", "bad.mp4#1"]
    assert (outcome.interrupted, outcome.finished) == (True, 1)
    assert run_batch(jobs, out, "s", Instant, stop=stop).interrupted


def test_no_engine_is_made_for_nothing(jobs: list[Job], out: Path) -> None:
    run_batch(jobs, out, "s", Instant)
    before = out.read_bytes()

    def never() -> Instant:
        raise AssertionError

    outcome = run_batch(jobs, out, "s", never)
    assert outcome == Outcome(clips=4, pending=0, done_before=6, failed_before=2)
    assert out.read_bytes() == before
    out.unlink()
    stopped = threading.Event()
    stopped.set()
    assert run_batch(jobs, out, "s", never, stop=stopped).interrupted


def test_failures_again(jobs: list[Job], out: Path) -> None:
    run_batch(jobs, out, "s", Instant)
    outcome = run_batch(jobs, out, "s", Instant, retry_failed=True)
    assert (outcome.done_before, outcome.failed_before, outcome.failed) == (6, 0, 2)
    assert sorted(ids(out)) == sorted(asked.id for job in jobs for asked in job.asked)


def test_a_number_that_json_lacks_costs_its_row(jobs: list[Job], out: Path) -> None:
    budget: dict[str, Any] = {"retry": {"reason": "full"}, "max_vram": {"limit_bytes": 1}}
    outcome = run_batch(jobs[:1], out, "s", lambda: Instant(number=float("nan"), **budget))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["status"], row["error"]["type"]) for row in rows] == [("error", "ValueError")] * 2
    assert all(row[key] == said for row in rows for key, said in budget.items())
    assert (outcome.failed, outcome.failed_clips, outcome.retried) == (2, 1, 2)


def test_rows_made_with_less_are_counted(jobs: list[Job], out: Path) -> None:
    assert run_batch(jobs[:1], out, "s", Instant).retried == 0
    assert run_batch(jobs[2:], out, "s", lambda: Instant(retry={"reason": "full"})).retried == 4


def test_a_clip_whose_worker_was_lost_half_way_counts_as_failed(jobs: list[Job], out: Path) -> None:
    bad = jobs[1]

    class Halting(Instant):
        def events(self, _: Iterable[Job], stop: threading.Event) -> Iterator[Event]:
            for asked in bad.asked:  # the second time only what was left
                job = bad if asked == bad.asked[0] else replace(bad, asked=(asked,))
                yield Made(job, asked, make_row(bad.clip, id=asked.id, question=asked.question, ok=job is not bad))
            yield Finished(job, complete=True)

    outcome = run_batch([bad], out, "s", Halting)
    assert (outcome.finished, outcome.failed, outcome.failed_clips) == (1, 1, 1)
