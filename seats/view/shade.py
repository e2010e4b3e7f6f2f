"""How a token's leaving is shown: colour, pattern and veil of each moment, the same on pages, in figures and films.

The earlier a token left, the less of the picture is seen through its veil; the order can be read without colours. The
colours are steps of viridis (readable with every common colour blindness, rising in lightness) and amber.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from seats.view.token_map import Moment

Pattern = Literal["solid", "rise", "fall", "dots", "cross", "frame"]

_INSIDE_COLOURS = ("#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d")
_INSIDE_PATTERNS: tuple[Pattern, ...] = ("rise", "fall", "dots", "cross")
_LATE_COLOUR = "#f2b134"
PATTERN_SIDE = 6
"""Pixels after which a pattern repeats."""


@dataclass(frozen=True)
class Shade:
    """colour: "#rrggbb". veil: opacity in [0, 1] of the colour over the picture. pattern: drawn on the veil."""

    colour: str
    pattern: Pattern
    veil: float

    @property
    def rgb(self) -> np.ndarray:
        """float32 `[3]` in [0, 255]."""
        return np.array([int(self.colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float32)


def shades(moments: Sequence[Moment]) -> tuple[Shade, ...]:
    """One per moment."""
    inside = [moment for moment in moments if moment.stage == "inside"]
    found = []
    for moment in moments:
        if moment.stage == "before":
            found.append(Shade("#1c212a", "solid", 0.82))
        elif moment.stage == "late":
            found.append(Shade(_LATE_COLOUR, "frame", 0.0))
        else:
            place = inside.index(moment)
            share = place / max(len(inside) - 1, 1)
            colour = _INSIDE_COLOURS[round(share * (len(_INSIDE_COLOURS) - 1))]
            found.append(Shade(colour, _INSIDE_PATTERNS[place % len(_INSIDE_PATTERNS)], 0.72 - 0.3 * share))
    return tuple(found)


def pattern_mask(pattern: Pattern, height: int, width: int) -> np.ndarray:
    """Bool `[height, width]`: the pixels that a pattern marks; none for "solid" and "frame"."""
    y, x = np.mgrid[:height, :width]
    side = PATTERN_SIDE
    if pattern == "rise":
        return (x + y) % side < 2
    if pattern == "fall":
        return (x - y) % side < 2
    if pattern == "dots":
        return (x % side < 2) & (y % side < 2)
    if pattern == "cross":
        return (x % side < 1) | (y % side < 1)
    return np.zeros((height, width), dtype=bool)


def shade_picture(picture: np.ndarray, left: np.ndarray, kinds: Sequence[Shade]) -> np.ndarray:
    """Burn the mask into a picture.

    picture: uint8 `[h, w, 3]`. left: `[H, W]`, the moment at which each token of the picture left, `len(kinds)` for
    never. Returns uint8 `[h, w, 3]`.
    """
    height, width = picture.shape[:2]
    rows = np.arange(height) * left.shape[0] // height
    columns = np.arange(width) * left.shape[1] // width
    moment = left[rows][:, columns]
    result = picture.astype(np.float32)
    for number, shade in enumerate(kinds):
        here = moment == number
        if shade.pattern == "frame":
            result[here & _inner_border(rows, columns)] = shade.rgb
            continue
        result[here] += (shade.rgb - result[here]) * shade.veil
        marked = here & pattern_mask(shade.pattern, height, width)
        result[marked] += (255 - result[marked]) * 0.32
    return np.clip(result + 0.5, 0, 255).astype(np.uint8)


def _inner_border(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bool `[h, w]`: the outermost pixels of each token."""

    def edges(of: np.ndarray) -> np.ndarray:
        change = np.flatnonzero(np.diff(of)) + 1
        marked = np.zeros(len(of), dtype=bool)
        marked[np.concatenate([[0], change, change - 1, [len(of) - 1]])] = True
        return marked

    return edges(rows)[:, None] | edges(columns)[None]
