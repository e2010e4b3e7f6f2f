"""One question for every clip, or a file of questions about some."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seats.batch.clips import UTF16, Found, Shard
from seats.batch.jobs import Asked, Job
from seats.errors import SettingsError
from seats.text import printable

_COLUMNS = ("clip", "question", "id", "answer")
_EXPECTED = "a header or keys: clip, question and, if wanted, id and answer"


@dataclass(frozen=True)
class Line:
    """One question of a file. clip: as written there."""

    clip: str
    question: str
    id: str | None = None
    answer: str | None = None


def read_questions(path: Path, remark: Callable[[str], None] = lambda _: None) -> list[Line]:
    """Read a JSONL, CSV (.csv) or tab-separated (.tsv) file of questions. Raises SettingsError.

    remark: gets a line about what the file holds and nobody reads.
    """
    kind = path.suffix.lower()
    if kind not in (".csv", ".tsv", ".jsonl", ".json", ".ndjson"):
        raise SettingsError(f"{path}: give questions as .jsonl, .csv or .tsv, with {_EXPECTED}")
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise SettingsError(f"{path}: cannot be read as a file of questions ({why}); check the path") from None
    if data.startswith(UTF16):
        raise SettingsError(f"{path}: is UTF-16 text; save it as UTF-8")
    if not data.strip():
        raise SettingsError(f"{path}: holds no questions")
    rows = _table(data, path, "\t" if kind == ".tsv" else ",") if kind in (".csv", ".tsv") else _json_lines(data, path)
    lines, unused, ids = [], dict[str, None](), dict[str, int]()
    for number, row in rows:
        line = _line(path, number, row)
        if line.id and ids.setdefault(line.id, number) != number:
            raise SettingsError(
                f"{path}, line {number}: id {line.id!r} is already that of line {ids[line.id]}; give each its own"
            )
        lines.append(line)
        unused |= dict.fromkeys(key for key in row if key and key not in _COLUMNS)
    if not lines:
        raise SettingsError(f"{path}: holds no questions")
    if unused:
        remark(printable(f"{path}: not used: {', '.join(unused)} (what is read: {', '.join(_COLUMNS)})"))
    return lines


def _table(data: bytes, path: Path, delimiter: str) -> Iterator[tuple[int, dict[str, Any]]]:
    # names of files may hold bytes that are not UTF-8; questions may not, which `_line` looks at
    text = data.decode("utf-8-sig", "surrogateescape")
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = list(reader.fieldnames or ())
        if not {"clip", "question"} <= set(header):
            found = printable(delimiter.join(header))[:100]
            raise SettingsError(f"{path}: its first line is {found!r}; expected {_EXPECTED}")
        for row in reader:
            if where := _lost_comma(row, header):
                comma = "comma" if delimiter == "," else "tab"
                raise SettingsError(
                    f"{path}, line {reader.line_num}: {where}; put a text with a {comma} in it in double quotes"
                )
            yield reader.line_num, {key: value or None for key, value in row.items()}
    except csv.Error as error:
        raise SettingsError(f"{path}, line {reader.line_num}: is not CSV ({error})") from None


def _lost_comma(row: dict[Any, Any], header: list[str]) -> str | None:
    """What shows that a comma of a text has divided it; None where nothing does."""
    if None in row:
        return f"has {len(header) + len(row[None])} cells, the header {len(header)}"
    place = header.index("question")
    following = row[header[place + 1]] if place + 1 < len(header) else None
    if following and following.startswith(" ") and following.strip() and not (row["question"] or "").startswith(" "):
        return f"its {header[place + 1] or 'cell after the question'} begins with a space, as if it were the question's"
    return None


def _json_lines(data: bytes, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise SettingsError(f"{path}, line {number}: is not JSON ({error})") from None
            if not isinstance(row, dict):
                raise SettingsError(f"{path}, line {number}: is {_kind(row)}; expected {_EXPECTED}")
            yield number, row


_KINDS = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object", str: "a text"}


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "nothing")


def _line(path: Path, number: int, row: dict[str, Any]) -> Line:
    where = f"{path}, line {number}"
    values = {name: row.get(name) for name in _COLUMNS}
    for name in ("id", "answer"):
        if isinstance(values[name], int | float):
            values[name] = str(values[name])
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            raise SettingsError(f"{where}: its {name} is {_kind(value)}, not a text")
    for name in ("clip", "question"):
        if not (values[name] or "").strip():
            raise SettingsError(f"{where}: has no {name}; every line needs a clip and a question")
    clip, question = str(values["clip"]), str(values["question"])
    try:
        clip = os.fsdecode(clip.encode("utf-8", "surrogateescape"))  # the same bytes, whatever the locale's encoding
        for name in ("question", "id", "answer"):
            (values[name] or "").encode()
    except UnicodeEncodeError:
        raise SettingsError(f"{where}: its text is not UTF-8; save the file as UTF-8") from None
    return Line(clip, question, values["id"], values["answer"])


def jobs_of(found: Found, questions: str | list[Line], shard: Shard | None = None) -> tuple[list[Job], list[str]]:
    """The jobs, and remarks for the user.

    questions: one for every clip, or lines about some; clips in lines are relative to `found.base`. shard: only its
    clips.
    """
    if isinstance(questions, str):
        names = [name for name in found.names if shard is None or shard.has(name)]
        return [Job(found.path(name), (Asked(printable(name), questions),)) for name in names], []
    asked: dict[str, dict[Asked, None]] = {}
    taken, numbers = {line.id for line in questions}, Counter[str]()
    repeated = 0
    for line in questions:  # of all shards: what is named after a clip is to be the same however they are shared out
        name = str(Path(line.clip))
        mine = asked.setdefault(name, {})
        id_ = line.id
        numbers[name] = max(numbers[name], len(mine))
        while not id_:
            numbers[name] += 1
            named = printable(name) + (f"#{numbers[name]}" if numbers[name] > 1 else "")
            id_ = None if named in taken else named
        taken.add(id_)
        new = Asked(id_, line.question, line.answer)
        repeated += new in mine and (shard is None or shard.has(name))
        mine[new] = None
    jobs = [Job(found.path(name), tuple(mine)) for name, mine in asked.items() if shard is None or shard.has(name)]
    about = {str(Path(line.clip)) for line in questions}
    silent = sum(name not in about for name in found.names)
    remarks = []
    if silent:
        are = "clip has no question in the file and is" if silent == 1 else "clips have no question in the file and are"
        remarks.append(f"{silent} {are} left out")
    if repeated:
        remarks.append(f"{repeated} question{'s' * (repeated > 1)} repeated under the same id, asked once")
    return jobs, remarks
