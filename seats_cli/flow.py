"""Two small things Rich lacks: items that wrap only between each other, and bars in eighths of a character."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

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


def bar(share: float, width: int, style: str, ascii_only: bool) -> Text:
    """A bar of `share` in [0, 1] of `width` characters; a share above 0 always shows."""
    if ascii_only:
        filled = round(share * width)
        return Text(("#" * max(filled, int(share > 0))).ljust(width), style=style)
    eighths = max(round(share * width * 8), int(share > 0))
    whole, rest = divmod(eighths, 8)
    return Text(("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width), style=style)
