"""Which clip it is: by all of its content, so that neither a new name nor an old one misleads.

The whole file is hashed, not its size and a few samples of it: a resumed batch must notice any edit, also one that
leaves the size as it is (a replaced stretch of sound, other tags), and reading a file costs little beside decoding it
(SHA-256 takes about 0.6 s per GB where the processor has instructions for it, and the decoder then finds the file in
memory); `sha256sum` gives the same number. What would be dear is to read a million finished clips again on resuming.
That is avoided as git avoids it: a row keeps what the file system said of the file, and while inode, size and both
times are the same, so is the content. A file changed within the last two seconds is not taken at its word, since a
second change might fall on the same tick of the file system's clock.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seats.errors import MediaError
from seats.media.container import check_file

_PIECE = 2**20
_SETTLED_S = 2.0


@dataclass(frozen=True)
class Content:
    """hash: of the whole file. bytes: its size. stat: what the file system said of it; None where that proves nothing
    about the next time, because the file had just been written."""

    hash: str
    bytes: int
    stat: str | None

    def as_json(self) -> dict[str, Any]:
        return {"hash": self.hash, "bytes": self.bytes, "stat": self.stat}


def content_of(path: str) -> Content:
    """Read a clip's file to its end. Never blocks on a pipe or device. Raises MediaError as `load_clip` would, and for
    a file that is being written."""
    check_file(Path(path))
    try:
        # without waiting, should the file have become a pipe by now
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb", buffering=0) as file:
            before = os.fstat(handle)
            if not stat.S_ISREG(before.st_mode):
                raise MediaError(f"{path}: is not a regular file; copy the clip to disk and give that file")
            digest = hashlib.sha256()
            while piece := file.read(_PIECE):
                digest.update(piece)
            after = os.fstat(handle)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}); check the disk") from None
    if _said(before) != _said(after):
        raise being_written(path)
    settled = time.time() - max(after.st_mtime, after.st_ctime) > _SETTLED_S
    return Content(f"sha256:{digest.hexdigest()}", after.st_size, _said(after) if settled else None)


def stat_of(path: str) -> str | None:
    """What the file system says of a file now, as `Content.stat`; None if there is none."""
    try:
        return _said(os.stat(path))
    except (OSError, ValueError):
        return None


def being_written(path: str) -> MediaError:
    """The error for a file that changed between a first look at it and its decoding."""
    return MediaError(f"{path}: changed while it was read; run this again when the file is complete")


def _said(info: os.stat_result) -> str:
    return f"{info.st_ino}:{info.st_size}:{info.st_mtime_ns}:{info.st_ctime_ns}"
