"""A batch from jobs to rows: plan, let an engine work, write what it makes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol

from seats.batch.jobs import Event, Finished, Job, Made, Planned, Said, Started
from seats.batch.plan import make_plan
from seats.batch.results import ResultsFile
from seats.batch.rows import OK, Context, Row, error_row


class Engine(Protocol):
    """Runs `seats.batch.worker.Worker` somewhere. A context; leaving it ends the workers at once."""

    def __enter__(self) -> Engine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def events(self, jobs: Iterable[Job], stop: threading.Event) -> Iterator[Event]:
        """Answer all jobs, each question with one `Made`, each job with one `Finished`; when `stop` is set, finish the
        rows in hand and begin no other."""


@dataclass
class Outcome:
    """What a batch did. clips: all that were asked about; pending: of these, left for this run; finished: in this run,
    failed_clips: with a failed question. answered, failed: questions in this run; done_before, failed_before: in
    earlier ones. errors: failures of this run by type. retried: rows made with a smaller budget. seconds: from the
    first clip in the model to the last row. interrupted: stopped before the end."""

    clips: int
    pending: int
    done_before: int
    failed_before: int
    finished: int = 0
    failed_clips: int = 0
    answered: int = 0
    failed: int = 0
    retried: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    interrupted: bool = False


def run_batch(
    jobs: Sequence[Job],
    out: Path,
    settings: str,
    engine: Callable[[], Engine],
    *,
    retry_failed: bool = False,
    stop: threading.Event | None = None,
    tell: Callable[[Event], None] = lambda _: None,
) -> Outcome:
    """Answer what has no row yet in `out`, a JSONL file, and append the rows as they are made.

    settings: digest, `Setup.digest`. engine: makes it, if there is anything to do. retry_failed: ask again what failed
    before. stop: set it, from any thread or signal handler, to finish the row in hand and return. tell: hears what
    happens, after it is on disk. Raises SeatsError; what is in the file then stays good.
    """
    stop = stop or threading.Event()
    with ResultsFile(out) as results:
        plan = make_plan(jobs, results.entries(), settings, retry_failed=retry_failed)
        if plan.rewrites:
            results.rewrite(plan.change)
        for remark in results.remarks:
            tell(Said(remark))
        outcome = Outcome(len(jobs), len(plan.pending), plan.done, plan.failed)
        tell(Planned(len(jobs), len(plan.pending), plan.done, plan.failed))
        if plan.pending and not stop.is_set():
            with engine() as running:
                _work(running.events(plan.pending, stop), results, outcome, tell)
            results.check_there()
    outcome.interrupted = outcome.finished < outcome.pending
    return outcome


def _work(events: Iterator[Event], results: ResultsFile, outcome: Outcome, tell: Callable[[Event], None]) -> None:
    began: float | None = None
    unlucky: set[str] = set()
    for event in events:
        if isinstance(event, Started):
            began = began or time.monotonic()
        elif isinstance(event, Made):
            row = _append(results, event)
            failed = row["status"] != OK
            outcome.failed += failed
            outcome.answered += not failed
            outcome.retried += "retry" in row
            outcome.seconds = time.monotonic() - (began or time.monotonic())
            if failed:
                outcome.errors[row["error"]["type"]] += 1
                unlucky.add(event.job.clip)
        elif isinstance(event, Finished) and event.complete:
            outcome.finished += 1
            outcome.failed_clips += event.job.clip in unlucky
            unlucky.discard(event.job.clip)
        tell(event)


def _append(results: ResultsFile, event: Made) -> Row:
    """Write a row; where JSON has no word for something in it, one that says so."""
    try:
        results.append(event.row)
        return event.row
    except ValueError as error:
        row = event.row
        context = Context(
            event.job.clip, event.asked, row.get("content"), row["settings"], row.get("retry"), row.get("max_vram")
        )
        row = error_row(context, error)
        results.append(row)
        return row
