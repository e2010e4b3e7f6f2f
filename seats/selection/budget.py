"""Stage II of SEATS: budgets over windows and modalities at a drop layer.

Budgets are a few numbers per window, worked out on the host in numpy; tokens are ranked there as well, on a GPU with
Triton by a kernel.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seats.devices import host_sees, moved
from seats.errors import ModelError, SettingsError
from seats.selection import triton_kernels
from seats.selection.counts import keep_count
from seats.selection.masks import top_mask

TEXT, VIDEO, AUDIO = 0, 1, 2
_TEXT_KEY = 2**30  # sorts behind every window; exact in float32
_COLDEST, _HOTTEST = 1e-30, 1e30


@dataclass(frozen=True, eq=False)
class Chosen:
    """keep: [S] bool, True where the token is kept. video, audio: how many of these those are."""

    keep: Tensor
    video: int
    audio: int


def choose_relevant(
    scores: Tensor,
    modality: Tensor,
    window: Tensor,
    video_keep: float,
    audio_keep: float,
    temperature: float,
) -> Chosen:
    """Tokens that survive one drop layer: all text, and the most relevant video and audio of every window.

    With one modality, or one window, the most relevant tokens are kept wherever they are; else `keep_counts`
    says how many of each window. Ties go to the lower index. Waits for the device once, for the sizes and
    mean relevance of the windows.

    Args:
        scores: [S] relevance to the last text token, any float type.
        modality: [S] int8, 0 text, 1 video, 2 audio, same device.
        window: [S] long, window of each video and audio token, from 0 to 2**29 - 1, any numbering (gaps are no
            windows); text tokens' entries are not read.
        video_keep, audio_keep: share of the modality's tokens to keep, in [0, 1]; at least one token stays.
        temperature: of the softmax over windows, above 0.

    Raises SettingsError for a value outside its range, ModelError for scores that are not finite, ValueError
    for shapes or windows that make no sense. Source: SEATS (arXiv 2605.20035), inner-LLM selection.
    """
    for name, keep in (("video", video_keep), ("audio", audio_keep)):
        if not 0 <= keep <= 1:
            raise SettingsError(f"{name} keep ratio {keep:g} is outside [0, 1]: give a share of the tokens to keep")
    if not temperature > 0:
        raise SettingsError(f"temperature {temperature:g} of the window softmax must be above 0")
    if not scores.shape == modality.shape == window.shape or scores.ndim != 1:
        shapes = [tuple(x.shape) for x in (scores, modality, window)]
        raise ValueError(f"scores, modality and window must all be [S], not {shapes}")

    text = modality == TEXT
    if not len(scores):
        return Chosen(text, 0, 0)
    key = torch.where(text, _TEXT_KEY, window * 2 + (modality == AUDIO))
    groups = _ranked(scores, key)
    # From here on a GPU has nothing to do until the mask is there: every step counts, however few the numbers.
    keys, sizes, sums = groups.statistics()
    in_clip = len(keys) - int(keys[-1] == _TEXT_KEY)
    if not in_clip:
        return Chosen(text, 0, 0)
    if keys[0] < 0:
        raise ValueError("every video and audio token needs a window of at least 0")
    if not math.isfinite(sums[:in_clip].sum()):
        raise ModelError("relevance scores are not finite: load the model in bfloat16 or float32")

    keys = keys[:in_clip]
    window_of = keys >> 1
    place = np.zeros(in_clip, dtype=np.int64)  # of each group in [2, W], flattened
    np.cumsum(window_of[1:] != window_of[:-1], out=place[1:])
    windows = int(place[-1]) + 1
    place += (keys & 1) * windows
    size, total = np.zeros((2, windows), dtype=np.int64), np.zeros((2, windows), dtype=np.float32)
    size.ravel()[place] = sizes[:in_clip]
    total.ravel()[place] = sums[:in_clip]
    video, audio = size.sum(1).tolist()
    budget = keep_count(video, video_keep), keep_count(audio, audio_keep)
    if 0 in budget:
        return Chosen(top_mask(scores.masked_fill(text, -torch.inf), max(budget)) | text, *budget)
    counts = keep_counts(size, total / np.maximum(size, 1), budget, temperature)
    kept = np.concatenate([counts.ravel()[place], sizes[in_clip:]])  # all text stays
    return Chosen(groups.top(kept), *counts.sum(1).tolist())


def keep_counts(size: np.ndarray, relevance: np.ndarray, budget: tuple[int, int], temperature: float) -> np.ndarray:
    """Video and audio tokens to keep of each window.

    Windows share the whole budget by a softmax of their mean relevance, then each window's share is split between its
    modalities. Every modality present in a window keeps at least one token, so the sum can exceed the budget by the
    number of such floors.

    Args:
        size: [2, W] int, video and audio tokens of each window; no window has neither.
        relevance: [2, W] float, mean relevance of those tokens, 0 where there are none.
        budget: video and audio tokens to keep in all, at most the sums of `size`.
        temperature: of the softmax, above 0.

    Returns:
        [2, W] int64, at most `size`; of a single window, the two budgets.
    """
    video, audio = size
    capacity, tokens = video + audio, sum(budget)
    # float32 as published: where window shares are equal, halves must round the same way.
    weight = _softmax(relevance, temperature)
    wanted = np.rint((weight[0] + weight[1]) / np.float32(2) * np.float32(tokens)).astype(np.int64)
    share = _repair(np.minimum(capacity, np.maximum(1, wanted)), capacity, tokens)

    part = weight * np.array(budget, dtype=np.float32)[:, None]
    of_video = part[0] / (part[0] + part[1] + np.float32(1e-12))
    keep = np.empty((2, len(share)), dtype=np.int64)
    np.minimum(video, np.rint(share.astype(np.float32) * of_video).astype(np.int64), out=keep[0])
    np.minimum(audio, share - keep[0], out=keep[1])
    np.minimum(video, share - keep[1], out=keep[0])  # what audio could not use

    # Neither of two modalities in a window loses its last token.
    least = np.minimum(video, audio) > 0
    most = np.where(least, np.maximum(1, share - 1), share)
    return np.minimum(np.maximum(keep, least), most)


def run_windows(modality: Tensor) -> Tensor:
    """Windows of an interleaved sequence: its i-th run of video and its i-th run of audio are window i.

    `modality`: [S] int8 (0 text, 1 video, 2 audio). Returns [S] long, -1 for text. This is how the published
    code finds windows; pairs shift where a whole run is gone, which windows made with the sequence do not.
    """
    window = torch.full(modality.shape, -1, dtype=torch.long, device=modality.device)
    previous = torch.cat([modality.new_full((1,), -1), modality[:-1]])
    for kind in (VIDEO, AUDIO):
        mine = modality == kind
        run = torch.cumsum(mine & (previous != kind), 0) - 1
        window = torch.where(mine, run, window)
    return window


def paired_runs(modality: Tensor, parted: bool | None = None) -> Tensor:
    """Windows of an interleaved sequence as it is now: a run of video and the audio up to the next one.

    `modality`: [S] int8 (0 text, 1 video, 2 audio). parted: whether text parts the clip's tokens, None if the caller
    does not know. Returns [S] long, -1 for text. The same windows as those of `run_windows` but where the interleaved
    part no longer begins with video: the first audio is a window of its own then, and no pair shifts. Where text parts
    sound from pictures nothing is interleaved, and the windows are those of `run_windows`.
    """
    previous = torch.cat([modality.new_zeros(1), modality])[:-1]
    in_clip = modality != TEXT
    parts = in_clip & (previous == TEXT)
    begins = parts | ((modality == VIDEO) & (previous != VIDEO))
    paired = torch.where(in_clip, begins.cumsum(0) - 1, -1)
    if parted is False:
        return paired
    several = parts.sum() > 1
    if host_sees(several) and not several:
        return paired
    return torch.where(several, run_windows(modality), paired)


def _ranked(scores: Tensor, key: Tensor) -> "_Groups | _Ranks":
    """Tokens ranked by score inside the groups of one key."""
    if triton_kernels.usable(scores):
        from seats.selection.ranks_triton import LONGEST

        if len(key) <= LONGEST:
            return _Ranks(scores, key)
    return _Groups(scores, key)


class _Ranks:
    """As `_Groups`, by one kernel; `top` needs `statistics` before it."""

    def __init__(self, scores: Tensor, key: Tensor) -> None:
        from seats.selection.ranks_triton import rank_in_groups

        self._rank, self._first, self._table = rank_in_groups(scores, key)
        self._leads = np.zeros(0, dtype=np.int64)

    def statistics(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Key, number of tokens and sum of scores of each group, in rising order of the keys; one copy from the
        device."""
        table = self._table.cpu().numpy()
        leads = table[1].nonzero()[0]
        self._leads = leads = leads[table[0, leads].argsort()]
        keys, sizes, sums = table[:, leads]
        return keys.astype(np.int64), sizes.astype(np.int64), sums

    def top(self, counts: np.ndarray) -> Tensor:
        """[S] bool: the `counts[g]` first tokens of each group g."""
        limit = np.zeros(len(self._rank), dtype=np.int32)
        limit[self._leads] = counts
        there = moved(torch.from_numpy(limit), self._rank.device)
        return self._rank < there[self._first]


