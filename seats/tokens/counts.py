"""How many tokens there are, without torch: both sequences and the plan of them need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Counts:
    """Number of tokens per modality."""

    text: int
    video: int
    audio: int

    @property
    def total(self) -> int:
        return self.text + self.video + self.audio


class Scored(NamedTuple):
    """A relevance that a method asked for. layer: 1-based, after which. tokens: scored. queries: tokens whose attention
    was the score."""

    layer: int
    tokens: int
    queries: int = 1
