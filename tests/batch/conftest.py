"""A tiny checkpoint and settings for it."""

from __future__ import annotations

import pytest

from seats.batch.settings import AnswerSettings, ClipSettings, ModelSettings, Setup
from seats.media import FrameSampling
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
