"""Texts that can be of any length and hold anything, made fit to be shown or written."""

from __future__ import annotations

import unicodedata

from seats.errors import SeatsError

LONGEST = 600
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def quoted(text: str, longest: int = LONGEST) -> str:
    """At most `longest` characters of the text on one line, an ellipsis where it was cut.

    Halves of surrogate pairs (from file names that are not UTF-8), control characters and marks that turn the writing
    direction become U+FFFD; joiners, which many scripts need, stay.
    """
    # Cut before the work, so that a text of megabytes costs nothing; the spare is for white space that collapses.
    cut = " ".join(text[: 4 * longest].split())
    shown = "".join("\ufffd" if _unfit(character) else character for character in cut[:longest])
    return shown if len(cut) <= longest and len(text) <= 4 * longest else shown + "…"


def printable(text: str) -> str:
    """The text, often a path, with bytes that are not UTF-8 (surrogates in Python) as backslash escapes."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "backslashreplace").decode()


def markdown_escaped(text: str) -> str:
    """Text that Markdown leaves as it is, on one line."""
    return "".join(f"\\{c}" if c in "\\|*_`<[~&$" else c for c in " ".join(text.split()))


def error_line(error: BaseException) -> str:
    """What an error says, on one line of valid UTF-8, after "unexpected" and its class where it is no SeatsError."""
    said = " ".join(printable(str(error)).split())
    if isinstance(error, SeatsError):
        return said
    return f"unexpected {type(error).__name__}{': ' if said else ''}{said}"


def _unfit(character: str) -> bool:
    return character in _BIDI or unicodedata.category(character) in ("Cc", "Cs")
