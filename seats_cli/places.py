"""Where files are to be written, looked at before anything that takes long."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from seats.errors import SettingsError
from seats.files import exists, is_own
from seats_cli.usage import WrongUsage


def check_place(path: Path, *, in_place: bool = False) -> None:
    """Raises SettingsError for a file that could not be written at the end.

    in_place: whether a file that is there is written into; else another one, made beside it, takes its place.
    """
    there = exists(path)
    if path.is_dir() or not path.name:
        raise SettingsError(f"{path} is a folder: give the name of a file")
    real = Path(os.path.realpath(path))  # what a link leads to is written, not the link
    if there and (in_place or not path.is_file()):
        if not os.access(path, os.W_OK):
            raise SettingsError(f"{path}: cannot be written to; give another name, or allow it")
        return
    if not real.parent.is_dir():
        raise SettingsError(f"{path}: its folder does not exist; make it first")
    try:
        tempfile.TemporaryFile(dir=real.parent).close()  # os.access would not tell of all that can forbid it
    except OSError as error:
        raise SettingsError(f"{path}: its folder cannot be written to ({error.strerror}); choose another") from None


def check_places(places: Sequence[tuple[str, Path]], given: str | Path, what: str, appended: str | None = None) -> None:
    """`check_place` of several files to write, each by its flag; raises WrongUsage too where one would take the place
    of another, or of the file that is given to read.

    what: that file, in words. appended: flag of the file that is written into where it is there.
    """
    taken = {os.path.realpath(given): what}
    for flag, path in places:
        check_place(path, in_place=flag == appended)
        if other := taken.get(os.path.realpath(path)):
            raise WrongUsage(f"{flag} {path} would overwrite {other}: give another name")
        taken[os.path.realpath(path)] = f"what {flag} writes"


def check_own(path: Path) -> None:
    """Raises SettingsError for a file that is there and is no older page, picture, film or Markdown file of seats."""
    try:
        fine = is_own(path)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be looked into ({error.strerror}); give another name") from None
    if not fine:
        raise SettingsError(f"{path} is there already and does not say that seats wrote it; give another name")
