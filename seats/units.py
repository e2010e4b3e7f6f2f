"""Numbers with their units, as pages, terminals and sentences show them."""

from __future__ import annotations

SHOWN_S = 0.05
"""`seconds` tells less as 0.0 s."""


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


def seconds(value: float) -> str:
    """8.0 s below a minute, then 12:34.5 or 1:02:03.4."""
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


def clock(whole_s: int) -> str:
    """0:40, 12:34 or 1:02:03."""
    minutes, rest = divmod(whole_s, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def duration(time_s: float) -> str:
    """40 s, 5 min, 3 h 20 min, 2 d 4 h."""
    if time_s < 59.5:
        return f"{time_s:.0f} s"
    minutes = round(time_s / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def flops(value: float, unit: str = "") -> str:
    """1.23 T, with the unit 1.23 TFLOPs; three digits that count."""
    for scale, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * scale:
            return f"{three_digits(value / scale)} {prefix}{unit}"
    return f"{value:.0f} {unit}".strip()


def size(count: float) -> str:
    """1.50 GiB."""
    for scale, unit in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= scale - scale / 2048:  # what would round to 1,024 of the unit below
            return f"{three_digits(count / scale)} {unit}"
    return f"{count:.0f} B"


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


def counted(count: int, noun: str) -> str:
    """1 clip, 2,000 clips. noun: in the singular, one that takes an s."""
    return f"{count:,} {noun}{'s' * (count != 1)}"
