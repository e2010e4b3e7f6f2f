"""Which files a web page may take the place of."""

from __future__ import annotations

from pathlib import Path

from seats.files import exists


def may_be_replaced(path: Path) -> bool:
    """Whether nothing is lost by writing a page to `path`: nothing is there, or nothing in it, or an older page; or
    what is there is no file. Raises OSError for what cannot be looked into."""
    return not exists(path) or not path.is_file() or not path.stat().st_size or _is_page(path)


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(15).lower() == b"<!doctype html>"
