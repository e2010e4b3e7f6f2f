"""What a batch is made of: clips, and the questions about each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One question about one clip. id: of the row. expected: the right answer, where it is known."""

    id: str
    question: str
    expected: str | None = None


@dataclass(frozen=True)
class Job:
    """One clip and the questions about it, which share its decoding and encoding. clip: path, as Python opens it (bytes
    that are not UTF-8 as surrogates)."""

    clip: str
    asked: tuple[Asked, ...]


@dataclass(frozen=True)
class Planned:
    """What a batch is going to do. clips: all; pending: of these still to do. done, failed: questions that have a row
    from before, answered or not."""

    clips: int
    pending: int
    done: int
    failed: int


@dataclass(frozen=True)
class Said:
    """A remark for the user."""

    text: str


@dataclass(frozen=True)
class Started:
    """The model turns to a clip."""

    job: Job


@dataclass(frozen=True)
class Made:
    """A row (see `seats.batch.rows`) about one of a job's questions."""

    job: Job
    asked: Asked
    row: dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """A worker is done with a job. complete: every question has its row; else the batch was stopped."""

    job: Job
    complete: bool


Event = Planned | Said | Started | Made | Finished
"""What happens while a batch runs, in the order in which it does."""
