"""A results file as a CSV or Parquet table: a row per question, nested keys joined by dots."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seats.batch.rows import from_line
from seats.errors import SeatsError, SettingsError
from seats.files import exists, replacing

KINDS = (".csv", ".parquet")
_CHUNK = 2_000
_FIRST = ("id", "status", "clip.path", "question", "answer", "expected", "right", "error.type", "error.message")
_MARK = _FIRST[:3]


def check_kind(path: Path) -> None:
    """Raises SettingsError for a table that could not be written in the end, before hours of work."""
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise SettingsError(f"{path}: Parquet needs pyarrow: pip install pyarrow, or choose .csv")


def check_table(path: Path) -> None:
    """Raises SettingsError where the table would take the place of something that no batch wrote, or of a folder."""
    try:
        if not exists(path):
            return
        if not path.is_file():
            raise SettingsError(f"{path}: is not a regular file; choose another --out")
        if path.stat().st_size and not _is_table(path):
            raise SettingsError(f"{path}: is there already and is not a table of a batch; choose another --out")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be a table ({error.strerror}); choose another --out") from None


def _is_table(path: Path) -> bool:
    """By the first columns, which all tables have."""
    if path.suffix.lower() == ".parquet":
        from pyarrow import ArrowException
        from pyarrow.parquet import read_schema

        try:
            return tuple(read_schema(path).names[: len(_MARK)]) == _MARK
        except ArrowException:
            return False
    mark = ",".join(_MARK).encode()
    with path.open("rb") as file:
        begins = file.read(len(mark) + 1)
    return begins.startswith(mark) and begins[len(mark) :] in (b"", b",", b"\r", b"\n")


def write_table(results: Path, table: Path) -> None:
    """Write `table` (.csv or .parquet) anew from a results file. Raises SeatsError if the disk refuses."""
    columns = _columns(results)
    write = _write_parquet if table.suffix.lower() == ".parquet" else _write_csv
    try:
        with replacing(table) as beside:
            write(results, beside, columns)
    except OSError as error:
        raise SeatsError(f"{table}: cannot be written ({error.strerror or error}); {results} has all rows") from None


def _rows(results: Path) -> Iterator[dict[str, Any]]:
    with results.open("rb") as file:
        for line in file:
            row = from_line(line)
            if row is not None:
                if isinstance(row["clip"], str):
                    row["clip"] = {"path": row["clip"]}
                yield dict(_flat("", row))


def _flat(prefix: str, value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Nested objects by dotted names; lists as JSON."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _flat(f"{prefix}{key}.", inner)
        else:
            yield prefix + key, json.dumps(inner) if isinstance(inner, list) else inner


def _columns(results: Path) -> dict[str, type]:
    """Names and types of all columns, the ones that say most first. A number that is ever a fraction is always one."""
    kinds: dict[str, type] = {name: type(None) for name in _FIRST}
    for row in _rows(results):
        for name, value in row.items():
            kinds[name] = _wider(kinds.get(name, type(None)), type(value))
    return kinds


def _wider(one: type, other: type) -> type:
    if one is other or other is type(None):
        return one
    if one is type(None):
        return other
    return float if {one, other} == {int, float} else str


def _write_csv(results: Path, path: Path, columns: dict[str, type]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns))  # of the usual ends of lines: it quotes what has one of theirs
        writer.writeheader()
        writer.writerows(_rows(results))


def _write_parquet(results: Path, path: Path, columns: dict[str, type]) -> None:
    import pyarrow
    from pyarrow import parquet

    kinds = {bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64()}
    schema = pyarrow.schema([(name, kinds.get(kind, pyarrow.string())) for name, kind in columns.items()])

    def write(chunk: list[dict[str, Any]]) -> None:
        cells = {
            name: [None if (value := row.get(name)) is None else kind(value) for row in chunk]
            for name, kind in columns.items()
        }
        writer.write_table(pyarrow.table(cells, schema=schema))

    with parquet.ParquetWriter(path, schema) as writer:
        chunk: list[dict[str, Any]] = []
        for row in _rows(results):
            chunk.append(row)
            if len(chunk) == _CHUNK:
                write(chunk)
                chunk = []
        if chunk:
            write(chunk)
