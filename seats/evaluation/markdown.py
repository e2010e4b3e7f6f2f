"""Results of an evaluation as a Markdown file with tables as GitHub shows them."""

from __future__ import annotations

from collections.abc import Iterable

from seats.evaluation.results import Results
from seats.evaluation.table import Column, main_table, notes, title, type_tables
from seats.files import MARK
from seats.text import markdown_escaped


def markdown(results: Results, *, by_type: bool) -> str:
    """The whole file's text. by_type: also accuracy by question type."""
    parts = [f"**{markdown_escaped(title(results))}**", _table(main_table(results))]
    parts.append("\n".join(f"- {markdown_escaped(note)}" for note in notes(results)))
    if by_type:
        parts += map(_table, type_tables(results))
    parts.append(f"<!-- {MARK} -->")
    return "\n\n".join(parts) + "\n"


def _table(columns: list[Column]) -> str:
    lines = [
        _line(column.title for column in columns),
        "| " + " | ".join("---:" if column.align == "right" else "---" for column in columns) + " |",
    ]
    lines += [_line(cells) for cells in zip(*(column.cells for column in columns), strict=True)]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(markdown_escaped, cells))} |"
