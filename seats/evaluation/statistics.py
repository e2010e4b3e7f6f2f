"""Accuracy and its comparison with full tokens, with 95 % intervals that know that questions of a clip go together.

Where a clip's questions are right or wrong together, n questions say less than n independent ones would. How much less
is the design effect of Rao & Scott (Biometrics 48, 1992): the variance between clips over the variance were all
questions independent. Counts divided by it go into intervals for independent counts:

- accuracy: Wilson (JASA 22, 1927);
- difference of two accuracies on the same questions: method 10 of Newcombe (Statistics in Medicine 17, 1998,
  2635-2650), which stays sensible where hardly any question is answered differently, as a bootstrap does not.

Their ratio, which has no such interval, gets percentiles of a bootstrap over clips (Field & Welsh, JRSS B 69, 2007)
with a fixed seed.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Z_95 = 1.959964
RESAMPLES = 5000
SEED = 0
_BLOCK = 100
Interval = tuple[float, float]
METHODS = {
    "accuracy": "Wilson, counts divided by the design effect of clips (Rao & Scott 1992)",
    "difference": "Newcombe 1998, method 10, counts divided by the design effect of clips (Rao & Scott 1992)",
    "share_of_full": f"percentiles of {RESAMPLES} bootstrap resamples of clips, seed {SEED}",
}
"""How each 95 % interval is made, for reports."""
FEW_CLIPS = 20
"""Below this many clips it is uncertain how much they differ, and intervals that rest on it are too narrow."""


@dataclass(frozen=True)
class Accuracy:
    """right of total answers. design_effect: >= 1, what the total is divided by for the interval."""

    right: int
    total: int
    design_effect: float = 1.0

    @classmethod
    def of(cls, right: Sequence[bool], clips: Sequence[Hashable]) -> Accuracy:
        """Of answers, right or not, about clips."""
        return cls(sum(right), len(right), design_effect([float(value) for value in right], clips))

    @property
    def share(self) -> float:
        """In [0, 1]; nan if there were no questions."""
        return self.right / self.total if self.total else math.nan

    def interval(self) -> Interval:
        """95 % interval of the share, inside [0, 1]."""
        return wilson(self.right / self.design_effect, self.total / self.design_effect)


@dataclass(frozen=True)
class Comparison:
    """A method against full tokens on the `total` questions that both answered, about `clips` clips.

    difference: of the accuracies, in [-1, 1]. share_of_full: their ratio; None if full tokens got nothing right, its
    interval None with fewer than two clips too. full: accuracy of full tokens on these questions.
    """

    total: int
    clips: int
    full: Accuracy
    difference: float
    difference_interval: Interval
    share_of_full: float | None
    share_of_full_interval: Interval | None


def compare(method: Sequence[bool], full: Sequence[bool], clips: Sequence[Hashable]) -> Comparison:
    """Compare answers, right or not, to the same questions. clips: which clip each is about; at least one question."""
    right = sum(full)
    return Comparison(
        total=len(full),
        clips=len(set(clips)),
        full=Accuracy.of(full, clips),
        difference=(sum(method) - right) / len(full),
        difference_interval=paired_interval(method, full, clips),
        share_of_full=sum(method) / right if right else None,
        share_of_full_interval=ratio_interval(method, full, clips),
    )


def paired_interval(first: Sequence[bool], second: Sequence[bool], clips: Sequence[Hashable]) -> Interval:
    """95 % interval of the first accuracy minus the second, of answers to the same questions about `clips`."""
    pairs = list(zip(first, second, strict=True))
    table = [pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
    effect = design_effect([float(a) - float(b) for a, b in pairs], clips)
    return newcombe(*(count / effect for count in table))


def wilson(right: float, total: float) -> Interval:
    """95 % score interval of a share; counts need not be whole."""
    if not total:
        return 0.0, 1.0
    p = right / total
    middle = p + Z_95**2 / (2 * total)
    spread = Z_95 * math.sqrt(p * (1 - p) / total + Z_95**2 / (4 * total**2))
    scale = 1 + Z_95**2 / total
    # The bounds hold p exactly at 0 and 1, where rounding may put it a hair outside.
    return max(0.0, min(p, (middle - spread) / scale)), min(1.0, max(p, (middle + spread) / scale))


def newcombe(both: float, first: float, second: float, neither: float) -> Interval:
    """95 % interval of the difference of two shares on the same questions, first minus second: method 10.

    both, first, second, neither: how many questions both got right, only the first, only the second, and neither;
    counts need not be whole. Their sum is above 0.
    """
    n = both + first + second + neither
    p1, p2 = (both + first) / n, (both + second) / n
    (low1, high1), (low2, high2) = wilson(both + first, n), wilson(both + second, n)
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    cross = both * neither - first * second
    if cross > 0:
        cross = max(cross - n / 2, 0.0)
    phi = cross / math.sqrt(margins) if margins > 0 else 0.0

    def distance(a: float, b: float) -> float:
        return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))

    difference = p1 - p2
    return difference - distance(p1 - low1, high2 - p2), difference + distance(high1 - p1, p2 - low2)


def design_effect(values: Sequence[float], clips: Sequence[Hashable]) -> float:
    """Variance of the values' mean with clips as the units drawn, over its variance with values as units; at least 1.

    1 for one question a clip, where all values are equal, and for fewer than two clips, which cannot tell; see
    `few_clips` for what to say then.
    """
    clip, groups = _numbered(clips)
    x = np.asarray(values, dtype=np.float64)
    if groups < 2 or groups == len(x) or np.ptp(x) == 0:
        return 1.0
    off = x - x.mean()
    independent = (off**2).sum() * len(x) / (len(x) - 1)
    clustered = (np.bincount(clip, off, groups) ** 2).sum() * groups / (groups - 1)
    return max(1.0, float(clustered / independent)) if independent > 0 else 1.0


def few_clips(questions: int, clips: int) -> str:
    """What is to be said of 95 % intervals of accuracy over so few clips; "" where there are enough, or one question a
    clip."""
    if clips >= FEW_CLIPS or questions <= clips:
        return ""
    if clips == 1:
        return "all questions are about one clip: intervals take them as independent, and say nothing of other clips"
    return f"with {clips} clips, intervals are too narrow"


def ratio_interval(method: Sequence[bool], full: Sequence[bool], clips: Sequence[Hashable]) -> Interval | None:
    """95 % interval of accuracy over full-token accuracy: percentiles over resampled clips.

    Too narrow with only a few clips. None for fewer than two clips, or if full tokens got nothing right.
    """
    clip, groups = _numbered(clips)
    if groups < 2 or not any(full):
        return None
    right = np.stack([np.bincount(clip, np.asarray(values, dtype=np.float64), groups) for values in (method, full)], 1)
    sums = (_weights(groups) @ right.astype(np.float32)).astype(np.float64)  # whole numbers, so exact
    sums = sums[sums[:, 1] > 0]
    low, high = np.quantile(sums[:, 0] / sums[:, 1], (0.025, 0.975))
    return float(low), float(high)


@lru_cache(maxsize=2)
def _weights(groups: int) -> np.ndarray:
    """How often each resample `[RESAMPLES, groups]` draws each clip."""
    rng = np.random.default_rng(SEED)
    made = np.empty((RESAMPLES, groups), dtype=np.float32)
    for start in range(0, RESAMPLES, _BLOCK):  # all at once, those of 20,000 clips took 1.6 GB beside the model
        made[start : start + _BLOCK] = rng.multinomial(groups, np.full(groups, 1 / groups), size=_BLOCK)
    return made


def _numbered(clips: Sequence[Hashable]) -> tuple[np.ndarray, int]:
    """Clips as numbers from 0, and how many there are."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(clip, len(numbers)) for clip in clips], dtype=np.int64), len(numbers)