class _Groups:
    """Tokens sorted by group, then by falling score; groups are the distinct keys, in rising order. On the host: for so
    few numbers a tensor operation costs more than it computes."""

    def __init__(self, scores: Tensor, key: Tensor) -> None:
        self._device = key.device
        keys, self._scores = _on_host(scores, key)
        self._order = np.lexsort((-self._scores, keys))
        self._key = keys[self._order]
        self._first = np.flatnonzero(_changes(self._key))
        self._sizes = np.diff(self._first, append=len(keys))

    def statistics(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Key, number of tokens and sum of scores of each group, in rising order of the keys."""
        sums = np.add.reduceat(self._scores[self._order], self._first)
        return self._key[self._first].astype(np.int64), self._sizes, sums

    def top(self, counts: np.ndarray) -> Tensor:
        """[S] bool: the `counts[g]` first tokens of each group g."""
        end = np.repeat(self._first + counts, self._sizes)
        kept = np.empty(len(end), dtype=bool)
        kept[self._order] = np.arange(len(end)) < end
        return moved(torch.from_numpy(kept), self._device)


def _on_host(scores: Tensor, key: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Keys and scores as double, whose sums do not show in float32 in which order they were made; one copy."""
    dtype = torch.float32 if key.device.type == "mps" else torch.float64  # MPS has no double
    keys, values = torch.stack([key.to(dtype), scores.to(dtype)]).cpu().numpy().astype(np.float64, copy=False)
    return keys, values


def _changes(values: np.ndarray) -> np.ndarray:
    """[n] bool: where `values` differ from the one before; the first one does."""
    return np.append(True, values[1:] != values[:-1])


def _softmax(relevance: np.ndarray, temperature: float) -> np.ndarray:
    """Over the windows of each modality: `[2, W]`."""
    # Beyond these, quotients would overflow in float32, and one window, or none, is preferred all the same.
    scaled = relevance.astype(np.float32) / np.float32(min(max(temperature, _COLDEST), _HOTTEST))
    exponent = np.exp(scaled - scaled.max(1, keepdims=True))
    return exponent / exponent.sum(1, keepdims=True)


def _repair(budget: np.ndarray, capacity: np.ndarray, total: int) -> np.ndarray:
    """Bring the sum of `budget` ([W], within 1..capacity) to `total`, as far as those limits allow.

    In effect one token at a time: a surplus leaves the largest window that has more than 1, a deficit goes to
    the smallest one below its capacity, ties at the lowest index.
    """
    if int(budget.sum()) > total:  # taking from the largest is giving to the smallest, upside down
        return -_raise_smallest(-budget, np.full_like(budget, -1), -total)
    return _raise_smallest(budget, capacity, total)


def _raise_smallest(level: np.ndarray, capacity: np.ndarray, total: int) -> np.ndarray:
    """Raise the smallest of `level` ([W], at most `capacity`) by ones until the sum is `total`."""

    def filled(height: int) -> np.ndarray:
        return np.maximum(level, np.minimum(capacity, height))

    # Raising the smallest fills the windows to one height, found by bisection; what is left after the highest
    # height that fits is less than one for each window at that height, and goes to them in order.
    low, high = int(level.min()), int(capacity.max())
    while low < high:
        middle = (low + high + 1) // 2
        if int(filled(middle).sum()) <= total:
            low = middle
        else:
            high = middle - 1
    result = filled(low)
    open_windows = np.flatnonzero((result == low) & (result < capacity))
    result[open_windows[: total - int(result.sum())]] += 1
    return result
