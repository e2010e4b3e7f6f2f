"""Numbers and foreign text as pages and figures write them."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """8.4 s below a minute, then 12:34 or 1:02:03."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def milliseconds(ms: float) -> str:
    """3.4 ms, 340 ms, 1.24 s."""
    if ms < 9.95:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 999.5 else f"{three_digits(ms / 1e3)} s"


def big(value: float, unit: str) -> str:
    """1.23 TFLOPs; three digits that count."""
    for scale, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= 0.9995 * scale:
            return f"{three_digits(value / scale)} {prefix}{unit}"
    return f"{value:.0f} {unit}"


def three_digits(value: float) -> str:
    """8.63, 86.3, 863."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


def percent(share: float | None) -> str:
    """6.0 %; a dash for None."""
    return "–" if share is None else f"{100 * share:.1f} %"  # noqa: RUF001


def shortened(text: str, most: int) -> str:
    """The text on one line, cut to `most` characters with an ellipsis."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
