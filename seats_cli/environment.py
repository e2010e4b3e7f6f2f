"""Settings of other libraries that must stand before their first import."""

from __future__ import annotations

import codecs
import os
import sys
from contextlib import suppress

PLAINER = "seats-plainer"
"""Python's name for what happens to characters that the encoding of an output lacks."""
_PLAIN = {
    "\u00b7": "-",  # between pieces of a line
    "\u00d7": "x",
    "\u00b1": "~",
    "\u2192": ">",
    "\u2026": "~",  # what a cell had no room for
    "\u2013": "-",
    "\u2014": "-",
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
}
"""One for one, so that columns stay in line; the last six stand in answers."""


def prepare() -> None:
    """Keep libraries from printing, warning or forking threads on their own. What the user has set stays."""
    defaults = {
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_VERBOSITY": "error",
    }
    _open_missing()
    if not _is_terminal(sys.stderr):
        defaults["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    columns = os.environ.get("COLUMNS", "1")
    # No width at all, into which everything would be drawn, or none that can be.
    if not (columns.isdecimal() and len(columns) < 10 and int(columns)):
        del os.environ["COLUMNS"]
    if os.environ.get("TERM", "").lower() in ("dumb", "unknown") and _is_terminal(sys.stdout):
        # Rich takes 80 columns for a terminal that it calls dumb, unless both are set.
        os.environ["COLUMNS"], os.environ["LINES"] = map(str, terminal_size())
    if not sys.warnoptions:
        import warnings

        warnings.simplefilter("ignore")
    # An answer with a character that the terminal's encoding lacks must not end in a traceback.
    codecs.register_error(PLAINER, _plainer)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=PLAINER)


def terminal_size() -> tuple[int, int]:
    """Columns and lines: as COLUMNS and LINES say, else those of the terminal on standard output or error."""
    import shutil

    known = (80, 25)
    with suppress(OSError, ValueError):
        known = os.get_terminal_size(sys.stderr.fileno())
    columns, lines = shutil.get_terminal_size(known)
    return columns or 80, lines or 25  # a terminal may say 0 of itself


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """What is printed for characters that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(c, "?") for c in error.object[error.start : error.end]), error.end


def _open_missing() -> None:
    """Standard streams that whoever started us has closed (`>&-`) lead nowhere, as /dev/null does. Their numbers are
    taken too, so that no other file gets them and what foreign code prints."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            handle = os.open(os.devnull, os.O_RDWR)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
            os.set_inheritable(number, True)
        setattr(sys, name, open(os.devnull, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115  (to the end)


def _is_terminal(stream: object) -> bool:
    return hasattr(stream, "isatty") and stream.isatty()
