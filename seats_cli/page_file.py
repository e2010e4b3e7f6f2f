"""The page of `seats view`, of a chat's /view and of `seats report`: what it may replace, and how it is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seats.errors import SettingsError
from seats.files import replacing
from seats_cli.places import check_own

if TYPE_CHECKING:
    from seats.view.token_map import TokenMap


def check_page(path: Path) -> None:
    """Raises SettingsError for a file that is there and is no older one of this package, and for a name that no browser
    opens as a page."""
    check_own(path)
    if path.is_dir():
        raise SettingsError(f"{path} is a folder: give the name of a file")
    no_file = path.is_relative_to("/dev") or (path.exists() and not path.is_file())  # /dev/stdout, or a named pipe
    if path.suffix.lower() not in (".html", ".htm") and not no_file:
        raise SettingsError(f"{path}: a page's name must end in .html or .htm")


def write_page(maps: Sequence[TokenMap], path: Path) -> None:
    """Write the page; an older one goes when the new one is whole. Raises OSError."""
    from seats.view.page import page

    content = page(maps).encode()
    with replacing(path) as beside:
        beside.write_bytes(content)
