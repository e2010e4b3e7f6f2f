"""Where each token of a clip left, and what was known of it: all that pages and figures show, as NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from seats.inference.answer import Answer
from seats.inference.trace import Drop, Trace
from seats.media import Clip
from seats.tokens.layout import Modality

Stage = Literal["before", "inside", "late"]


@dataclass(frozen=True)
class Moment:
    """One moment at which tokens left.

    after_layer: 1-based, 0 for before the LLM. stage: "before" the LLM, "inside" it, or "late", when all that was left
    of video and audio went. video, audio: tokens that left.
    """

    after_layer: int
    stage: Stage
    video: int
    audio: int

    @property
    def label(self) -> str:
        """Stage and place, as people read it."""
        if self.stage == "before":
            return "Stage I, before the LLM"
        name = "Stage II" if self.stage == "inside" else "Stage III"
        return f"{name}, after layer {self.after_layer}"


@dataclass(frozen=True, eq=False)
class Tokens:
    """The `N` tokens of one modality, in the order of their encoder's output.

    window: int64 `[N]`. left: uint8 `[N]`, which moment each left at; the number of moments for those that stayed to
    the end. saliency: float32 `[N]` or None if nobody read it. relevance: float32 `[R, N]`, a row for each scored
    layer, NaN where a token had left before.
    """

    window: np.ndarray
    left: np.ndarray
    saliency: np.ndarray | None
    relevance: np.ndarray

    def __len__(self) -> int:
        return len(self.window)


@dataclass(frozen=True, eq=False)
class TokenMap:
    """One answer's tokens.

    video, audio: None where the clip has no such tokens. grid: (T, H, W) of the video tokens. seconds_per_grid: length
    of a temporal grid, seconds. moments: in order. scored_layers: 1-based, rows of `Tokens.relevance`. window_starts:
    seconds `[windows + 1]`, the last one the end of the clip. notes: what a reader must know about the figures.
    """

    answer: Answer
    video: Tokens | None
    audio: Tokens | None
    grid: tuple[int, int, int] | None
    seconds_per_grid: float
    moments: tuple[Moment, ...]
    scored_layers: tuple[int, ...]
    window_starts: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def clip(self) -> Clip:
        return self.answer.clip

    @property
    def layers(self) -> int:
        """Decoder layers of the model."""
        return len(self.answer.trace.layers)

    @property
    def start(self) -> float:
        """Where in the file the tokens begin, seconds. All other times count from there."""
        return self.clip.start_s

    @property
    def seconds(self) -> float:
        """Length of what the tokens cover."""
        return float(self.window_starts[-1])

    @property
    def name(self) -> str:
        """The method with its target, as in "seats 10%"."""
        return self.answer.label

    def modalities(self) -> dict[str, Tokens]:
        """The tokens by modality, those that the clip has."""
        return {name: tokens for name, tokens in (("video", self.video), ("audio", self.audio)) if tokens is not None}


def map_tokens(
    answer: Answer,
    saliency: Mapping[str, np.ndarray],
    relevance: Mapping[int, tuple[np.ndarray, np.ndarray]],
    notes: tuple[str, ...] = (),
) -> TokenMap:
    """Read an answer's trace.

    saliency: float32 `[N]` per modality ("video", "audio"), in encoder order. relevance: per decoder layer (1-based)
    origins int64 `[S]` and scores float32 `[S]`.
    """
    trace, clip = answer.trace, answer.clip
    layout = trace.layout
    before = [trace.full, *(drop.counts for drop in trace.drops)]
    drops = [drop for there, drop in zip(before, trace.drops, strict=False) if drop.counts != there]
    left = np.full(len(layout), len(drops), dtype=np.uint8)
    here = np.ones(len(layout), dtype=bool)
    for number, drop in enumerate(drops):
        stays = np.zeros(len(layout), dtype=bool)
        stays[drop.kept.numpy()] = True
        left[here & ~stays] = number
        here &= stays
    layers = tuple(sorted(relevance))
    by_layer = np.full((len(layers), len(layout)), np.nan, dtype=np.float32)
    for row, layer in enumerate(layers):
        origins, values = relevance[layer]
        by_layer[row, origins] = values

    def of(kind: Modality) -> Tokens | None:
        places = layout.is_modality(kind).nonzero()[:, 0]
        if not len(places):
            return None
        where = places[layout.row[places].argsort()].numpy()
        return Tokens(layout.window.numpy()[where], left[where], saliency.get(kind.name.lower()), by_layer[:, where])

    video, audio = of(Modality.VIDEO), of(Modality.AUDIO)
    grid, seconds_per_grid = None, 0.0
    if video is not None:
        t, h, w = (int(size) + 1 for size in layout.grid.max(dim=0).values)
        grid = (t, h, w)
        assert clip.video is not None
        seconds_per_grid = len(clip.video.times) / t / clip.video.fps
    return TokenMap(
        answer=answer,
        video=video,
        audio=audio,
        grid=grid,
        seconds_per_grid=seconds_per_grid,
        moments=_moments(drops, trace),
        scored_layers=layers,
        window_starts=_window_starts(trace, _seconds(clip, grid, seconds_per_grid)),
        notes=notes,
    )


def scored_by_method(trace: Trace) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Origins and scores per layer at which the method read the relevance."""
    before = [np.arange(len(trace.layout)), *(drop.kept.numpy() for drop in trace.drops)]
    return {
        drop.after_layer: (origins, drop.relevance.numpy())
        for origins, drop in zip(before, trace.drops, strict=False)
        if drop.relevance is not None
    }


def _moments(drops: list[Drop], trace: Trace) -> tuple[Moment, ...]:
    moments, before = [], trace.full
    for drop in drops:
        now = drop.counts
        stage: Stage = "before" if drop.after_layer == 0 else "inside"
        if stage == "inside" and now.video + now.audio == 0:
            stage = "late"
        moments.append(Moment(drop.after_layer, stage, before.video - now.video, before.audio - now.audio))
        before = now
    return tuple(moments)


def _seconds(clip: Clip, grid: tuple[int, int, int] | None, seconds_per_grid: float) -> float:
    pictures = grid[0] * seconds_per_grid if grid else 0.0
    return max(pictures, clip.audio.seconds if clip.audio else 0.0)


def _window_starts(trace: Trace, end: float) -> np.ndarray:
    """Seconds `[windows + 1]`, rising. Windows that begin at the same time (there are some where temporal grids are
    further apart than a window is long) share the time until the next one."""
    layout = trace.layout
    window, time = layout.window.numpy(), layout.time_s.numpy().astype(np.float64)
    in_clip = window >= 0
    starts = np.full(int(window.max()) + 1, np.inf)
    np.minimum.at(starts, window[in_clip], time[in_clip])
    starts = np.minimum(np.minimum.accumulate(starts[::-1])[::-1], end)
    distinct, first = np.unique(starts, return_index=True)
    return np.interp(np.arange(len(starts) + 1), [*first, len(starts)], [*distinct, end])
