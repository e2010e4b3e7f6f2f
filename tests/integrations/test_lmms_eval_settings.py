"""What `lmms_eval --model seats` says of wrong arguments, and when, with stand-ins for lmms-eval's own modules."""

from __future__ import annotations

import sys
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

import seats


class Base:
    """As much of lmms-eval's base class as setting up takes."""

    def _resolve_system_prompt(self, said: str) -> str:
        return said


@pytest.fixture
def lmms_eval(monkeypatch):
    """The module, in which fetching and loading a model is noted in `begun`."""
    modules = {name: ModuleType(name) for name in ("lmms_eval", "lmms_eval.api", "lmms_eval.api.model", "loguru")}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    modules["lmms_eval.api.model"].lmms = Base  # type: ignore[attr-defined]
    modules["loguru"].logger = SimpleNamespace(warning=print, debug=print)  # type: ignore[attr-defined]
    monkeypatch.delitem(sys.modules, "seats.integrations.lmms_eval", raising=False)
    from seats.integrations import lmms_eval as module

    module.begun = []

    def noted(name: str) -> Any:
        real = getattr(module, name)
        return lambda *args, **settings: (module.begun.append(name), real(*args, **settings))[1]

    for name in ("find_checkpoint", "load_model"):
        monkeypatch.setattr(module, name, noted(name))
    yield module
    sys.modules.pop("seats.integrations.lmms_eval", None)
    del seats.integrations.lmms_eval


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"method": "sheats"}, "unknown method 'sheats'"),
        ({"dtype": "int8"}, "dtype=int8 is unknown: choose auto or bfloat16"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"device": 0}, "unknown device '0': choose auto"),
        ({"device": "cpu", "quantize": "4bit"}, "--quantize works on a CUDA GPU, not on cpu"),
        ({"no_audio": True, "no_video": True}, "no_audio and no_video leave nothing to ask about"),
        ({"seed": "x"}, "seed is 'x'; it must be a whole number"),
    ],
)
def test_wrong_arguments_are_told_before_a_model_is_fetched(lmms_eval, wrong, said):
    with pytest.raises(seats.SettingsError, match=said):
        lmms_eval.Seats(**wrong)
    assert lmms_eval.begun == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"keep": 100}, "seats cannot keep 100 % of the video tokens"),
        ({"keep_audio": 90}, "seats cannot keep 90 % of the audio tokens"),
        ({"fps": 0}, "fps is 0; it must be a number above 0"),
        ({"fps": "two"}, "fps is 'two'; it must be a number"),
        ({"max_frames": 2.5}, "max_frames is 2.5; it must be a whole number"),
        ({"max_pixels": "many"}, "max_pixels is 'many'; it must be a number"),
        ({"min_pixels": 10**9}, "below min_pixels"),
    ],
)
def test_arguments_that_do_not_suit_the_model_are_told_before_it_is_loaded(lmms_eval, wrong, said):
    with pytest.raises(seats.SettingsError, match=said):
        lmms_eval.Seats(**wrong)
    assert lmms_eval.begun == ["find_checkpoint"]


def test_what_was_looked_at_before_is_what_the_model_takes(lmms_eval):
    model = lmms_eval.Seats(fps=1, max_pixels=3136)
    assert lmms_eval.begun == ["find_checkpoint", "load_model"]
    assert model.sampling == model.model.sampling.changed(fps=1, max_pixels=3136)
    assert model.wants == model.question.method_for(model.model.shape).wants


def test_results_whose_name_lmms_eval_reads_as_a_number(lmms_eval, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert lmms_eval.Seats(results=2024).results == Path("2024")


def test_an_error_that_nobody_foresaw_costs_its_clip_alone(lmms_eval):
    loading: Future = Future()
    loading.set_exception(ValueError("odd"))
    model = SimpleNamespace(device=torch.device("cpu"))
    said = list(lmms_eval.Seats._answers(model, loading, [("what ?",), ("where ?",)]))
    assert [str(error) for _, error in said] == ["odd", "odd"]
    assert said[0][1].__traceback__ is None  # frames hold the clip's tensors
