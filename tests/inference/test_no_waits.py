"""From pixels and sound to the first token, nothing asks the device for values, but one copy a drop layer.

Run with tensors that have a shape and no values: what asks for one raises. What is made on the host before, from
numbers that the host knows, is made as usual.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    unset_fake_temporarily,
)

from seats.bench import subject as module
from seats.bench.build import random_thinker
from seats.bench.subject import Subject
from seats.bench.workload import Load, media_load, token_load
from seats.keep import Setting
from seats.models import window_attention
from seats.models.families import Family, GridTables
from seats.models.fused import use_fused_blocks
from seats.models.presets import Preset
from seats.selection import budget
from seats.tokens.layout import TokenLayout
from seats.tokens.sequence import Sequence
from tests.bench.small import small_preset
from tests.tiny import FAMILIES
from tests.waits import hide_values

WINDOWS = 4


def clip(preset: Preset) -> Load:
    return media_load(preset, 8, 160, 120, 4.0, 30)


def tokens(preset: Preset) -> Load:
    return token_load(preset, 240, 100, 30)


@pytest.fixture
def without_values(monkeypatch: pytest.MonkeyPatch) -> FakeTensorMode:
    """A mode for such tensors. Of what the host knows, only what it was told counts."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)

    def on_the_host(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any) -> Any:
            with unset_fake_temporarily():
                result = make(*args)
                if isinstance(result, Sequence):
                    result = replace(result, layout=result.layout.to("cpu"))  # as it is told before it moves
            return emptied(result)

        return made

    def emptied(x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            return mode.from_tensor(x)
        if isinstance(x, dict):
            return {name: emptied(value) for name, value in x.items()}
        if isinstance(x, GridTables | TokenLayout | Sequence):
            return replace(x, **{name: emptied(value) for name, value in vars(x).items()})
        return x

    for name in ("grid_tables", "sound_tables"):
        monkeypatch.setattr(Family, name, on_the_host(getattr(Family, name)))
    for name in ("sequence_of", "log_mel"):
        monkeypatch.setattr(module, name, on_the_host(getattr(module, name)))
    hide_values(monkeypatch, FakeTensor)
    # As on a GPU: its kernel takes windows of any lengths, which on a CPU are looked at.
    monkeypatch.setattr(window_attention, "_takes_varlen", lambda _: True)
    monkeypatch.setattr(window_attention, "_varlen", lambda: lambda q, *_args, **_more: torch.empty_like(q))
    return mode


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengths of what Stage II looked at, each time with the one copy that it needs."""
    lengths: list[int] = []

    def on_host(scores: torch.Tensor, key: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        lengths.append(len(key))
        each = (len(key) - 30) // (2 * WINDOWS)
        keys = np.repeat(np.arange(2 * WINDOWS), each)
        return np.append(keys, np.full(len(key) - len(keys), budget._TEXT_KEY)), np.linspace(1e-3, 2e-3, len(key))

    monkeypatch.setattr(budget, "_on_host", on_host)
    return lengths


def first_token(mode: FakeTensorMode, family: str, load: Callable[..., Load], method: str) -> Any:
    preset = small_preset(family, layers=20)  # with fewer, two drop layers are one
    with mode:
        thinker = random_thinker(preset, torch.device("cpu"), torch.bfloat16)
        use_fused_blocks(thinker, anywhere=True)
        return Subject(thinker, preset, load(preset)).run(Setting(method, 10.0))


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("load", [clip, tokens])
@pytest.mark.parametrize(("method", "drop_layers"), [("seats", 3), ("seats+", 0)])
def test_one_copy_a_drop_layer(
    without_values: FakeTensorMode, copies: list[int], family: str, load: Any, method: str, drop_layers: int
) -> None:
    run = first_token(without_values, family, load, method)
    assert len(copies) == drop_layers
    assert run.trace.layers[0].video > 0
    assert run.trace.layers[-1].video == run.trace.layers[-1].audio == 0


def test_a_method_that_looks_is_found_out(without_values: FakeTensorMode) -> None:
    with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
        first_token(without_values, "qwen2.5-omni", tokens, "visionzip")
