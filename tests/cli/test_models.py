"""`seats models`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ran

Run = Callable[..., Ran]


def test_json(run: Run, tiny: Path) -> None:
    ran = run("models", tiny, "--json")
    assert ran.code == 0, ran.err
    assert not ran.err
    said = json.loads(ran.out)
    assert said["schema"] == "seats.models/1"
    assert said["memory"]["bytes"] > 0
    models = {model["name"]: model for model in said["models"]}
    assert models["seats-nano"]["on_disk"] > 1_000_000
    assert models["seats-nano"]["fits"]
    large = models["Qwen/Qwen2.5-Omni-7B"]
    assert large["weights"]["4bit"] < large["weights"]["8bit"] < large["weights"]["bfloat16"] < large["needs"]
    assert models["Qwen/Qwen3-Omni-30B-A3B-Instruct"]["needs"] > 2 * large["needs"]
    own = models[str(tiny)]
    assert own["on_disk"] == sum(file.stat().st_size for file in tiny.glob("*.safetensors"))


def test_weights_that_are_not_whole_are_not_on_disk(run: Run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny / "config.json").read_bytes())
    models = json.loads(run("models", tmp_path, "--json").out)["models"]
    assert models[-1]["on_disk"] is None


def test_table_fits_a_narrow_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    ran = run("models")
    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= 60
    for said in ("seats-nano", "Qwen2.5-Omni-7B", "8.9 B", "seats plan CLIP"):
        assert said in ran.out


def test_a_folder_without_a_model_is_named(run: Run, tmp_path: Path) -> None:
    ran = run("models", tmp_path)
    assert ran.code == 1
    assert str(tmp_path) in ran.line
