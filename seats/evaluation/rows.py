"""Rows of an evaluation, one per question and setting, and the file they are kept in."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, get_args

from seats.errors import SeatsError, SettingsError
from seats.files import is_still

SCHEMA = "seats.eval-row/1"
_BEGINNING = json.dumps({"schema": SCHEMA})[:-1].encode()
_MOST = 1e300
"""JSON knows whole numbers of any length, and figures are reckoned with as floats."""
Status = Literal["answered", "unreachable", "failed"]


@dataclass(frozen=True)
class Row:
    """What one setting made of one question.

    question, setting: digests (`seats.evaluation.identity`); together they say whether it has been done. id, clip,
    type: of the question. label: of the setting. status: "answered"; "unreachable" where the method can't serve this
    clip; "failed" where something is wrong, which is tried again. reason: why it isn't answered. answer: as generated.
    right: whether it was right when it was written. llm_flops, llm_flops_full: from the encoders' output to the first
    answer token, selection included, as run and with all tokens. selection_ms, prefill_ms: measured. tokens: of the
    whole sequence. video, audio, overall: retention averaged over the layers, in [0, 1], None for what the clip lacks.
    about: what the digests stand for, in words.
    """

    question: str
    setting: str
    id: str
    clip: str
    type: str
    label: str
    status: Status
    reason: str = ""
    answer: str = ""
    right: bool = False
    finish_reason: str = ""
    llm_flops: float | None = None
    llm_flops_full: float | None = None
    selection_ms: float | None = None
    prefill_ms: float | None = None
    tokens: int | None = None
    video: float | None = None
    audio: float | None = None
    overall: float | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        return self.question, self.setting

    def to_line(self) -> bytes:
        """The row as JSON, without fields that have their default, but for an answer and whether it was right. Raises
        ValueError for a number that JSON lacks."""
        kept = ("answer", "right") if self.status == "answered" else ()
        said = {k: value for k, value in asdict(self).items() if k in kept or value != _DEFAULTS.get(k, self)}
        return json.dumps({"schema": SCHEMA, **said}, ensure_ascii=False, allow_nan=False).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Row:
        """Raises ValueError for a line that is no row."""
        try:
            said = json.loads(line)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(said, dict) or said.pop("schema", None) != SCHEMA:
            raise ValueError(f"no row of schema {SCHEMA}")
        if said.keys() - _NAMES or _NEEDED - said.keys():
            raise ValueError("a row with other fields")
        if not _could_be(said):
            raise ValueError("a row with other values")
        return cls(**said)


_NAMES = {f.name for f in fields(Row)}
_DEFAULTS = {f.name: f.default for f in fields(Row) if f.default is not MISSING}
_NEEDED = _NAMES - {*_DEFAULTS, "about"}
_TEXTS = (*_NEEDED, "reason", "answer", "finish_reason")
_FIGURES = ("llm_flops", "llm_flops_full", "selection_ms", "prefill_ms", "tokens", "video", "audio", "overall")


def _could_be(said: Mapping[str, Any]) -> bool:
    """Whether the fields of a row have values of their kind."""
    figures = [said[name] for name in _FIGURES if said.get(name) is not None]
    return (
        all(isinstance(said[name], str) for name in _TEXTS if name in said)
        and said["status"] in get_args(Status)
        and all(type(figure) in (int, float) and abs(figure) < _MOST for figure in figures)
        and isinstance(said.get("right", False), bool)
        and isinstance(said.get("about", {}), dict)
    )


class RowFile:
    """A JSONL file of rows, to be continued. One process writes at a time. Leaving it as a context takes away a file
    that it made and wrote nothing to.

    rows: of the file, by key, without `about`; the last of a key counts. repaired: whether a half-written last line was
    cut off. Raises SettingsError for a file that holds anything else, what is no file, or what another process is
    writing.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.rows, self.repaired = path, dict[tuple[str, str], Row](), False
        try:
            self._made = not path.exists()
            if not self._made and not path.is_file():
                raise SettingsError(f"{path}: is not a regular file; choose another --out")
            self._file: BinaryIO = path.open("a+b", buffering=0)
        except OSError as error:
            raise SettingsError(f"{path} cannot be written ({error.strerror}); choose another --out") from error
        try:
            self._lock()
            self._read()
        except BaseException:
            self._file.close()
            raise

    def append(self, row: Row) -> None:
        """Write a row; it is in the file when this returns. Raises SeatsError also where the file is gone."""
        line = row.to_line()
        try:
            written = self._file.write(line)
        except OSError as error:
            raise SeatsError(f"{self.path} cannot be written ({error.strerror}); free some space and go on") from error
        if written != len(line):
            raise SeatsError(f"{self.path} cannot be written in full; free some space and go on")
        if not is_still(self.path, self._file.fileno()):
            raise SeatsError(f"{self.path} was removed, moved or replaced while rows were written to it; run it again")
        self._hold(row)

    def _hold(self, row: Row) -> None:
        """Remember a row without what only readers of the file need: more than half of it."""
        self.rows[row.key] = replace(row, about={})

    def __enter__(self) -> RowFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            handle = self._file.fileno()
            if self._made and not os.fstat(handle).st_size and is_still(self.path, handle):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where another may be writing unseen
                Path(os.path.realpath(self.path)).unlink()
        self._file.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(f"another process writes {self.path}; wait for it or choose another --out") from error
        except OSError:  # a file system without locks
            return

    def _read(self) -> None:
        self._file.seek(0)
        *lines, rest = self._file.read().split(b"\n")
        for number, line in enumerate(lines, start=1):
            try:
                row = Row.from_line(line)
            except ValueError as error:
                raise self._foreign(number) from error
            self._hold(row)
        if not rest:
            return
        try:
            row = Row.from_line(rest)
        except ValueError as error:
            # Only what began as a row may be cut off: the file could be something else altogether.
            if not (rest.startswith(_BEGINNING) or _BEGINNING.startswith(rest)):
                raise self._foreign(len(lines) + 1) from error
            os.ftruncate(self._file.fileno(), sum(len(line) + 1 for line in lines))
            self.repaired = True
        else:
            self._hold(row)
            self._file.write(b"\n")

    def _foreign(self, number: int) -> SettingsError:
        return SettingsError(f"{self.path}, line {number}: not a row of seats eval; choose another --out")
