"""Results of an evaluation as columns of text, for a terminal, a Markdown file, or whatever else shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seats.evaluation.qa import ALL
from seats.evaluation.results import Results, SettingResult
from seats.evaluation.statistics import FEW_CLIPS, Interval, few_clips
from seats.units import counted, flops


@dataclass(frozen=True)
class Column:
    """One column. align: of its cells."""

    title: str
    cells: tuple[str, ...]
    align: Literal["left", "right"] = "right"


LEVELS = (
    ("method", "keep", "accuracy", "difference", "share", "flops", "prefill", "kept"),
    ("method", "keep", "accuracy", "difference", "share", "flops", "prefill"),
    ("method", "keep", "accuracy", "difference", "share only", "flops share", "prefill"),
    ("method", "keep", "accuracy", "difference", "share only", "flops share"),
    ("method", "keep", "accuracy", "difference only", "share only", "flops share"),
    ("method", "keep", "accuracy only", "difference only", "flops share"),
    ("method", "keep", "accuracy only", "flops share"),
    ("method", "keep", "accuracy only"),
)
"""Columns of `main_table`, from everything to what fits a narrow terminal."""


def main_table(results: Results, level: int = 0) -> list[Column]:
    """A row for each setting. level: index into `LEVELS`. Comparisons only where full tokens answered too."""
    compared = results.full() is not None
    made = {
        "method": ("method", lambda r: r.setting.method),
        "keep": ("keep", lambda r: r.setting.label.removeprefix(r.setting.method).strip()),
        "accuracy": ("accuracy, %", lambda r: _accuracy(r, interval=True)),
        "accuracy only": ("accuracy, %", lambda r: _accuracy(r, interval=False)),
        "difference": ("against full", lambda r: _difference(r, interval=True)),
        "difference only": ("against full", lambda r: _difference(r, interval=False)),
        "share": ("% of full", lambda r: _share(r, interval=True)),
        "share only": ("% of full", lambda r: _share(r, interval=False)),
        "flops": ("LLM FLOPs", lambda r: _flops(r, share_only=False)),
        "flops share": ("FLOPs", lambda r: _flops(r, share_only=True)),
        "prefill": ("prefill, ms", _prefill),
        "kept": ("kept: video, audio", _kept),
    }
    shown = [made[name] for name in LEVELS[level] if compared or made[name][0] not in ("against full", "% of full")]
    return [
        Column(title, tuple(cell(r) for r in results.settings), "left" if title == "method" else "right")
        for title, cell in shown
    ]


def type_tables(results: Results, width: int = 6) -> list[list[Column]]:
    """Tables of accuracy in % by question type, at most `width` settings in each. Types are rows, the total last."""
    reached = [r for r in results.settings if r.reached]
    tables = []
    for start in range(0, len(reached), width):
        columns = [Column("type", tuple(results.types), "left")]
        for r in reached[start : start + width]:
            cells = (_percent(r.accuracy[name].share) if name in r.accuracy else "" for name in results.types)
            columns.append(Column(r.setting.label + ("*" if r.partial else ""), tuple(cells)))
        columns.append(Column("questions", tuple(f"{count:,}" for count in results.types.values())))
        tables.append(columns)
    return tables


def title(results: Results) -> str:
    """What the tables are about."""
    how = ", --kv drop" if results.asking.kv == "drop" else ""
    return f"{results.model} on {results.benchmark}: {results.size}{how}"


def notes(results: Results, level: int = 0) -> list[str]:
    """What a reader must know beside the table, a line each: settings that are missing or partial, and how figures are
    made. level: of the table, as to `main_table`."""
    shown = LEVELS[level]
    reasons: dict[str, list[str]] = {}
    for r in results.settings:
        if r.unreachable:
            reasons.setdefault(r.reason, []).append(r.setting.label)
    lines = [f"{', '.join(labels)} unreachable: {reason}" for reason, labels in reasons.items()]
    for r in results.settings:
        if r.partial:
            part = f"{r.answered:,} of {counted(r.asked, 'question')}"
            lines.append(f"* {r.setting.label}: all its figures are of {part}{_missing(r)}")
        elif r.failed:
            whole = "all " if 1 < r.failed == r.asked else ""
            lines.append(f"{r.setting.label}: {whole}{counted(r.failed, 'question')} failed")
    if {"accuracy", "difference", "share"} & {*shown}:
        lines += _intervals(results)
    of_cost = {
        "flops": "LLM FLOPs: selection + prefill, median, and as a share of what all tokens would cost, in sum",
        "flops share": "FLOPs: of the LLM's selection + prefill, of what all tokens would cost",
        "prefill": "prefill: selection + prefill, median, without the saliency, which is read once for all methods",
    }
    costs = [said for name, said in of_cost.items() if name in shown]
    return [*lines, "; ".join(costs)] if costs else lines


def _intervals(results: Results) -> list[str]:
    """How the intervals are made, and what they are worth."""
    several, full = results.clips > 1, results.full() is not None
    made = "against full: Newcombe's method 10" + ("; % of full: bootstrap over clips" if several else "")
    lines = [
        "in brackets 95 % intervals"
        + (" that allow for questions of one clip being alike" if several else "")
        + (f" ({made})" if full else "")
    ]
    caution = few_clips(results.questions, results.clips)
    if not caution and full and several and results.clips < FEW_CLIPS:
        caution = f"with {results.clips} clips, intervals of % of full are too narrow"
    return [*lines, caution] if caution else lines


def _missing(r: SettingResult) -> str:
    said = ""
    if r.unserved:
        said += f"; it cannot serve {counted(r.unserved_clips, 'clip')} ({r.reason})"
    if r.failed:
        said += f"; {r.failed:,} failed"
    return said


def _accuracy(r: SettingResult, interval: bool) -> str:
    if not r.reached:
        return "unreachable" if r.unreachable else "failed"
    found = r.accuracy[ALL]
    said = f"{_percent(found.share)}{'*' if r.partial else ''}"
    return f"{said} {_interval(found.interval())}" if interval else said


def _difference(r: SettingResult, interval: bool) -> str:
    if r.versus_full is None:
        return ""
    said = f"{100 * r.versus_full.difference:+.1f}"
    return f"{said} {_interval(r.versus_full.difference_interval, '+')}" if interval else said


def _share(r: SettingResult, interval: bool) -> str:
    if r.versus_full is None or r.versus_full.share_of_full is None:
        return ""
    said, between = _percent(r.versus_full.share_of_full), r.versus_full.share_of_full_interval
    return f"{said} {_interval(between)}" if interval and between else said


def _flops(r: SettingResult, share_only: bool) -> str:
    if r.llm_flops is None or r.llm_flops_share is None:
        return ""
    share = f"{100 * r.llm_flops_share:.0f}%"
    return share if share_only else f"{flops(r.llm_flops)} ({share})"


def _prefill(r: SettingResult) -> str:
    if r.prefill_ms is None:
        return ""
    return f"{r.prefill_ms:.1f}" if r.prefill_ms < 100 else f"{r.prefill_ms:,.0f}"


def _kept(r: SettingResult) -> str:
    if not r.reached:
        return ""
    return ", ".join("-" if share is None else f"{_percent(share)}%" for share in (r.video, r.audio))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _interval(interval: Interval, sign: str = "") -> str:
    return f"[{100 * interval[0]:{sign}.1f}, {100 * interval[1]:{sign}.1f}]"
