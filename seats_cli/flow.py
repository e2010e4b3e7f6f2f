"""Small things Rich lacks: items that wrap only between each other, tables that break lines only between words, and
bars in eighths of a character."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from textwrap import fill

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

_LONGEST = 30
"""Characters from which on a word, such as a path, may be broken."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"


class Flow:
    """Pieces of text separated by a dot, as many on a line as fit."""

    def __init__(self, pieces: Iterable[Text | str], separator: str = " · ") -> None:
        self.pieces = [piece if isinstance(piece, Text) else Text(piece) for piece in pieces]
        self.separator = Text(separator, style="dim")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = Text()
        for piece in self.pieces:
            if line and line.cell_len + self.separator.cell_len + piece.cell_len > options.max_width:
                yield line
                line = Text()
            if line:
                line.append_text(self.separator)
            line.append_text(piece)  # keeps the piece's style to the piece
        yield line

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        longest = max((piece.cell_len for piece in self.pieces), default=0)
        whole = sum(piece.cell_len for piece in self.pieces) + self.separator.cell_len * (len(self.pieces) - 1)
        return Measurement(min(longest, options.max_width), min(max(whole, 0), options.max_width))


class Fitted:
    """The first of some tables that has room without breaking a word, or a cell of a column of numbers; where none has,
    the last, as Rich makes it fit. makers: the fullest table first. Their boxes are None, and numbers stand right.
    """

    def __init__(self, *makers: Callable[[], Table]) -> None:
        self.makers = makers

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for make in self.makers:
            table = make()
            if fit(table, options.max_width):
                break
        yield table


def fit(table: Table, width: int) -> bool:
    """Set the columns' widths; False, and nothing is changed, where words would have to be broken."""
    _, right, _, left = table.padding
    least = [_least(column) for column in table.columns]
    spare = width - sum(least) - (left + right) * (len(least) - 1)
    if spare < 0:
        return False
    for column, narrow in zip(table.columns, least, strict=True):
        lines = "\n".join(map(_plain, (column.header, *column.cells))).split("\n")
        more = min(spare, max(map(cell_len, lines)) - narrow)
        column.width, column.no_wrap = narrow + more, False  # so that headers wrap, which may be longer than numbers
        spare -= more
    return True


def one_word_wide(heading: str) -> str:
    """The heading over several lines, as wide as its longest word."""
    return fill(heading, max(map(len, heading.split()), default=1))


def _least(column: Column) -> int:
    """Characters of the longest word of a column, or of the longest cell of one with numbers."""
    cells = [_plain(cell) for cell in column.cells]
    words = [_plain(column.header), *([] if column.justify == "right" else cells)]
    longest = max((cell_len(word) for text in words for word in text.split()), default=0)
    return max(min(longest, _LONGEST), *map(cell_len, cells if column.justify == "right" else []), 0)


def _plain(cell: RenderableType) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)


def bar(share: float, width: int, style: str, ascii_only: bool) -> Text:
    """A bar of `share` in [0, 1] of `width` characters; a share above 0 always shows."""
    if ascii_only:
        filled = round(share * width)
        return Text(("#" * max(filled, int(share > 0))).ljust(width), style=style)
    eighths = max(round(share * width * 8), int(share > 0))
    whole, rest = divmod(eighths, 8)
    return Text(("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width), style=style)
