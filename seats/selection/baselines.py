"""How many tokens the baselines keep, and which targets they reach, without torch: for the methods and for plans of
them alike. Where the rules come from, the methods in `seats.methods` say."""

from __future__ import annotations

import math

from seats.errors import SettingsError

FASTV_LAYER = 2
"""Decoder layer, 1-based, after which FastV drops."""
CONTEXTUAL = 0.05
"""Share of a window's tokens into which VisionZip merges those that are not dominant."""
LEAST_VIDEO = 0.25
"""Share of the video that DyCoke keeps at least."""
ANCHORS = 0.05
"""Share of the audio tokens into which OmniZip merges others."""
LEAST_DROP, MOST_DROP = 0.35, 0.75
"""Share of a window's video that OmniZip drops."""


def _percent_up(share: float) -> str:
    """A least share in percent, rounded up to a tenth, so that what is named can be had."""
    return f"{math.ceil(1000 * share - 1e-9) / 10:g}"


def random_count(n: int, ratio: float) -> int:
    """Tokens that `random` keeps of `n`: rounded down, at least 1. 0 for n = 0."""
    return min(n, max(1, int(ratio * n)))


def check_fastv(name: str, num_layers: int, video: float, audio: float) -> None:
    """Raise SettingsError for targets in (0, 1] that FastV, called `name`, cannot reach in `num_layers` layers."""
    if num_layers <= FASTV_LAYER:
        raise SettingsError(
            f"{name} drops after layer {FASTV_LAYER}, but the model has {num_layers}: choose another method"
        )
    least = FASTV_LAYER / num_layers
    for what, ratio in (("video", video), ("audio", audio)):
        if ratio <= least:
            raise SettingsError(
                f"{name} cannot keep {100 * ratio:.4g} % of the {what} tokens: its first {FASTV_LAYER} of {num_layers} "
                f"layers see all, so choose --keep-{what} above {_percent_up(least)} %, or a higher --keep"
            )


def fastv_share(ratio: float, num_layers: int) -> float:
    """Share of the tokens that stays after FastV's layer, so that `ratio` of them are alive in the mean layer."""
    return (ratio * num_layers - FASTV_LAYER) / (num_layers - FASTV_LAYER)


def check_visionzip(name: str, what: str, ratio: float) -> None:
    """Raise SettingsError for a target in (0, 1] that VisionZip, called `name`, cannot reach. what: video or audio."""
    if ratio < CONTEXTUAL - 1e-9:
        raise SettingsError(
            f"{name} cannot keep {100 * ratio:.4g} % of the {what} tokens: it merges the rest into {CONTEXTUAL:.0%} of "
            f"them, so choose --keep-{what} {CONTEXTUAL:.0%} to 100%, or a higher --keep"
        )


def visionzip_counts(n: int, ratio: float) -> tuple[int, int]:
    """Dominant and contextual tokens of a window of `n`, at a `ratio` below 1."""
    share = ratio - CONTEXTUAL
    # A product that is a whole number, such as (12 - 5) % of 100, may come out just below it.
    dominant = min(n, max(1, int(share * n + 1e-9))) if share > 0 else 0
    return dominant, min(n - dominant, max(1, round(CONTEXTUAL * n)))


def visionzip_macs(n: int, ratio: float, width: int) -> int:
    """Multiply-adds of merging a window of `n` tokens. width: of a key and an embedding together."""
    dominant, contextual = visionzip_counts(n, ratio)
    return (n - dominant - contextual) * contextual * width


def dycoke_grid(video: float, size: int) -> int:
    """Tokens that DyCoke keeps of a compared grid of `size`, for a share `video` of all of them.

    Raises SettingsError for a share that it cannot reach.
    """
    if video < LEAST_VIDEO - 1e-9:
        raise SettingsError(
            f"dycoke cannot keep {100 * video:.4g} % of the video tokens, all that the target leaves them in this "
            f"clip: it keeps one grid of four, {LEAST_VIDEO:.0%}, so choose a higher --keep"
        )
    dropped = 4 / 3 * (1 - video)
    return int((1 - dropped) * size + 1e-9)


def dycoke_compared(grids: int) -> list[tuple[int, int]]:
    """The grids, of so many, that DyCoke compares, each with the one that it is compared with; others stay whole."""
    return [(grid, grid - 1) for grid in range(1, grids, 2)] + [(first + 2, first) for first in range(0, grids - 4, 4)]


def fastvid_grid(video: float, size: int) -> int:
    """Tokens that FastVID aims to keep of a grid of `size`, for a share `video` of all of them.

    Raises SettingsError for a share that leaves none.
    """
    if (budget := int(video * size)) < 1:
        raise SettingsError(
            f"fastvid cannot keep {100 * video:.4g} % of the video tokens, all that the target leaves them in this "
            f"clip: it keeps one of the {size} in a grid, {_percent_up(1 / size)} %, so choose a higher --keep"
        )
    return budget


def check_omnizip(video: float, audio: float) -> None:
    """Raise SettingsError for targets that OmniZip cannot reach."""
    ranges = (("video", video, 1 - MOST_DROP, 1 - LEAST_DROP), ("audio", audio, ANCHORS, 1.0))
    for what, ratio, low, high in ranges:
        if not low - 1e-9 <= ratio <= high + 1e-9:
            raise SettingsError(
                f"omnizip cannot keep {100 * ratio:.4g} % of the {what} tokens: choose --keep-{what} {low:.0%} to "
                f"{high:.0%}, or a {'higher' if ratio < low else 'lower'} --keep"
            )


def omnizip_audio(n: int, ratio: float) -> tuple[int, int]:
    """Audio tokens, of `n`, that OmniZip keeps by saliency, and anchors among the others."""
    salient = round((ratio - ANCHORS) * n)
    return salient, min(round(ANCHORS * n), n - salient)


def omnizip_grid(drop: float, size: int) -> int:
    """Tokens that OmniZip keeps of a grid of `size` in a window that drops a share `drop`."""
    return int(size * (1 - drop))
