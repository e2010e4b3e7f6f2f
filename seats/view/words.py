"""Numbers and foreign text as pages and figures write them."""

from __future__ import annotations

import math

from seats import units


def clock(seconds: float) -> str:
    """8.4 s below a minute, then 12:34 or 1:02:03."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    return units.clock(round(seconds))


def in_file(seconds: float, step: float) -> str:
    """A time of a file where times `step` seconds apart stand beside each other: 8.5 s below a minute, then 25:00 as a
    clock shows it, with as many decimals as it takes."""
    digits = 0 if step > 0.99 else 1 if step > 0.099 else 2
    if seconds < 59.995:
        return f"{round(seconds, 2):g} s"
    minutes, rest = divmod(math.floor(seconds * 10**digits + 1e-3) / 10**digits, 60)
    hours, minutes = divmod(int(minutes), 60)
    said = f"{rest:0{digits + 3 if digits else 2}.{digits}f}"
    return f"{hours}:{minutes:02d}:{said}" if hours else f"{minutes}:{said}"


def percent(share: float | None) -> str:
    """6.0 %; a dash for None."""
    return "–" if share is None else f"{100 * share:.1f} %"  # noqa: RUF001


def shortened(text: str, most: int) -> str:
    """The text on one line, cut to `most` characters with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
