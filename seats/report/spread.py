"""Many numbers, and the few that a report says of them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Where the values lie: count, median, 5th and 95th percentile, highest, mean, sum, in the values' own unit."""

    count: int
    median: float
    p05: float
    p95: float
    highest: float
    mean: float
    total: float


class Values:
    """Collects numbers at eight bytes each, None left out."""

    def __init__(self) -> None:
        self.numbers = array("d")

    def add(self, value: float | None) -> None:
        """Takes finite numbers; None is not counted."""
        if value is not None:
            self.numbers.append(value)

    def spread(self) -> Spread | None:
        """None if there are no values."""
        if not self.numbers:
            return None
        ordered = sorted(self.numbers)
        total = math.fsum(ordered)
        return Spread(
            count=len(ordered),
            median=quantile(ordered, 0.5),
            p05=quantile(ordered, 0.05),
            p95=quantile(ordered, 0.95),
            highest=ordered[-1],
            mean=total / len(ordered),
            total=total,
        )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` in [0, 1] of the ordered, non-empty values lie, linear between neighbours."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


@dataclass(frozen=True)
class Histogram:
    """counts[i] values lie from edges[i] to edges[i + 1]; log: the edges grow by a factor, not by a step."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    log: bool


def histogram(values: Sequence[float]) -> Histogram | None:
    """Of positive values; more bins the more there are (2 n^(1/3), Rice's rule). None if there are no values.

    Logarithmic where the largest is over eight times the smallest, as times of mixed clips are.
    """
    positive = [value for value in values if value > 0]
    if not positive:
        return None
    low, high = min(positive), max(positive)
    if high / low < 1.001:
        low, high = 0.9 * low, 1.1 * high
    log = high / low > 8
    bins = min(40, max(8, math.ceil(2 * len(positive) ** (1 / 3))))
    start, end = (math.log(low), math.log(high)) if log else (low, high)
    step = (end - start) / bins
    counts = [0] * bins
    for value in positive:
        place = ((math.log(value) if log else value) - start) / step
        counts[min(int(place), bins - 1)] += 1
    marks = [start + i * step for i in range(bins + 1)]
    return Histogram(tuple(math.exp(mark) if log else mark for mark in marks), tuple(counts), log)
