"""The rows of a results file, `results.jsonl`: one JSON object a line, UTF-8, ended by a line feed.

A row of a question that was answered is the object of `seats.inference.report.answer_json` (schema `seats.answer/1`)
with these keys before and after it:

    id          str; as the questions file says, else the clip's path below the folder, with "#2", "#3" for the
                second, third question about the same clip
    status      "ok"
    ...         all keys of seats.answer/1: schema, clip {path, ...}, question, answer, thoughts, finish_reason, model,
                method, tokens, retention, flops, latency_ms, speedup, memory_bytes, time_scale, notes, seed, versions
    expected    str; only where the questions file has an answer
    right       bool; only beside `expected`: the answer says that (`seats.evaluation.matching.answers_with`)
    retry       object; only where the first try ran out of device memory: {"reason": str, "max_frames": int,
                "max_pixels": int}, the smaller budget that this row was made with
    max_vram    object; only where frames or pixels were lowered for --max-vram: {"limit_bytes": int, "max_frames":
                int, "max_pixels": int}, the budget that this row was made with
    clip_bytes  str, hexadecimal; only where the clip's path is not UTF-8, and then the path itself; in all texts of
                the row bytes that are not UTF-8 stand as backslash escapes (\\xff)
    content     {"hash": "sha256:<64 hex digits>", "bytes": int, "stat": str | null} of the file's content, or null
                where it could not be read; `stat` is a shortcut for resuming, see `seats.media.content`
    settings    str; digest of everything that the answer depends on beside clip and question

A clip is decoded and encoded once for all questions about it. Where there are several, the first row made has the times
`decode_clip`, `encode_video` and `encode_audio` in `latency_ms`; in the others they are null and not in the sums, so
that adding up rows counts every step once. FLOPs are those of the question asked alone.

A row of a question that could not be answered:

    {"id": str, "clip": <path, str>, "question": str, "status": "error", "error": {"type": str, "message": str},
     "expected", "retry", "max_vram", "clip_bytes", "content", "settings" as above}

`error.type` is a class of `seats.errors`, or of Python where something unforeseen happened; the message is one line.
Rows come in the order in which they were made. There is one row per clip, question and settings, never two.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seats.batch.jobs import Asked
from seats.evaluation.matching import answers_with
from seats.text import error_line, printable

OK, ERROR = "ok", "error"
Row = dict[str, Any]


@dataclass(frozen=True)
class Context:
    """What a row says beside answer or error: the clip's path, the question, the content's JSON, the settings' digest,
    and the JSON of the retry and of what was lowered (see the module's docstring)."""

    clip: str
    asked: Asked
    content: Mapping[str, Any] | None
    settings: str
    retry: Mapping[str, Any] | None = None
    lowered: Mapping[str, Any] | None = None


def ok_row(context: Context, answer: Mapping[str, Any]) -> Row:
    """The row of an answered question. answer: of `answer_json`."""
    row: Row = {"id": context.asked.id, "status": OK, **answer}
    expected = context.asked.expected
    if expected is not None:
        row |= {"expected": expected, "right": answers_with(answer["answer"], expected)}
    return row | _ending(context)


def error_row(context: Context, error: BaseException) -> Row:
    """The row of a question that failed."""
    row: Row = {
        "id": context.asked.id,
        "clip": printable(context.clip),
        "question": context.asked.question,
        "status": ERROR,
        "error": {"type": type(error).__name__, "message": error_line(error)},
    }
    if context.asked.expected is not None:
        row["expected"] = context.asked.expected
    return row | _ending(context)


def _ending(context: Context) -> Row:
    ending: Row = {"retry": dict(context.retry)} if context.retry is not None else {}
    if context.lowered is not None:
        ending["max_vram"] = dict(context.lowered)
    if not _is_utf8(context.clip):
        ending["clip_bytes"] = os.fsencode(context.clip).hex()
    return ending | {"content": context.content and dict(context.content), "settings": context.settings}


def row_path(row: Row) -> str:
    """The clip's path as Python opens it (bytes that are not UTF-8 as surrogates). Raises KeyError, TypeError or
    ValueError for what is no row."""
    if "clip_bytes" in row:
        return os.fsdecode(bytes.fromhex(row["clip_bytes"]))
    clip = row["clip"]
    return clip if isinstance(clip, str) else clip["path"]


def with_path(row: Row, path: str) -> Row:
    """The row with another path in it: the clip was renamed."""
    moved = {key: value for key, value in row.items() if key != "clip_bytes"}
    shown = printable(path)
    moved["clip"] = shown if isinstance(row["clip"], str) else {**row["clip"], "path": shown}
    if not _is_utf8(path):
        moved["clip_bytes"] = os.fsencode(path).hex()
    if isinstance(error := row.get("error"), dict):
        before, now = (" ".join(printable(name).split()) + ": " for name in (row_path(row), path))
        message = str(error.get("message", ""))
        if message.startswith(before):
            moved["error"] = {**error, "message": now + message.removeprefix(before)}
    return moved


def with_asked(row: Row, asked: Asked) -> Row:
    """The row with another id and expected answer: the questions file has changed."""
    told = {key: value for key, value in row.items() if key not in ("expected", "right")} | {"id": asked.id}
    if asked.expected is not None:
        told["expected"] = asked.expected
        if row["status"] == OK:
            told["right"] = answers_with(row["answer"], asked.expected)
    return told


def with_content(row: Row, content: Mapping[str, Any]) -> Row:
    """The row with what the file system says of the same content now."""
    return {**row, "content": dict(content)}


def to_line(row: Row) -> bytes:
    """The row as a line of the file. Raises ValueError for a number that JSON lacks (NaN, infinity)."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace") + b"\n"


def from_line(line: bytes) -> Row | None:
    """The row on a line, None if it is none: not JSON, cut off, or without what every row has."""
    try:
        row = json.loads(line)
        texts = (row_path(row), row["id"], row["question"])
        whole = all(isinstance(text, str) for text in texts) and row["status"] in (OK, ERROR)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return row if whole and _is_content(row.get("content")) else None


def _is_content(value: Any) -> bool:
    """Of a row that says which content it is about, or says nothing of it."""
    if not value:
        return value is None
    return (
        isinstance(value, dict)
        and isinstance(value.get("hash"), str)
        and isinstance(value.get("bytes"), int)
        and isinstance(value.get("stat"), str | None)
    )


def _is_utf8(path: str) -> bool:
    return printable(path) == path
