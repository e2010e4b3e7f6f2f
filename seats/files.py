"""Files that take another's place only when they are whole (a full disk or Ctrl-C leaves the old one, or none), and
why one is missing."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MARK = "written by seats"
"""Is in every page, picture, film and Markdown file of this package, so that only they are taken for older ones."""
_IN_TEXT = {".md": f"<!-- {MARK} -->", ".html": f'content="{MARK}"', ".htm": f'content="{MARK}"'}
"""How it stands in files in which people write sentences."""
_MARKED_BYTES = 2**24


def exists(path: Path) -> bool:
    """Whether something is at `path`. Raises OSError where that cannot be told, as of a name too long or in a folder
    that may not be entered: since Python 3.14 pathlib answers no there, and then something else would be told."""
    try:
        os.stat(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return False
    except ValueError:  # of characters that no path has
        return False
    return True


def is_own(path: Path) -> bool:
    """Whether writing to `path` takes the place of no one else's file: `is_free`, or `MARK` is near its beginning.
    Raises OSError for what cannot be looked into."""
    if is_free(path):
        return True
    with path.open("rb") as file:
        return _IN_TEXT.get(path.suffix.lower(), MARK).encode() in file.read(_MARKED_BYTES)


def is_free(path: Path) -> bool:
    """Whether nothing is at `path`, or nothing in it, or what is there is no file. Raises OSError as `exists` does."""
    return not exists(path) or not path.is_file() or not path.stat().st_size


def marked(kind: str) -> dict[str, str]:
    """`MARK` as matplotlib's `savefig` takes it for a format: "png", "pdf" or "svg"."""
    return {"Software" if kind == "png" else "Creator": MARK}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """What to write instead of `path`: it takes the place of `path` when the block ends well, and goes if it doesn't.

    It has another suffix, so say in what format to write. A link stays, and what it leads to is replaced; what is
    there and is no file, such as /dev/stdout, is written itself. Raises OSError.
    """
    if path.exists() and not path.is_file():  # its real path need not exist: /dev/stdout of a pipe has none
        yield path
        return
    real = Path(os.path.realpath(path))
    beside = name_beside(real, f"{os.urandom(4).hex()}.")  # which nobody else writes to, or has put there
    try:
        yield beside
        with suppress(OSError):  # there is none yet, or its disk knows no such thing
            beside.chmod(stat.S_IMODE(real.stat().st_mode))
        os.replace(beside, real)
    finally:
        beside.unlink(missing_ok=True)


def is_still(path: Path, handle: int) -> bool:
    """Whether an open file is the one at `path`: it has neither been removed, nor moved, nor replaced since."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except (FileNotFoundError, NotADirectoryError):
        return False


def name_beside(path: Path, mark: str = "") -> Path:
    """For the file that will take the place of `path`: hidden, in the same folder, and never too long a name. mark:
    part of the name."""
    name = os.fsencode(path.name)[:200].decode(errors="ignore")
    return path.with_name(f".{name}.{mark}new")


def unwritten_told(path: Path, error: OSError) -> str:
    """What to say where writing a file ended in an error."""
    do = "make room, or give another place" if error.errno == errno.ENOSPC else "check the folder"
    return f"{path}: cannot be written ({error.strerror or error}); {do}"


def missing_told(path: Path) -> str:
    """What to say of a path where no file is found."""
    if address := re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", str(path)):  # of // a path keeps one
        what = "take file:// away" if address[1] == "file" else "download the clip and give the file"
        return f"{str(path).replace(':/', '://', 1)}: {address[1]} addresses are not read; {what}"
    if not path.is_symlink():
        return f"{path}: no such file; check the path"
    target = os.path.realpath(path)
    if os.path.islink(target):
        return f"{path}: is a link that leads back to itself; make it anew"
    return f"{path}: is a link to {target}, which does not exist; check where it points, or whether that disk is there"
