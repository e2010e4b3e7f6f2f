"""Numbers with their units, as a page shows them."""

from __future__ import annotations

import math


def milliseconds(ms: float) -> str:
    """0.4 ms, 340 ms, 1.24 s, 2 min 05 s."""
    if ms < 10:
        return f"{ms:.1f} ms"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 9_995:
        return f"{ms / 1e3:.2f} s"
    if ms < 59_950:
        return f"{ms / 1e3:.1f} s"
    minutes, seconds = divmod(round(ms / 1e3), 60)
    return f"{minutes:,} min {seconds:02d} s"


def flops(value: float) -> str:
    """1.23 T; three digits that count."""
    for scale, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * scale:
            return f"{three_digits(value / scale)} {prefix}"
    return f"{value:.0f}"


def times(ratio: float) -> str:
    """8.63×; 0.031× below a tenth."""
    return f"{ratio:.2g}×" if ratio < 0.0995 else f"{three_digits(ratio)}×"  # noqa: RUF001


def percent(share: float) -> str:
    """6.0 %; two digits below one percent."""
    value = 100 * share
    return f"{value:.2f} %" if 0 < value < 0.995 else f"{value:.1f} %"


def three_digits(value: float) -> str:
    """1.23, 12.3, 1,234."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


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
