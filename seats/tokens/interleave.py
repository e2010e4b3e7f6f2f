"""Order, windows and M-RoPE positions of a clip's video and audio tokens.

Sources: the stock processors and `get_rope_index` of transformers' `qwen2_5_omni` and `qwen3_omni_moe`, whose
results `interleave` reproduces without their loops over tokens. One difference: where a grid lies on the border of
a chunk (Qwen2.5-Omni), or has the time of an audio token (Qwen3-Omni), but for rounding, the stock processor
(float64) and `get_rope_index` (float32) can order tokens differently, and positions go to the wrong ones; here every
token has its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Interleaving = Literal["chunk", "timestamp"]


@dataclass(frozen=True)
class TimeRule:
    """How a model family lays video and audio of the same seconds side by side.

    interleaving: "chunk" puts all video tokens of `seconds_per_chunk` before their audio tokens (Qwen2.5-Omni);
        "timestamp" merges grids and audio tokens by time (Qwen3-Omni).
    positions_per_second: temporal M-RoPE positions per second, which is also the nominal audio token rate.
    fractional: whether temporal positions of video keep their fraction (Qwen3-Omni) or are truncated.
    """

    interleaving: Interleaving
    positions_per_second: float
    seconds_per_chunk: float
    fractional: bool


@dataclass(frozen=True, eq=False)
class MediaBlock:
    """Video and audio tokens of one clip in sequence order, `N = T * H * W + A` of them.

    is_audio: bool `[N]`. row: int64 `[N]`, index in the encoder's output. grid: int64 `[N, 3]`, (t, h, w) or -1.
    window: int64 `[N]`. time_s: float32 `[N]`. positions: float64 `[3, N]`, relative to the block's start.
    next_position: first position after the block, as the stock code counts it (from the last piece it emitted,
        which is not always the largest position).
    """

    is_audio: np.ndarray
    row: np.ndarray
    grid: np.ndarray
    window: np.ndarray
    time_s: np.ndarray
    positions: np.ndarray
    next_position: float


def interleave(
    grid: tuple[int, int, int] | None,
    seconds_per_grid: float,
    audio_tokens: int,
    rule: TimeRule,
    time_scale: float = 1.0,
) -> MediaBlock:
    """Lay out one clip's tokens.

    grid: merged video grid (T, H, W), or None without video. seconds_per_grid: seconds between temporal grids, from
    the true frame rate. audio_tokens: number of audio tokens, 0 without sound. time_scale: (0, 1], factor on all
    temporal positions when a clip is longer than the model's position range; 1 equals the stock positions. Raises
    ValueError for neither video nor audio tokens.
    """
    if grid is None and audio_tokens == 0:
        raise ValueError("a clip needs video or audio tokens")
    audio = _audio_tokens(audio_tokens, rule, time_scale)
    if grid is None:
        return audio.alone()
    video = _video_tokens(grid, seconds_per_grid, rule, time_scale)
    if audio_tokens == 0:
        return video.alone()
    both = video.joined(audio)
    if rule.interleaving == "chunk":
        window = both.window
        order = np.lexsort((both.row, both.is_audio, window))
    else:
        # A grid goes before the audio token of the same time; audio belongs to the window of the grid before it.
        order = np.lexsort((both.row, both.is_audio, both.time))
        window = np.empty_like(both.window)
        window[order] = np.maximum.accumulate(both.grid[order, 0])
    last_modality = both.is_audio[order[-1]]
    last_piece = (both.is_audio == last_modality) & _in_last_piece(both, last_modality, rule)
    return both.block(order, window, float(both.positions[:, last_piece].max()) + 1)


def _in_last_piece(both: _Tokens, last_is_audio: bool, rule: TimeRule) -> np.ndarray:
    """Tokens of the piece that the stock code appends last, whose largest position decides where text goes on."""
    if rule.interleaving == "chunk":
        return both.window == both.window[both.is_audio == last_is_audio].max()
    other_end = both.time[both.is_audio != last_is_audio].max()
    # A grid at that very time is of an earlier piece, but no position of it is larger than those of the next grid.
    return both.time >= other_end


@dataclass(eq=False)
class _Tokens:
    is_audio: np.ndarray
    row: np.ndarray
    grid: np.ndarray
    window: np.ndarray
    time: np.ndarray  # in unscaled positions, as the stock code compares them
    positions: np.ndarray
    positions_per_second: float

    def joined(self, other: _Tokens) -> _Tokens:
        names = ("is_audio", "row", "grid", "window", "time")
        merged = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in names}
        positions = np.concatenate([self.positions, other.positions], axis=1)
        return _Tokens(**merged, positions=positions, positions_per_second=self.positions_per_second)

    def alone(self) -> MediaBlock:
        """The block of a clip that holds nothing else."""
        return self.block(np.arange(len(self.time)), self.window, float(self.positions.max()) + 1)

    def block(self, order: np.ndarray, window: np.ndarray, next_position: float) -> MediaBlock:
        return MediaBlock(
            is_audio=self.is_audio[order],
            row=self.row[order],
            grid=self.grid[order],
            window=window[order],
            time_s=(self.time[order] / self.positions_per_second).astype(np.float32),
            positions=self.positions[:, order],
            next_position=next_position,
        )


def _video_tokens(grid: tuple[int, int, int], seconds_per_grid: float, rule: TimeRule, time_scale: float) -> _Tokens:
    t, h, w = (axis.reshape(-1) for axis in np.indices(grid))
    grid_time = np.arange(grid[0]) * seconds_per_grid * rule.positions_per_second
    # The stock code computes temporal positions in float32; a product that is a whole number must stay one.
    temporal = (
        np.arange(grid[0], dtype=np.float32) * np.float32(seconds_per_grid) * np.float32(rule.positions_per_second)
    ).astype(np.float64) * time_scale
    if not rule.fractional:
        temporal = np.floor(temporal)
    time = grid_time[t]
    return _Tokens(
        is_audio=np.zeros(t.size, dtype=bool),
        row=np.arange(t.size),
        grid=np.stack([t, h, w], axis=1),
        window=_chunk_of(time, rule) if rule.interleaving == "chunk" else t,
        time=time,
        positions=np.stack([temporal[t], h, w]),
        positions_per_second=rule.positions_per_second,
    )


def _audio_tokens(count: int, rule: TimeRule, time_scale: float) -> _Tokens:
    time = np.arange(count, dtype=np.float64)
    temporal = time * time_scale if rule.fractional else np.floor(time * time_scale)
    return _Tokens(
        is_audio=np.ones(count, dtype=bool),
        row=np.arange(count),
        grid=np.full((count, 3), -1),
        window=_chunk_of(time, rule),
        time=time,
        positions=np.broadcast_to(temporal, (3, count)),
        positions_per_second=rule.positions_per_second,
    )


def _chunk_of(time: np.ndarray, rule: TimeRule) -> np.ndarray:
    """Chunk of each token, given non-decreasing times in positions.

    The stock cutter opens at most one chunk per token, so where grids are further apart than a chunk, the first
    tokens of a grid become windows of a single token. Ids must equal the stock ones, so that is kept.
    """
    size = int(rule.positions_per_second * rule.seconds_per_chunk)
    ordinal = np.arange(time.size)
    return ordinal + np.minimum.accumulate((time // size).astype(np.int64) - ordinal)
