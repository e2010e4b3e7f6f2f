"""Rich's consoles as this command line wants them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from rich.console import Console

from seats_cli.environment import terminal_size

ANY_WIDTH = 500
"""Columns enough for every table."""


class ErrorConsole(Console):
    """Of standard error; drops its colours for NO_COLOR and away from a terminal. Interactive, for what moves, on one
    alone: FORCE_COLOR asks for colours in logs too, where every frame would stay. Where nobody reads it any more, or it
    has no room, what is said is lost and nothing else: a batch goes on when `tee` has died of the Ctrl-C meant for it.
    """

    def __init__(self) -> None:
        super().__init__(stderr=True, highlight=False, force_interactive=None if sys.stderr.isatty() else False)
        if self.is_dumb_terminal:  # whose size Rich does not ask for; standard output may be none, see `prepare`
            self.size = terminal_size()

    def print(self, *objects: Any, **options: Any) -> None:
        with suppress(OSError):
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        self.quiet = True
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


class OutputConsole(Console):
    """Of standard output, for tables; away from a terminal with all columns, unless COLUMNS says how wide."""

    def __init__(self) -> None:
        super().__init__(highlight=False)
        if not self.is_terminal and not os.environ.get("COLUMNS"):
            self.width = ANY_WIDTH

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError
