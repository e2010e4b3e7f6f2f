"""A tiny checkpoint, settings for it, and rows without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seats.batch.jobs import Asked
from seats.batch.rows import Context, Row, error_row, ok_row
from seats.batch.settings import AnswerSettings, ClipSettings, ModelSettings, Setup
from seats.errors import MediaError
from seats.media import FrameSampling
from seats.media.content import content_of
from seats.models.checkpoint import find_checkpoint
from tests.checkpoints import save_tiny_checkpoint


@pytest.fixture(scope="session")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    folder = save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny", "qwen2.5-omni")
    small = FrameSampling(fps=2, min_pixels=28 * 28, max_pixels=4 * 28 * 28, factor=28)
    return Setup.of(
        ModelSettings(find_checkpoint(str(folder)), device="cpu", threads=1),
        ClipSettings(small, timeout_s=60),
        AnswerSettings(max_new_tokens=3),
    )


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
