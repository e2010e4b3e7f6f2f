"""The results file: rows appended by one process, each written whole, and repaired where a crash cut the last one.

A row is one `write` of a line to a file opened for appending, so that a process killed at any moment leaves at most
one line without its end. What must change in rows already written (clips renamed, failures tried again) is done once,
before the first new row, by writing the file anew beside and putting it in the old one's place.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seats.batch.rows import OK, Row, from_line, row_path, to_line
from seats.errors import SeatsError, SettingsError
from seats.files import is_still, name_beside

_SYNC_EVERY_S = 1.0
_FOR_APPENDING = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
_ROW_BEGINS = b'{"id": "'


@dataclass(frozen=True, slots=True)
class Entry:
    """What must be known of a row to resume. line: its number, from 0. content, stat: of the clip, see
    `seats.media.content`; None where it could not be read. ok: whether the question was answered."""

    line: int
    path: str
    question: str
    settings: str
    id: str
    expected: str | None
    content: str | None
    bytes: int | None
    stat: str | None
    ok: bool

    @classmethod
    def of(cls, line: int, row: Row) -> Entry:
        content = row.get("content") or {}
        return cls(
            line,
            row_path(row),
            sys.intern(row["question"]),
            sys.intern(str(row.get("settings", ""))),
            row["id"],
            row.get("expected"),
            content.get("hash"),
            content.get("bytes"),
            content.get("stat"),
            row["status"] == OK,
        )


class ResultsFile:
    """Opens a results file for one writer, making it if need be; use as a context, which takes away a file that it
    made and wrote nothing to.

    Raises SettingsError for a path that cannot be a results file, SeatsError where another batch writes to it or the
    disk refuses. `remarks` says what had to be repaired.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.remarks: list[str] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._real = Path(os.path.realpath(path))  # what a link leads to is replaced, not the link
            self._made = not self._real.exists()
            self._handle = _open_locked(self._real)
        except OSError as error:
            raise SettingsError(f"{path}: cannot be written ({error.strerror}); choose another --out") from None
        self._synced = time.monotonic()
        try:
            self._repair_end()
        except BaseException:
            os.close(self._handle)
            raise

    def __enter__(self) -> ResultsFile:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            if self._made and not os.fstat(self._handle).st_size and is_still(self._real, self._handle):
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where another may be writing unseen
                self._real.unlink()
            os.fsync(self._handle)
        os.close(self._handle)

    def entries(self) -> Iterator[Entry]:
        """The rows there are. Lines that are no rows are left where they are and said in `remarks`; where
        there is nothing else, SettingsError is raised."""
        bad = good = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                row = from_line(line)
                if row is None:
                    bad += bool(line.strip())
                else:
                    good += 1
                    yield Entry.of(number, row)
        if bad and not good:
            raise SettingsError(f"{self.path}: is not a results file of a batch; choose another --out")
        if bad:
            are = "line is not a row of a batch and is" if bad == 1 else "lines are not rows of a batch and are"
            self.remarks.append(f"{self.path}: {bad} {are} left as {'it is' if bad == 1 else 'they are'}")

    def append(self, row: Row) -> None:
        """Write a row; when this returns, it survives the end of this process. Raises SeatsError also where the file is
        no longer at its path: rows written to it would be lost with it."""
        line = to_line(row)
        end = os.fstat(self._handle).st_size
        try:
            if os.write(self._handle, line) != len(line):
                raise OSError(0, "no room for the whole row")
            if time.monotonic() - self._synced > _SYNC_EVERY_S:  # in case the machine ends, not only the process
                os.fsync(self._handle)
                self._synced = time.monotonic()
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._handle, end)
            raise _disk(self.path, error) from None
        self.check_there()

    def check_there(self) -> None:
        """Raises SeatsError where the file has been removed, moved or replaced by another since it was opened."""
        if not is_still(self._real, self._handle):
            moved = os.fstat(self._handle).st_nlink
            how = "moved: put it back and" if moved else "removed or replaced, and its rows are lost:"
            raise SeatsError(f"{self.path}: while the batch wrote to it, it was {how} run the batch again")

    def rewrite(self, change: Callable[[int, Row], Row | None]) -> None:
        """Replace rows at a stroke. change: of a line's number and row; None drops it. Lines that are no rows stay."""
        beside = name_beside(self._real)
        try:
            beside.unlink(missing_ok=True)  # a run that was killed may have left one
            handle = _open_locked(beside)
            try:
                os.fchmod(handle, stat.S_IMODE(os.fstat(self._handle).st_mode))
                with open(handle, "wb", closefd=False) as out, self.path.open("rb") as file:
                    for number, line in enumerate(file):
                        row = from_line(line)
                        changed = row and change(number, row)
                        if changed is row:
                            out.write(line)
                        elif changed is not None:
                            out.write(to_line(changed))
                    out.flush()
                    os.fsync(handle)
                os.replace(beside, self._real)
            except BaseException:
                os.close(handle)
                beside.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise _disk(self.path, error) from None
        os.close(self._handle)
        self._handle = handle

    def _repair_end(self) -> None:
        """Give a last line without its end one if it is a whole row, else cut it off."""
        size = os.fstat(self._handle).st_size
        start, pieces = size, [b""]
        while start > 0 and b"\n" not in pieces[-1]:
            step = min(2**16, start)
            start -= step
            pieces.append(os.pread(self._handle, step, start))
        tail = b"".join(reversed(pieces))
        if not tail or tail.endswith(b"\n"):
            return
        last = tail[tail.rfind(b"\n") + 1 :]
        if from_line(last) is not None:
            os.write(self._handle, b"\n")
            return
        cut = last.strip(b"\0 ")
        if cut and not _is_half_a_row(cut):
            raise SettingsError(f"{self.path}: is not a results file of a batch; choose another --out")
        os.ftruncate(self._handle, size - len(last))
        self.remarks.append(f"{self.path}: its last row was cut off and is removed; its question is asked again")


def _is_half_a_row(line: bytes) -> bool:
    """Whether a batch began to write this; what anyone else wrote is not to be cut off."""
    if not (line.startswith(_ROW_BEGINS) or _ROW_BEGINS.startswith(line)):
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return True
    return False


def _open_locked(path: Path) -> int:
    """Open for appending, locked against other batches; the lock ends with the process."""
    while True:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise SettingsError(f"{path}: is not a regular file; choose another --out")
        handle = os.open(path, _FOR_APPENDING, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise SeatsError(f"{path}: another batch is writing to it; wait for it, or give another --out") from None
        except OSError:
            return handle  # a file system without locks
        if is_still(path, handle):
            return handle
        os.close(handle)  # another batch put a new file in its place just now


def _disk(path: Path, error: OSError) -> SeatsError:
    said = error.strerror or str(error)
    return SeatsError(f"{path}: cannot be written ({said}); make room and run the batch again: what is in it is kept")
