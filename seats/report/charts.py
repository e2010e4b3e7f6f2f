"""Plots as inline SVG.

Places along the x axis are percentages and heights pixels, so a plot takes the width of the page, from a phone's to a
desk's, while its text keeps its size. Colours come from the page's style sheet by class. The texts come from results
files: they pass through Markup.format, which escapes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from markupsafe import Markup

from seats.names import STEP_NAMES
from seats.report.spread import Histogram
from seats.report.summary import PARTS_OF_TOTAL, Comparison, Ratio, Retention
from seats.report.ticks import ticks
from seats.units import milliseconds, percent

_RECT = Markup('<rect class="{}" x="{:.3f}%" y="{:.1f}" width="{:.3f}%" height="{:.1f}"><title>{}</title></rect>')
_LINE = Markup('<line class="{}" x1="{:.3f}%" y1="{:.1f}" x2="{:.3f}%" y2="{:.1f}"/>')
_TEXT = Markup('<text class="{}" x="{:.3f}%" y="{:.1f}" dx="{}" text-anchor="{}">{}</text>')
_NOTHING = Markup("")


def _svg(parts: Iterable[Markup], height: float, said: str | None = None) -> Markup:
    """said: what a screen reader says of it; None where the text beside the plot already says it."""
    head = Markup('role="img" aria-label="{}"').format(said) if said else Markup('aria-hidden="true"')
    return Markup('<svg {} width="100%" height="{:.0f}">{}</svg>').format(head, height, _NOTHING.join(parts))


def stacked(steps: Mapping[str, float], scale: float) -> Markup:
    """One bar of milliseconds by step; `scale` ms take the whole width."""
    parts, start = [], 0.0
    for step in PARTS_OF_TOTAL:
        ms = steps.get(step, 0.0)
        if ms > 0 and scale > 0:
            said = f"{STEP_NAMES[step]}: {milliseconds(ms)}"
            parts.append(_RECT.format(f"step {step}", 100 * start / scale, 0, 100 * ms / scale, 20, said))
            start += ms
    return _svg(parts, 20)


def pair_of_bars(full: float, run: float, scale: float) -> Markup:
    """Full tokens over the run, in the same unit as `scale`, which takes the whole width."""
    if not scale:
        return _svg([], 22)
    bars = (("full", full, 0.5), ("run", run, 12))
    return _svg((_RECT.format(name, 0.1, y, 99.8 * value / scale, 9, "") for name, value, y in bars), 22)


def distribution(found: Histogram, median: float, p95: float) -> Markup:
    """How many rows took how long."""
    top, plot, axis = 36.0, 130.0, 22.0
    floor = top + plot
    low, high = found.edges[0], found.edges[-1]
    most = max(found.counts)

    def place(ms: float) -> float:
        return _log_place(ms, (low, high)) if found.log else 100 * (ms - low) / (high - low)

    parts = []
    for count in ticks(0, most, log=False, most=3):
        if count == int(count):
            y = floor - plot * count / most
            parts += [_LINE.format("grid", 0, y, 100, y), _TEXT.format("tick", 0, y + 4, -6, "end", f"{count:,.0f}")]
    for left, right, count in zip(found.edges, found.edges[1:], found.counts, strict=False):
        if count:
            height = plot * count / most
            said = f"{milliseconds(left)} to {milliseconds(right)}: {count:,}"
            parts.append(_RECT.format("bin", place(left), floor - height, place(right) - place(left), height, said))
    for ms in ticks(low, high, found.log, most=5):
        parts.append(_TEXT.format("tick", place(ms), floor + 16, 0, "middle", _short_time(ms)))
    for name, ms, y in (("median", median, 12), ("95th percentile", p95, 28)):
        x = min(max(place(ms), 0), 100)
        side, dx = ("end", -5) if x > 50 else ("start", 5)
        parts += [_LINE.format("mark", x, y - 9, x, floor)]
        parts += [_TEXT.format("said", x, y, dx, side, f"{name} {milliseconds(ms)}")]
    said = f"Distribution of the total time: median {milliseconds(median)}, 95th percentile {milliseconds(p95)}"
    return _svg(parts, floor + axis, said)


def retention(found: Mapping[str, Retention]) -> Markup:
    """Share of tokens alive: in the clip, before the LLM, in each layer; a line for each modality."""
    top, plot, axis = 8.0, 150.0, 34.0
    floor = top + plot
    shown = {name: found[name].stages for name in ("video", "audio") if name in found and found[name].stages}
    layers = max(len(stages) for stages in shown.values()) - 2
    # The two places before the layers are wide enough for their names on a phone.
    edges = [0.0, 13.0, 26.0, *(26 + 74 * (i + 1) / layers for i in range(layers))] if layers else [0.0, 50.0, 100.0]
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = floor - plot * share
        parts.append(_LINE.format("grid", 0, y, 100, y))
        parts.append(_TEXT.format("tick", 0, y + 4, -6, "end", f"{100 * share:.0f} %"))
    for number, (name, stages) in enumerate(shown.items()):
        before = None
        for left, right, stage in zip(edges, edges[1:], stages, strict=False):
            # Where both are at the same height the second shows as dashes over the first.
            y = floor - plot * stage.share
            said = f"{name}, {stage.name.replace('_', ' ')}: {stage.tokens:,} tokens, {percent(stage.share)}"
            parts.append(_RECT.format(f"area {name}", left, y, right - left, plot * stage.share, said))
            if before is not None:
                parts.append(_LINE.format(f"line {name} n{number}", left, before, left, y))
            parts.append(_LINE.format(f"line {name} n{number}", left, y, right, y))
            before = y
    parts.append(_TEXT.format("tick", edges[1] / 2, floor + 14, 0, "middle", "clip"))
    for i, word in enumerate(("before", "LLM")):
        parts.append(_TEXT.format("tick", (edges[1] + edges[2]) / 2, floor + 14 + 13 * i, 0, "middle", word))
    each = max(1, math.ceil(layers / 7))
    for layer in range(each, layers + 1, each):
        middle = (edges[layer + 1] + edges[layer + 2]) / 2
        parts.append(_TEXT.format("tick", middle, floor + 14, 0, "middle", str(layer)))
    if layers:
        parts.append(_TEXT.format("tick", 63, floor + 28, 0, "middle", "in decoder layer"))
    said = "; ".join(
        f"{name}: {percent(stages[1].share)} before the LLM, {percent(stages[-1].share)} in the last layer"
        for name, stages in shown.items()
    )
    return _svg(parts, floor + axis, f"Tokens alive, {said}")


def ratio_range(comparison: Comparison) -> tuple[float, float]:
    """Lowest and highest ratio on the axis of a comparison, with 1 and some air in it."""
    ratios = [ratio for ratio in (*comparison.latency.values(), comparison.flops) if ratio is not None]
    low = min([1.0, *(ratio.per_pair.p05 for ratio in ratios)])
    high = max([1.0, *(ratio.per_pair.p95 for ratio in ratios)])
    return low / 1.15, high * 1.15


def ratio_dot(ratio: Ratio, span: tuple[float, float]) -> Markup:
    """The ratio of medians as a dot, the middle 90 % of the pairs' ratios as a line, 1 as a hairline. The dot has a
    colour where that line lies on one side of 1."""
    spread = ratio.per_pair
    one, low, middle, high = (_log_place(value, span) for value in (1.0, spread.p05, ratio.ratio, spread.p95))
    parts = [
        _LINE.format("one", one, 0, one, 18),
        _LINE.format("range", low, 9, high, 9),
        Markup('<circle class="dot {}" cx="{:.3f}%" cy="9" r="5"/>').format(
            "less" if spread.p05 > 1 else "more" if spread.p95 < 1 else "even", middle
        ),
    ]
    return _svg(parts, 18)


def ratio_axis(span: tuple[float, float]) -> Markup:
    """The axis under the dots."""
    found = ticks(*span, log=True, most=5)
    if not any(abs(tick - 1) < 1e-9 for tick in found):
        found = sorted([1.0, *(tick for tick in found if abs(_log_place(tick, span) - _log_place(1.0, span)) > 12)])
    return _svg((_TEXT.format("tick", _log_place(tick, span), 14, 0, "middle", _ratio(tick)) for tick in found), 20)


def _ratio(tick: float) -> str:
    return f"{tick:g}×"  # noqa: RUF001


def _log_place(value: float, span: tuple[float, float]) -> float:
    """Percent of the way on a logarithmic axis."""
    low, high = span
    return 100 * math.log(min(max(value, low), high) / low) / math.log(high / low)


def _short_time(ms: float) -> str:
    """Of a round number on an axis."""
    if ms < 1e3:
        return f"{ms:g} ms"
    return f"{ms / 1e3:g} s" if ms < 6e4 else f"{ms / 6e4:.3g} min"
