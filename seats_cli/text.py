"""Numbers and foreign text made fit to print."""

from __future__ import annotations

import os


def one_line(text: str) -> str:
    """The text on one line, control characters (which could steer a terminal) replaced."""
    return printable(" ".join(text.split()))


LONG_PATH = 255
"""Characters of a path that are shown; longer ones are hardly meant."""


def short(text: object, most: int = 80) -> str:
    """What a user typed, as much of it as a message has room for."""
    said = os.fsdecode(text) if isinstance(text, bytes) else str(text)
    return said if len(said) <= most else f"{said[: most - 1]}\u2026"


def printable(text: str) -> str:
    """The text without control characters other than line breaks and tabs."""
    return "".join(c if c.isprintable() or c in "\n\t " else "\ufffd" for c in text)


def milliseconds(ms: float) -> str:
    """340 ms, 1.24 s, 2 min 05 s."""
    if ms < 10:
        return f"{ms:.1f} ms"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 9_995:
        return f"{ms / 1e3:.2f} s"
    if ms < 59_950:
        return f"{ms / 1e3:.1f} s"
    minutes, seconds = divmod(round(ms / 1e3), 60)
    return f"{minutes} min {seconds:02d} s"


SHOWN_S = 0.05
"""`seconds` tells less as 0.0 s."""


def seconds(value: float) -> str:
    """8.0 s below a minute, then 12:34.5 or 1:02:03.4."""
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def flops(value: float, unit: str = "FLOPs") -> str:
    """1.23 TFLOPs; three digits that count."""
    for scale, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= 0.9995 * scale:
            return f"{_three_digits(value / scale)} {prefix}{unit}"
    return f"{value:.0f} {unit}".strip()


def times(ratio: float) -> str:
    """8.63×."""
    return f"{_three_digits(ratio)}×"  # noqa: RUF001


def size(count: float) -> str:
    """1.5 GiB."""
    for scale, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= scale:
            return f"{_three_digits(count / scale)} {unit}"
    return f"{count:.0f} B"


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"
