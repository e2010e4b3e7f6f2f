"""Numbers in sentences."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """1 clip, 2,000 clips. noun: in the singular, one that takes an s."""
    return f"{count:,} {noun}{'s' * (count != 1)}"
