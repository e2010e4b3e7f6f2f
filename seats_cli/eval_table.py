"""Tables of an evaluation on a terminal: as many columns as fit."""

from __future__ import annotations

from itertools import pairwise

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from seats.evaluation.qa import ALL
from seats.evaluation.results import Results
from seats.evaluation.table import LEVELS, Column, main_table, notes, title, type_tables
from seats_cli.consoles import ANY_WIDTH, OutputConsole
from seats_cli.flow import one_word_wide

FEW_SETTINGS = 6
"""Up to so many settings, accuracy by question type is shown without being asked for."""


def show_results(results: Results, *, by_type: bool) -> None:
    """Print the tables on standard output; away from a terminal with all columns, however wide."""
    console = OutputConsole()
    console.print(Text(title(results), style="bold"))
    for level in range(len(LEVELS)):
        table = _main(results, level)
        if _width(console, table) <= console.width:
            break
    else:
        table = _main(results, level, narrow=True)
    console.print(table)
    if by_type:
        for columns in _fitting(console, results):
            table = _table(columns, total_row=ALL)
            fits = _width(console, table) <= console.width
            console.print(table if fits else _table(columns, total_row=ALL, narrow=True))
    lines = notes(results, level)
    if level:
        lines.append("a wider terminal, --markdown or --json shows more")
    for line in lines:
        console.print(Text(line, style="dim"))


def _main(results: Results, level: int, narrow: bool = False) -> Table:
    table = _table(main_table(results, level), narrow=narrow)
    same = [this.setting.method == following.setting.method for this, following in pairwise(results.settings)]
    for row, together in enumerate(same):
        table.rows[row].end_section = len(results.settings) > FEW_SETTINGS and any(same) and not together
    return table


def _fitting(console: Console, results: Results) -> list[list[Column]]:
    """Tables by question type, as many settings side by side as the terminal has room for."""
    most = max(1, sum(r.reached for r in results.settings))
    for width in range(most, 0, -1):
        tables = type_tables(results, width)
        if all(_width(console, _table(columns)) <= console.width for columns in tables):
            break
    return tables


def _table(columns: list[Column], total_row: str | None = None, narrow: bool = False) -> Table:
    """narrow: headings, what is kept, and types over several lines where there is no room for one."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for column in columns:
        title = one_word_wide(column.title) if narrow else column.title
        wraps = narrow and column.title in ("keep", "type")  # else columns of figures would make room for a long type
        table.add_column(title, justify=column.align, no_wrap=not wraps, overflow="fold" if wraps else "ellipsis")
    for cells in zip(*(column.cells for column in columns), strict=True):
        is_total = cells[0] == total_row
        if is_total:
            table.add_section()
        table.add_row(*(Text(cell) for cell in cells), style="bold" if is_total else "")
    return table


def _width(console: Console, table: Table) -> int:
    return Measurement.get(console, console.options.update(max_width=ANY_WIDTH), table).maximum
