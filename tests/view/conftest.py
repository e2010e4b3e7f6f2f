"""Maps of a tiny random model's tokens, and pages of them on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seats.inference.answer import Question
from seats.inference.generate import Decoding
from seats.models.checkpoint import find_checkpoint
from seats.models.omni import OmniModel, load_model
from seats.view.look import look
from seats.view.token_map import TokenMap
from tests.checkpoints import save_tiny_checkpoint
from tests.inference.clips import clip_of

METHODS = ("seats", "fastv-om", "visionzip", "full")
Look = Callable[..., list[TokenMap]]


def question(method: str = "seats", text: str = "what is in the clip ?", **more: Any) -> Question:
    return Question(text, method=method, keep=35.0, decoding=Decoding(3), **more)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> OmniModel:
    folder = save_tiny_checkpoint(tmp_path_factory.mktemp("view") / "tiny", "qwen2.5-omni")
    return load_model(find_checkpoint(str(folder)))


@pytest.fixture(scope="session")
def look_at(model: OmniModel) -> Look:
    """Map the tokens of a noisy clip made with `clip_of`'s options, for one method or several."""

    def call(*methods: str, text: str = "what is in the clip ?", **clip: Any) -> list[TokenMap]:
        return look(model, clip_of(28, **clip), [question(method, text) for method in methods or ("seats",)])

    return call


@pytest.fixture(scope="session")
def late(look_at: Look) -> TokenMap:
    """A map of 25:00.5 and on of a long file."""
    (seen,) = look_at("seats")
    start = 1500.5
    clip = replace(seen.clip, start_s=start, end_s=start + seen.seconds, duration_s=3600.0)
    return replace(seen, answer=replace(seen.answer, clip=clip))


@pytest.fixture(scope="session")
def maps(look_at: Look) -> dict[str, TokenMap]:
    """One map per method, of a clip of 3 grids of 2 x 3 patches and 3.3 s of sound."""
    return dict(zip(METHODS, look_at(*METHODS), strict=True))


@pytest.fixture
def written(tmp_path: Path) -> Callable[[list[TokenMap]], Path]:
    """Write a page and return its path."""
    from seats.view.page import page

    def call(maps: list[TokenMap]) -> Path:
        path = tmp_path / "map.html"
        path.write_text(page(maps), encoding="utf-8")
        return path

    return call
