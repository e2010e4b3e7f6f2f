"""How many tokens there are, without torch: both sequences and the plan of them need it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """Number of tokens per modality."""

    text: int
    video: int
    audio: int

    @property
    def total(self) -> int:
        return self.text + self.video + self.audio
