"""A prompt for people: line editing, completion, and a history that outlives the process, where readline is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from seats_cli.text import one_line

KEPT = 1000
"""Lines of history that are kept."""


def history_file(name: str) -> Path | None:
    """`seats/NAME` in `$XDG_STATE_HOME` or `~/.local/state`, None without a home."""
    said = os.environ.get("XDG_STATE_HOME", "")
    try:
        home = Path(said) if os.path.isabs(said) else Path.home() / ".local" / "state"
    except RuntimeError:
        return None
    return home / "seats" / name


class Prompt:
    """Asks for lines.

    text: what stands before them. complete: what the line up to the cursor could go on as, whole words. history: file
    of earlier lines, for the user alone; what cannot be read or written is done without.
    """

    def __init__(self, text: str, complete: Callable[[str], Iterable[str]], history: Path | None) -> None:
        self._text, self._complete, self._history = text, complete, history
        self._found: list[str] = []
        self._last = ""
        # Without a terminal on standard output, input() would write the prompt among the answers.
        self._readline = _readline() if sys.stdout.isatty() else None
        if self._readline is not None:
            self._set_up(self._readline)

    def line(self) -> str:
        """The next line. Raises EOFError at its end (Ctrl-D) and KeyboardInterrupt for Ctrl-C."""
        if sys.stdout.isatty():
            line = input(self._text)
        else:
            sys.stderr.write(self._text)
            sys.stderr.flush()
            line = sys.stdin.readline()
            if not line:
                raise EOFError
        line = line.strip()
        self._remember(one_line(line))
        return line

    @property
    def typed(self) -> str:
        """What stood on the line when it was interrupted."""
        return "" if self._readline is None else self._readline.get_line_buffer().strip()

    def _set_up(self, readline: Any) -> None:
        readline.set_auto_history(False)  # lines are remembered here, without those said twice
        readline.clear_history()
        for line in self._read():
            readline.add_history(line)
            self._last = line
        readline.set_completer_delims(" ")
        readline.set_completer(self._completion)
        edited_by_libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if edited_by_libedit else "tab: complete")

    def _completion(self, word: str, state: int) -> str | None:
        if state == 0:
            assert self._readline is not None
            before = self._readline.get_line_buffer()[: self._readline.get_endidx()]
            self._found = [found for found in self._complete(before) if found.startswith(word)]
        return self._found[state] if state < len(self._found) else None

    def _read(self) -> list[str]:
        """Lines of the history, oldest first; a file that has grown too long is cut."""
        if self._history is None:
            return []
        try:
            lines = self._history.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        if len(lines) > 2 * KEPT:
            self._write("".join(f"{line}\n" for line in lines[-KEPT:]), os.O_TRUNC)
        return lines[-KEPT:]

    def _remember(self, line: str) -> None:
        if self._readline is None or not line or line == self._last:
            return
        self._last = line
        self._readline.add_history(line)
        self._write(f"{line}\n", os.O_APPEND)

    def _write(self, text: str, how: int) -> None:
        """Lines may hold what is nobody else's business, so the file is the user's alone from its first moment."""
        if self._history is None:
            return
        with suppress(OSError):
            self._history.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = os.open(self._history, os.O_WRONLY | os.O_CREAT | how, 0o600)
            with os.fdopen(file, "w", encoding="utf-8", errors="replace") as opened:
                os.fchmod(file, 0o600)
                opened.write(text)


def _readline() -> Any:
    """The module, None where Python was built without it."""
    try:
        import readline
    except ImportError:
        return None
    return readline
