"""Rows without a model. Processes that do little else import this, so nothing here takes long to import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seats.batch.jobs import Asked
from seats.batch.rows import Context, Row, error_row, ok_row
from seats.errors import MediaError
from seats.media.content import content_of


def make_row(path: Path | str, *, id: str = "1", question: str = "what ?", ok: bool = True, **more: Any) -> Row:  # noqa: A002
    """A row as a worker would have made it of the file as it is now. more: expected, settings."""
    try:
        content = content_of(str(path)).as_json()
    except MediaError:
        content = None
    context = Context(str(path), Asked(id, question, more.get("expected")), content, more.get("settings", "s"))
    if not ok:
        return error_row(context, MediaError(f"{path}: is bad"))
    return ok_row(context, {"clip": {"path": str(path)}, "question": question, "answer": "A ring."})
