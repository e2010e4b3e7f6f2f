"""Which files a web page may take the place of."""

from __future__ import annotations

from pathlib import Path

from seats.files import is_free


def may_be_replaced(path: Path) -> bool:
    """Whether nothing is lost by writing a page to `path`: `is_free`, or an older page is there. Raises OSError for
    what cannot be looked into."""
    if is_free(path):
        return True
    with path.open("rb") as file:
        return file.read(15).lower() == b"<!doctype html>"
