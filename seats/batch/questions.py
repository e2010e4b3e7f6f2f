"""One question for every clip, or a file of questions about some."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seats.batch.clips import Found, Shard
from seats.batch.jobs import Asked, Job
from seats.batch.rows import printable_path
from seats.errors import SettingsError

_COLUMNS = ("clip", "question", "id", "answer")
_EXPECTED = "a header or keys: clip, question and, if wanted, id and answer"


@dataclass(frozen=True)
class Line:
    """One question of a file. clip: as written there."""

    clip: str
    question: str
    id: str | None = None
    answer: str | None = None


def read_questions(path: Path) -> list[Line]:
    """Read a JSONL, CSV (.csv) or tab-separated (.tsv) file of questions. Raises SettingsError."""
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: cannot be read as a file of questions ({error})") from None
    kind = path.suffix.lower()
    if kind not in (".csv", ".tsv", ".jsonl", ".json", ".ndjson"):
        raise SettingsError(f"{path}: give questions as .jsonl, .csv or .tsv, with {_EXPECTED}")
    rows = _table(data, path, "\t" if kind == ".tsv" else ",") if kind in (".csv", ".tsv") else _json_lines(data, path)
    lines = [_line(path, number, row) for number, row in rows]
    if not lines:
        raise SettingsError(f"{path}: holds no questions")
    return lines


def _table(data: bytes, path: Path, delimiter: str) -> Iterator[tuple[int, Any]]:
    # names of files may hold bytes that are not UTF-8; questions may not, which `_line` looks at
    text = data.decode("utf-8-sig", "surrogateescape")
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        if not {"clip", "question"} <= set(reader.fieldnames or ()):
            raise SettingsError(f"{path}: expected {_EXPECTED}")
        for row in reader:
            yield reader.line_num, {key: value or None for key, value in row.items() if key in _COLUMNS}
    except csv.Error as error:
        raise SettingsError(f"{path}, line {reader.line_num}: is not CSV ({error})") from None


def _json_lines(data: bytes, path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise SettingsError(f"{path}, line {number}: is not JSON ({error})") from None


def _line(path: Path, number: int, row: Any) -> Line:
    values = {name: row.get(name) for name in _COLUMNS} if isinstance(row, dict) else {}
    for name in ("id", "answer"):
        if isinstance(values.get(name), int | float):
            values[name] = str(values[name])
    texts = [value for value in values.values() if value is not None]
    clip, question = values.get("clip"), values.get("question")
    if not (clip and question and all(isinstance(text, str) for text in texts) and question.strip()):
        raise SettingsError(f"{path}, line {number}: expected {_EXPECTED}")
    try:
        os.fsencode(clip)
        for text in texts[1:]:
            text.encode()
    except UnicodeEncodeError:
        raise SettingsError(f"{path}, line {number}: its text is not UTF-8; save the file as UTF-8") from None
    return Line(clip, question, values["id"], values["answer"])


def jobs_of(found: Found, questions: str | list[Line], shard: Shard | None = None) -> tuple[list[Job], list[str]]:
    """The jobs, and remarks for the user.

    questions: one for every clip, or lines about some; clips in lines are relative to `found.base`. shard: only its
    clips.
    """
    if isinstance(questions, str):
        names = found.names if shard is None else list(shard.of(found.names))
        return [Job(found.path(name), (Asked(printable_path(name), questions),)) for name in names], []
    asked: dict[str, list[Asked]] = {}
    repeated = 0
    for line in questions:
        name = str(Path(line.clip))
        if shard is None or shard.has(name):
            mine = asked.setdefault(name, [])
            number = len(mine) + 1
            named = printable_path(name) + (f"#{number}" if number > 1 else "")
            new = Asked(line.id or named, line.question, line.answer)
            if new in mine:
                repeated += 1
            else:
                mine.append(new)
    jobs = [Job(found.path(name), tuple(mine)) for name, mine in asked.items()]
    about = {str(Path(line.clip)) for line in questions}
    silent = sum(name not in about for name in found.names)
    remarks = []
    if silent:
        are = "clip has no question in the file and is" if silent == 1 else "clips have no question in the file and are"
        remarks.append(f"{silent} {are} left out")
    if repeated:
        remarks.append(f"{repeated} question{'s' * (repeated > 1)} repeated under the same id, asked once")
    return jobs, remarks
