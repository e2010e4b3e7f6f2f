"""Where an axis is marked."""

from __future__ import annotations

import math


def ticks(low: float, high: float, log: bool, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high` for an axis, at most `most`; `log` takes 1, 2 and 5 times powers of ten."""
    if not low < high:
        return [low]
    if log:
        tens = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for factors in ((1, 2, 5), (1, 3), (1,)):
            found = [factor * 10.0**ten for ten in tens for factor in factors if low <= factor * 10.0**ten <= high]
            if len(found) <= most:
                break
        else:
            found = found[:: math.ceil(len(found) / most)]
        if len(found) >= 2:
            return found
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(step * factor for factor in (1, 2, 5, 10, 20) if (high - low) / (step * factor) <= most - 1)
    found = [step * i for i in range(math.floor(low / step), math.ceil(high / step) + 1)]
    return [tick for tick in found if low - 1e-9 * step <= tick <= high + 1e-9 * step and tick >= low * (1 - 1e-9)]
