"""Accuracy with its uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z_95 = 1.959964


@dataclass(frozen=True)
class Accuracy:
    """right of total answers."""

    right: int
    total: int

    @property
    def share(self) -> float:
        """In [0, 1]; nan if there were no questions."""
        return self.right / self.total if self.total else math.nan

    def interval(self) -> tuple[float, float]:
        """95 % interval of the share (Wilson, 1927), which stays inside [0, 1]."""
        if not self.total:
            return 0.0, 1.0
        n, p = self.total, self.share
        middle = p + Z_95**2 / (2 * n)
        spread = Z_95 * math.sqrt(p * (1 - p) / n + Z_95**2 / (4 * n**2))
        scale = 1 + Z_95**2 / n
        return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
