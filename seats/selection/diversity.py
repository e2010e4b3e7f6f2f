"""Stage I of SEATS: inside each window, keep tokens that are salient and unlike the ones already kept."""

import torch
from torch import Tensor

from seats.errors import SettingsError
from seats.selection import triton_kernels
from seats.selection.counts import keep_count, windows_at_once


def select_diverse(features: Tensor, saliency: Tensor | None, window: int, ratio: float) -> Tensor:
    """Keep max(1, round(ratio * n)) tokens of each window of n by saliency-weighted max-min diversity.

    The first token kept has the largest saliency times distance to its nearest neighbour; each further one
    the largest saliency times distance to the nearest token kept so far. Distance is 1 - cosine, in float32.
    Ties go to the lowest index, no token is chosen twice. Rounding is half to even. Never waits for the
    device.

    Args:
        features: [T, D] embeddings of one modality in sequence order, any float type and device.
        saliency: [T], at least 0, on the same device; None weighs all tokens alike.
        window: tokens per window, at least 1; the last window is shorter if T is no multiple.
        ratio: share of a window to keep, in [0, 1]; at 0 one token stays all the same.

    Returns:
        [T] bool, True where the token is kept.

    Raises SettingsError for a ratio or window outside its range, ValueError for shapes that do not agree.
    Source: SEATS (arXiv 2605.20035), pre-LLM selection. Memory: T * (D + window) floats, of long clips some windows'
    at a time.
    """
    if not 0 <= ratio <= 1:
        raise SettingsError(f"retention {ratio:g} is outside [0, 1]: give a share of the tokens to keep")
    if window < 1:
        raise SettingsError(f"selection window of {window} tokens: give at least 1")
    if features.ndim != 2 or (saliency is not None and saliency.shape != features.shape[:1]):
        shape = None if saliency is None else tuple(saliency.shape)
        raise ValueError(f"features {tuple(features.shape)} must be [T, D] and saliency {shape} [T]")

    T = features.shape[0]
    size = min(window, T)
    if keep_count(size, ratio) == size:
        return torch.ones(T, dtype=torch.bool, device=features.device)
    num_windows = -(-T // size)
    last = T - (num_windows - 1) * size

    keep = torch.zeros(num_windows, size, dtype=torch.bool, device=features.device)
    at_once = windows_at_once(size, features.shape[1])
    for first in range(0, num_windows, at_once):
        windows = min(at_once, num_windows - first)
        rows = slice(first * size, (first + windows) * size)
        distance = _window_distances(features[rows], None if saliency is None else saliency[rows], windows, size)
        ends = first + windows == num_windows
        if ends and last < size:
            distance[-1, last:, :] = torch.inf  # a padded row is nobody's neighbour
            distance[-1, :, last:] = -torch.inf  # a padded column is never chosen
        picks = _farthest_first(distance, keep_count(size, ratio))
        del distance  # before the next ones are computed
        mine = keep[first : first + windows]
        whole = windows - 1 if ends else windows
        mine[:whole].scatter_(1, picks[:whole], True)
        mine[whole:].scatter_(1, picks[whole:, : keep_count(last, ratio)], True)
    return keep.flatten()[:T]


def select_even(T: int, count: int, device: torch.device | str = "cpu") -> Tensor:
    """Bool [T]: `count` of T tokens, 1..T, in the middle of as many equal stretches. Never waits for the device."""
    at = (2 * torch.arange(count, device=device) + 1) * T // (2 * count)
    return torch.zeros(T, dtype=torch.bool, device=device).index_fill_(0, at, True)


def _window_distances(features: Tensor, saliency: Tensor | None, num_windows: int, size: int) -> Tensor:
    """[W, n, n] float32: cosine distance of candidate j (column) from token i (row), times the saliency of
    j."""
    length = num_windows * size
    if features.is_cuda and features.dtype in (torch.bfloat16, torch.float16):
        # Matrix units take 16 bits, and their products are exact in float32: norms are divided out afterwards.
        scale = 1 / (torch.linalg.vector_norm(features, dim=-1, dtype=torch.float32) + 1e-8)
        scale = _padded(scale, length).view(num_windows, size)
        x = _padded(features, length).view(num_windows, size, -1)
        distance = torch.bmm(x, x.transpose(1, 2), out_dtype=torch.float32)
        distance = distance.mul_(scale[:, :, None]).mul_(scale[:, None, :]).neg_().add_(1.0)
    else:
        unit = features.float()
        unit = unit / (unit.norm(dim=-1, keepdim=True) + 1e-8)
        unit = _padded(unit, length).view(num_windows, size, -1)
        distance = torch.bmm(unit, unit.transpose(1, 2)).neg_().add_(1.0)
    if saliency is not None:
        distance *= _padded(saliency.float(), length).view(num_windows, 1, size)
    return distance


def _padded(x: Tensor, length: int) -> Tensor:
    missing = length - x.shape[0]
    return torch.cat([x, x.new_zeros(missing, *x.shape[1:])]) if missing else x


def _farthest_first(distance: Tensor, count: int) -> Tensor:
    """[W, count] picks per window, in order. Overwrites the diagonal of `distance` ([W, n, n])."""
    num_windows, size, _ = distance.shape
    # A column's smallest entry is normally the token itself, so the second smallest is its nearest neighbour.
    nearest = _second_smallest(distance)
    pick = nearest.argmax(1)
    # Once chosen, a token is at -inf from itself: exact duplicates, whose distance rounding can make
    # negative, still come before it, so that every pick is a new token.
    distance.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    if triton_kernels.usable(distance):
        from seats.selection.farthest_triton import LONGEST, fill_picks

        if size <= LONGEST:
            filled = pick.new_empty(num_windows, count)
            filled[:, 0] = pick
            fill_picks(distance, filled)
            return filled
    rows, first = distance.view(-1, size), torch.arange(0, num_windows * size, size, device=distance.device)
    picks, score = [pick], torch.full_like(nearest, torch.inf)
    for _ in range(1, count):
        torch.minimum(score, rows.index_select(0, first + pick), out=score)
        pick = score.argmax(1)
        picks.append(pick)
    return torch.stack(picks, dim=1)


def _second_smallest(distance: Tensor) -> Tensor:
    """[W, n] second smallest entry of each column, n >= 2. Leaves `distance` as it is."""
    smallest, row = distance.min(1, keepdim=True)
    distance.scatter_(1, row, torch.inf)
    second = distance.amin(1)
    distance.scatter_(1, row, smallest)
    return second
