"""Foreign text made fit to print."""

from __future__ import annotations

import os


def one_line(text: str) -> str:
    """The text on one line, control characters (which could steer a terminal) replaced."""
    return disarmed(" ".join(text.split()))


LONG_PATH = 255
"""Characters of a path that are shown; longer ones are hardly meant."""


def short(text: object, most: int = 80) -> str:
    """What a user typed, as much of it as a message has room for."""
    said = os.fsdecode(text) if isinstance(text, bytes) else str(text)
    return said if len(said) <= most else f"{said[: most - 1]}\u2026"


def disarmed(text: str) -> str:
    """The text without control characters other than line breaks and tabs."""
    return "".join(c if c.isprintable() or c in "\n\t " else "\ufffd" for c in text)
