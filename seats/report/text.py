"""Text from a results file made fit for a report: it can be of any length and hold anything."""

from __future__ import annotations

import unicodedata

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


def _unfit(character: str) -> bool:
    return character in _BIDI or unicodedata.category(character) in ("Cc", "Cs")
