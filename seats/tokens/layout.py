"""TokenLayout: what each position of the LLM's sequence is. Made once with the sequence, sliced when tokens go."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import torch
import torch.nn.functional as F

from seats.devices import host_sees, moved
from seats.tokens.counts import Counts


class Modality(IntEnum):
    """Kind of a token. Image tokens count as text: no method here prunes them."""

    TEXT = 0
    VIDEO = 1
    AUDIO = 2


@dataclass(frozen=True)
class Known:
    """What the host knows of a layout. tokens_per_grid: video tokens of a temporal grid, None after a selection.
    question: text tokens behind the last video or audio token, which no selection takes away. parted: whether text
    parts the clip's tokens; None where it did before a selection, which may have taken a whole part."""

    counts: Counts
    tokens_per_grid: int | None = None
    question: int | None = None
    parted: bool | None = None


@dataclass(frozen=True, eq=False)
class TokenLayout:
    """What each of the `S` positions of a sequence is.

    modality: int8 `[S]`, a `Modality`.
    window: int64 `[S]`, ordinal of the interleaving window (tokens of the same seconds); -1 for text.
    row: int64 `[S]`, row of the token in its encoder's output; -1 for text.
    grid: int64 `[S, 3]`, (t, h, w) of a video token in the merged grid; -1 elsewhere.
    time_s: float32 `[S]`, seconds from the start of the clip; -1 for text.
    origin: int64 `[S]`, position of the token in the sequence before any selection.
    known: what the host knows of it, so that asking for counts or positions does not wait for the device; a layout
    made on the host and moved with `to` has it.
    """

    modality: torch.Tensor
    window: torch.Tensor
    row: torch.Tensor
    grid: torch.Tensor
    time_s: torch.Tensor
    origin: torch.Tensor
    known: Known | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return self.modality.shape[0]

    def select(self, keep: torch.Tensor, counts: Counts | None = None) -> TokenLayout:
        """The layout of the surviving tokens. `keep`: bool `[S]` mask or int64 `[K]` sorted indices. counts: of the
        survivors, where the caller knows them."""
        known = None
        if counts is not None:
            before = self.known or Known(counts)
            known = Known(counts, question=before.question, parted=False if before.parted is False else None)
        index = keep.nonzero()[:, 0] if keep.dtype == torch.bool else keep
        return _Part(self, index, known)

    def to(self, device: torch.device | str) -> TokenLayout:
        """The same layout on another device."""
        known = self.known
        if known is None and self.modality.device.type == "cpu":
            known = Known(self.counts(), self.tokens_per_grid(), self.question(), _parts(self.modality) > 1)
        return TokenLayout(**{name: moved(getattr(self, name), torch.device(device)) for name in _TENSORS}, known=known)

    def is_modality(self, modality: Modality) -> torch.Tensor:
        """Bool `[S]` mask of one modality's tokens."""
        return self.modality == int(modality)

    def positions(self, modality: Modality) -> torch.Tensor:
        """Positions int64 `[N]` of one modality's tokens, in order."""
        counts = self.counts()
        count = (counts.text, counts.video, counts.audio)[int(modality)]
        return positions_of(self.is_modality(modality), count)

    def tokens_per_grid(self) -> int:
        """Video tokens of the first temporal grid, 0 without video; all must be there."""
        if self.known is not None and self.known.tokens_per_grid is not None:
            return self.known.tokens_per_grid
        return int((self.grid[:, 0] == 0).sum())

    def question(self) -> int:
        """Text tokens behind the last video or audio token, at least 1: the question and the turn's end."""
        if self.known is not None and self.known.question is not None:
            return self.known.question
        clip = (self.modality != int(Modality.TEXT)).nonzero()
        return max(1, len(self) - 1 - int(clip[-1])) if len(clip) else len(self)

    def parted(self) -> bool | None:
        """Whether text parts the clip's tokens, None where the host does not know."""
        return None if self.known is None else self.known.parted

    def video_grids(self) -> torch.Tensor:
        """Positions int64 `[T, G]` of the video tokens by temporal grid, `[0, 0]` without video; all must be there."""
        where = self.positions(Modality.VIDEO)
        return where.view(-1, self.tokens_per_grid()) if len(where) else where.view(0, 0)

    def counts(self) -> Counts:
        """Tokens per modality; one copy from the device where the host does not know them."""
        return self.known.counts if self.known is not None else count_modalities(self.modality)


class _Part(TokenLayout):
    """Of a layout, the tokens at some positions. What nobody asks for is not looked up: on a GPU, looking up takes as
    long for few tokens as for many."""

    def __init__(self, whole: TokenLayout, index: torch.Tensor, known: Known | None) -> None:
        self.__dict__.update(_whole=whole, _index=index, known=known)

    def __getattr__(self, name: str) -> torch.Tensor:
        if name not in _TENSORS:
            raise AttributeError(name)
        found: torch.Tensor = getattr(self._whole, name).index_select(0, self._index)
        self.__dict__[name] = found
        return found

    def __len__(self) -> int:
        return len(self._index)


_TENSORS = ("modality", "window", "row", "grid", "time_s", "origin")


def _parts(modality: torch.Tensor) -> int:
    """Runs of video and audio tokens with text around them in int8 `[S]`, on the CPU."""
    in_clip = F.pad(modality != int(Modality.TEXT), (1, 0))
    return int((in_clip[1:] & ~in_clip[:-1]).sum())


def count_modalities(modality: torch.Tensor) -> Counts:
    """Tokens of each kind in int8 `[S]`, where other values are none; one copy from the device."""
    kinds = torch.arange(len(Modality), dtype=modality.dtype, device=modality.device)
    return Counts(*(modality == kinds[:, None]).sum(1).tolist())


def positions_of(mask: torch.Tensor, count: int) -> torch.Tensor:
    """Positions int64 `[count]` where `mask` (bool `[S]`) holds, in order.

    count: how many those are, which saves asking the device. Nothing here waits for it; where the host does not see
    `mask`, of more than `count` those past it are left out, and missing ones are 0.
    """
    if host_sees(mask) or mask.device.type == "mps":  # for which torch 2.9 has no nonzero_static
        return mask.nonzero()[:, 0]
    return torch.nonzero_static(mask, size=count, fill_value=0)[:, 0]
