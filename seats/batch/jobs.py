"""What a batch is made of: clips, and the questions about each."""

from __future__ import annotations

from dataclasses import dataclass


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
