"""A results file as a stream of rows, and what in it could not be read as rows."""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from seats.errors import SeatsError
from seats.report.rows import SCHEMA, Row, parse_row
from seats.text import quoted

_LONGEST_LINE = 16 * 2**20
_LISTED = 20


class ResultsError(SeatsError):
    """The results file cannot be read, or holds no results."""


@dataclass
class Faults:
    """What was not read as rows. broken, foreign: numbers of the first of those lines; schemas: how often each."""

    broken: int = 0
    broken_lines: list[int] = field(default_factory=list)
    half_written: bool = False
    foreign: int = 0
    foreign_lines: list[int] = field(default_factory=list)
    schemas: Counter[str] = field(default_factory=Counter)

    def add_broken(self, line: int) -> None:
        """Count a line that is no JSON object."""
        self.broken += 1
        if len(self.broken_lines) < _LISTED:
            self.broken_lines.append(line)

    def add_foreign(self, line: int, schema: str) -> None:
        """Count a line that is a JSON object of another kind."""
        self.foreign += 1
        if len(self.foreign_lines) < _LISTED:
            self.foreign_lines.append(line)
        if schema in self.schemas or len(self.schemas) < _LISTED:
            self.schemas[schema] += 1


class Results:
    """Reads the file as a stream; `faults` is complete when the rows have been read.

    on_row: called with the number of every 1000th line. Raises ResultsError.
    """

    def __init__(self, path: Path, on_row: Callable[[int], None] = lambda _: None) -> None:
        self.path, self.on_row = path, on_row
        self.faults = Faults()

    def __iter__(self) -> Iterator[Row]:
        self.faults = Faults()
        found = False
        try:
            with self.path.open("rb") as file:
                for row in self._rows(file):
                    found = True
                    yield row
        except FileNotFoundError:
            raise ResultsError(f"{self.path}: no such file; check the path") from None
        except IsADirectoryError:
            raise ResultsError(f"{self.path} is a folder; give the results file in it") from None
        except OSError as error:
            raise ResultsError(f"{self.path} cannot be read: {error.strerror}") from None
        if not found:
            raise ResultsError(self._why_nothing())

    def _rows(self, file: BinaryIO) -> Iterator[Row]:
        offset = 0
        for number, (raw, size) in enumerate(_lines(file), 1):
            if number % 1000 == 0:
                self.on_row(number)
            start, offset = offset, offset + size
            if raw is not None and not raw.strip():
                continue
            value = None if raw is None else _json_object(raw)
            if value is None:
                # A writer that was stopped leaves a line without its end; the writer mends it when it goes on.
                if raw is not None and not raw.endswith(b"\n"):
                    self.faults.half_written = True
                else:
                    self.faults.add_broken(number)
                continue
            row = parse_row(value, number, start)
            if row is None:
                schema = value.get("schema")
                self.faults.add_foreign(number, quoted(schema, 60) if isinstance(schema, str) else "")
            else:
                yield row

    def _why_nothing(self) -> str:
        """The file had no row at all."""
        faults = self.faults
        if self.path.suffix.lower() in (".csv", ".parquet"):
            return f"{self.path} holds no lines of JSON; give the .jsonl file that it was made from"
        named = [schema for schema in faults.schemas if schema]
        if named:
            return f"{self.path} is of schema {named[0]!r}, not {SCHEMA!r}; give a file that `seats batch` wrote"
        if faults.broken or faults.foreign:
            return f"{self.path} holds no results: line 1 is not one; give a file that `seats batch` wrote"
        if faults.half_written:
            return f"{self.path} holds no whole row: its only line is half written; `seats batch` goes on with it"
        return f"{self.path} is empty; `seats batch` fills it"


def row_at(file: BinaryIO, offset: int) -> Row:
    """The row that begins at `offset`. Raises ResultsError if it is gone."""
    file.seek(offset)
    value = _json_object(file.readline(_LONGEST_LINE))
    row = None if value is None else parse_row(value, 0, offset)
    if row is None:
        raise ResultsError("the results file changed while it was read; run the report again")
    return row


def _lines(file: BinaryIO) -> Iterator[tuple[bytes | None, int]]:
    """Lines and their sizes; None in place of a line that is too long to be a row."""
    while raw := file.readline(_LONGEST_LINE):
        size = len(raw)
        if size < _LONGEST_LINE or raw.endswith(b"\n"):
            yield raw, size
            continue
        while (more := file.readline(2**20)) and not more.endswith(b"\n"):
            size += len(more)
        yield None, size + len(more)


def _json_object(raw: bytes) -> dict[str, Any] | None:
    """None if the line is not a JSON object. Bytes that are not UTF-8 become halves of surrogate pairs."""
    try:
        # an editor may have put a mark of byte order before the first row
        value = json.loads(raw.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
