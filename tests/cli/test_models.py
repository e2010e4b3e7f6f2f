"""`seats models`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from seats.models.checkpoint import Checkpoint
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


@pytest.mark.parametrize("columns", ["40", "50"])
def test_names_stay_whole_where_the_table_has_no_room(run: Run, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    ran = run("models")
    lines = [line.rstrip() for line in ran.out.splitlines()]
    assert max(map(len, lines)) <= int(columns)
    for name in ("seats-nano", "Qwen2.5-Omni-3B", "Qwen3-Omni-30B-A3B-Thinking"):
        assert name in lines
    assert "  8.9 B params · not on disk" in "\n".join(lines)


def test_a_folder_without_a_model_is_named_beside_the_others(run: Run, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "llama"}')
    ran = run("models", tmp_path, tmp_path / "other", tiny)
    assert ran.code == 1
    assert ran.err.splitlines() == [
        f"error: {tmp_path} is not a model folder: it has no config.json",
        f"error: {tmp_path / 'other'} is a llama model by its config.json: seats runs Qwen2.5-Omni and Qwen3-Omni",
    ]
    assert "seats-nano" in ran.out
    assert tiny.name in ran.out.replace("\n", "")


def test_a_config_of_nonsense_hides_no_other_model(run: Run, tiny: Path, tmp_path: Path) -> None:
    said = json.loads((tiny / "config.json").read_text())
    said["vision_config"]["fullatt_block_indexes"] = 3
    (tmp_path / "config.json").write_text(json.dumps(said))
    ran = run("models", tmp_path, tiny, "--json")
    assert ran.code == 1
    assert ran.line.startswith(f"error: {tmp_path}: fullatt_block_indexes in config.json is 3, no list of whole")
    document = json.loads(ran.out)
    assert document["models"][-1]["name"] == str(tiny)
    assert [broken["name"] for broken in document["broken"]] == [str(tmp_path)]
    assert "Traceback" in run("models", tmp_path, "--debug").err


def test_what_nobody_thought_of_in_a_folder_hides_no_other_model(
    run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(checkpoint: Checkpoint) -> dict[str, int]:
        return {} if checkpoint.folder != tmp_path else {}["no such key"]

    (tmp_path / "config.json").write_bytes((tiny / "config.json").read_bytes())
    monkeypatch.setattr(Checkpoint, "stage_settings", property(read))
    ran = run("models", tmp_path, tiny, "--json")
    assert ran.code == 1
    assert ran.line.startswith(f"error: {tmp_path}: unexpected KeyError")
    assert json.loads(ran.out)["models"][-1]["name"] == str(tiny)
