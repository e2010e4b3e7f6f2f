"""Where things are printed: the result on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from seats_cli.options import OutputOptions
from seats_cli.text import disarmed, one_line

if TYPE_CHECKING:
    import typer
    from rich.console import Console, RenderableType


class Output:
    """Prints as `--json`, `--quiet` and `--verbose` say. Colours and moving parts only on a terminal."""

    def __init__(self, options: OutputOptions) -> None:
        self.options = options
        self._status: Any = None
        self._streamed = ""

    @cached_property
    def console(self) -> Console:
        """Of standard error."""
        from seats_cli.consoles import ErrorConsole

        return ErrorConsole()

    def say(self, line: str) -> None:
        """One line on standard error, unless --quiet."""
        if not self.options.quiet:
            from rich.text import Text

            self.console.print(Text(one_line(line), style="dim"), soft_wrap=True)

    def say_pieces(self, pieces: Sequence[str]) -> None:
        """Like `say`, of pieces between which a terminal's lines may end."""
        if not self.console.is_terminal:
            self.say(" \u00b7 ".join(pieces))
            return
        from rich.styled import Styled

        from seats_cli.flow import Flow

        self.show(Styled(Flow(map(one_line, pieces)), "dim"))

    def reply(self, line: str) -> None:
        """One line on standard error that was asked for."""
        from rich.text import Text

        self.console.print(Text(disarmed(line)), soft_wrap=True)

    def say_without_effect(self, context: typer.Context, methods: Iterable[str]) -> None:
        """Name the options of this command line that choose tokens, where no method asked for drops any.

        Not those of the environment or the settings file, which are meant for other runs too.
        """
        if set(methods) != {"full"}:
            return
        names = ("keep", "keep_video", "keep_audio", "kv", "compare")
        sources = {name: context.get_parameter_source(name) for name in names}
        given = [f"--{name.replace('_', '-')}" for name, at in sources.items() if at and at.name == "COMMANDLINE"]
        if given:
            self.say(f"--method full keeps all tokens: {' and '.join(given)} will change nothing")

    def detail(self, line: str) -> None:
        """One line on standard error with --verbose."""
        if self.options.verbose:
            self.say(line)

    def show(self, renderable: RenderableType) -> None:
        """Something larger on standard error, unless --quiet."""
        if not self.options.quiet:
            self.console.print(renderable)

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """A sign of life on a terminal while the block runs, or until the answer begins."""
        if self.options.quiet or not self.console.is_interactive:
            yield
            return
        spinner = "dots" if self.console.encoding.startswith("utf") else "line"
        self._status = self.console.status(_plain(what), spinner=spinner)
        self._status.start()
        try:
            yield
        finally:
            self._still()

    def now(self, what: str) -> None:
        """What the sign of life says from here on."""
        if self._status is not None:
            self._status.update(_plain(what))

    def _still(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def stream(self, piece: str) -> None:
        """A piece of the answer, as it comes, unless a JSON document will hold it."""
        if self.options.json:
            return
        self._still()
        if sys.stdout.isatty():
            piece = disarmed(piece)
        if not self._streamed:
            piece = piece.lstrip()
        self._streamed += piece
        sys.stdout.write(piece)
        sys.stdout.flush()

    def end_stream(self) -> None:
        """End the answer's last line."""
        if not self.options.json and not self._streamed.endswith("\n"):
            sys.stdout.write("\n")
            sys.stdout.flush()

    def document(self, value: dict[str, Any]) -> None:
        """The one JSON document of --json; on a terminal over several lines."""
        self._json(value, 2 if sys.stdout.isatty() else None)

    def row(self, value: dict[str, Any]) -> None:
        """One of several JSON documents, on a line of its own."""
        self._json(value, None)

    def _json(self, value: dict[str, Any], indent: int | None) -> None:
        # JSON is UTF-8, whatever the terminal's encoding; where that has no letter for something, it is escaped.
        plain = (sys.stdout.encoding or "utf-8").lower().replace("-", "") == "utf8"
        json.dump(value, sys.stdout, ensure_ascii=not plain, allow_nan=False, indent=indent)
        sys.stdout.write("\n")
        sys.stdout.flush()


def _plain(what: str) -> Any:
    """As it is: a file's name in it is no markup of Rich's, and steers no terminal."""
    from rich.text import Text

    return Text(one_line(what))
