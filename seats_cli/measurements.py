# ruff: noqa: RUF001  (a multiplication sign is meant)
"""Tables of `seats bench` and `seats profile`, from their JSON documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from seats.devices import kind_of
from seats.units import flops, milliseconds, size
from seats_cli.flow import one_word_wide

Cell = Callable[[dict[str, Any]], str | None]

_STEPS = {
    "prepare": "prepare",
    "encode_video": "vision",
    "encode_audio": "audio",
    "saliency": "saliency",
    "selection": "selection",
    "prefill": "prefill",
    "selection_and_prefill": "selection + prefill",
    "first_token": "first token",
    "per_output_token": "a token",
}
_RATIOS = {
    "selection_and_prefill": "selection + prefill",
    "with_saliency": "with saliency",
    "over_stock": "stock prefill",
    "vision_over_stock": "stock vision",
    "first_token": "first token",
    "per_output_token": "a token",
}


def tables(document: dict[str, Any]) -> Group:
    """Times, how many times faster than full tokens, and costs: one line a setting, and why others were left out.

    Columns without a value for any setting are left out.
    """
    rows = document["rows"]
    left_out = [Text(f"{row['label']}: {row['error']}", style="yellow") for row in rows if row["error"] is not None]
    shown = [row for row in rows if row["error"] is None]
    times = [(name, _at("latency_ms", key, _median)) for key, name in _STEPS.items()]
    times.append(("first token from the file", _at("from_file_ms", "first_token", _median)))
    faster = [(name, _at("speedup", key, _with_spread)) for key, name in _RATIOS.items()]
    on_gpu = kind_of(document["machine"]["device"]) == "cuda"  # elsewhere a device's part of it cannot be told
    peak = "peak memory" if on_gpu else "the process's peak so far"
    costs: list[tuple[str, Cell]] = [
        ("FLOPs", _at("flops", "selection_and_prefill", flops)),
        ("fewer", _at("flops", "reduction", lambda value: f"{value:.2f}×")),
        ("than stock", _at("flops", "reduction_over_stock", lambda value: f"{value:.2f}×")),
        ("vision's rate", _at("rate_share", "vision_encoder", _percent)),
        ("prefill's rate", _at("rate_share", "prefill", _percent)),
        ("selecting, of full prefill", _at("selection_share_of_full_prefill", "median", _percent)),
        ("cache", _at("memory_bytes", "kv_cache", size)),
        (peak, _at("memory_bytes", "peak_device", size)),
    ]
    return Group(
        _table("time, median", times, shown),
        _table("times faster than full tokens, round by round: median (lowest to highest)", faster, shown),
        _table("cost", costs, shown),
        *left_out,
    )


def _table(title: str, columns: Iterable[tuple[str, Cell]], rows: list[dict[str, Any]]) -> _Table:
    filled = [(name, [cell(row) or "" for row in rows]) for name, cell in columns]
    return _Table(title, [row["label"] for row in rows], [column for column in filled if any(column[1])])


@dataclass(frozen=True)
class _Table:
    """A table that breaks lines between the words of a heading only, and goes on below where the width is used up.

    columns: heading, and a cell for each label."""

    title: str
    labels: list[str]
    columns: list[tuple[str, list[str]]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        whole = self._of(self.columns, self.title)
        if _width(console, options, whole) <= options.max_width:
            yield whole
            return
        title = self.title
        left = [(one_word_wide(name), [cell.replace(" (", "\n(") for cell in cells]) for name, cells in self.columns]
        while left:
            many = len(left)
            while many > 1 and _width(console, options, self._of(left[:many], title)) > options.max_width:
                many -= 1
            yield self._of(left[:many], title)
            title, left = "", left[many:]

    def _of(self, columns: list[tuple[str, list[str]]], title: str) -> Table:
        made = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="dim")
        made.add_column("", overflow="fold")  # takes several lines where not even one column fits beside it
        for name, _ in columns:
            made.add_column(name, justify="right", no_wrap=True)
        for index, label in enumerate(self.labels):
            made.add_row(Text(label), *(cells[index] or "-" for _, cells in columns))
        return made


def _width(console: Console, options: ConsoleOptions, table: Table) -> int:
    """Characters of the table alone; its title may take several lines."""
    bare = copy(table)
    bare.title = None
    return Measurement.get(console, options.update(max_width=10_000), bare).maximum


def _at(group: str, key: str, show: Callable[[Any], str | None]) -> Cell:
    """Shows one value of a row, None where it has none."""

    def cell(row: dict[str, Any]) -> str | None:
        value = (row.get(group) or {}).get(key)
        return None if value is None else show(value)

    return cell


def _median(spread: dict[str, float]) -> str | None:
    return milliseconds(spread["median"]) if spread["median"] else None


def _with_spread(spread: dict[str, float]) -> str:
    return f"{spread['median']:.2f} ({spread['low']:.2f} to {spread['high']:.2f})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
