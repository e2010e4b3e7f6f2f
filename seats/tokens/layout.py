"""TokenLayout: what each position of the LLM's sequence is. Made once with the sequence, sliced when tokens go."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import torch


class Modality(IntEnum):
    """Kind of a token. Image tokens count as text: no method here prunes them."""

    TEXT = 0
    VIDEO = 1
    AUDIO = 2


@dataclass(frozen=True)
class Counts:
    """Number of tokens per modality."""

    text: int
    video: int
    audio: int

    @property
    def total(self) -> int:
        return self.text + self.video + self.audio


@dataclass(frozen=True)
class TokenLayout:
    """What each of the `S` positions of a sequence is.

    modality: int8 `[S]`, a `Modality`.
    window: int64 `[S]`, ordinal of the interleaving window (tokens of the same seconds); -1 for text.
    row: int64 `[S]`, row of the token in its encoder's output; -1 for text.
    grid: int64 `[S, 3]`, (t, h, w) of a video token in the merged grid; -1 elsewhere.
    time_s: float32 `[S]`, seconds from the start of the clip; -1 for text.
    origin: int64 `[S]`, position of the token in the sequence before any selection.
    """

    modality: torch.Tensor
    window: torch.Tensor
    row: torch.Tensor
    grid: torch.Tensor
    time_s: torch.Tensor
    origin: torch.Tensor

    def __len__(self) -> int:
        return self.modality.shape[0]

    def select(self, keep: torch.Tensor) -> TokenLayout:
        """The layout of the surviving tokens. `keep`: bool `[S]` mask or int64 `[K]` sorted indices."""
        return TokenLayout(*(getattr(self, f.name)[keep] for f in fields(self)))

    def to(self, device: torch.device | str) -> TokenLayout:
        """The same layout on another device."""
        return TokenLayout(*(getattr(self, f.name).to(device) for f in fields(self)))

    def is_modality(self, modality: Modality) -> torch.Tensor:
        """Bool `[S]` mask of one modality's tokens."""
        return self.modality == int(modality)

    def video_grids(self) -> torch.Tensor:
        """Positions int64 `[T, G]` of the video tokens by temporal grid, `[0, 0]` without video; all must be there."""
        where = self.is_modality(Modality.VIDEO).nonzero()[:, 0]
        if not len(where):
            return where.view(0, 0)
        return where.view(-1, int((self.grid[where, 0] == 0).sum()))

    def counts(self) -> Counts:
        """Tokens per modality; one copy from the device."""
        text, video, audio = torch.bincount(self.modality.long(), minlength=3).tolist()
        return Counts(text, video, audio)
