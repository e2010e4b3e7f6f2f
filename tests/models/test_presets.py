"""Dimensions against published parameter counts, and names."""

import json

import pytest
import torch
from transformers import Qwen2_5OmniThinkerForConditionalGeneration

from seats.bench.build import dtype_for, parameters, random_thinker, weight_bytes
from seats.errors import ModelError, OutOfMemoryError
from seats.models.checkpoint import find_checkpoint
from seats.models.omni import model_shape
from seats.models.presets import PRESETS, find_preset
from tests.bench.small import small_preset
from tests.tiny import FAMILIES, tiny_config

# Language model and encoders in billions: Qwen2.5-7B has 7.62 and Qwen2.5-3B 3.09 (3.40 with a head of its own),
# Qwen3-30B-A3B 30.5; the vision encoder has 0.67 (0.54), the audio encoder 0.64.
BILLIONS = {"qwen2.5-omni-7b": 7.62 + 0.67 + 0.64, "qwen2.5-omni-3b": 3.40 + 0.67 + 0.64}
BILLIONS["qwen3-omni-30b-a3b"] = 30.5 + 0.54 + 0.64


@pytest.mark.parametrize("name", BILLIONS)
def test_presets_have_the_published_size(name):
    assert parameters(PRESETS[name]) / 1e9 == pytest.approx(BILLIONS[name], rel=0.01)


@pytest.mark.parametrize(("name", "layers"), [("small", 28), ("small-moe", 48)])
def test_small_presets_have_the_published_depths(name, layers):
    assert PRESETS[name].shape.num_layers == layers
    assert parameters(PRESETS[name]) < 20e6


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_made_on_the_device_in_the_dtype(family):
    preset = small_preset(family, 2)
    thinker = random_thinker(preset, torch.device("cpu"), torch.bfloat16)
    weights = list(thinker.module.parameters())
    assert {(w.dtype, w.device.type, w.requires_grad) for w in weights} == {(torch.bfloat16, "cpu", False)}
    assert sum(w.numel() * w.element_size() for w in weights) == weight_bytes(preset, torch.bfloat16)
    assert all(bool(w.isfinite().all()) for w in weights)
    # Frequencies in 16 bits would make other positions than a loaded model has.
    assert thinker.text.rotary_emb.inv_freq.dtype == torch.float32


def test_what_does_not_fit_is_refused_before_it_is_made(monkeypatch):
    monkeypatch.setattr("seats.bench.build.available_bytes", lambda _: 2**20)
    with pytest.raises(OutOfMemoryError, match=r"small needs .* GiB for its weights, cpu has 0\.0 GiB free"):
        random_thinker(PRESETS["small"], torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("step", ["weights", "fused blocks"])
def test_what_does_not_fit_after_all_is_told_alike(monkeypatch, step):
    def lacks_memory(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 65536 bytes.")

    if step == "weights":
        monkeypatch.setattr(Qwen2_5OmniThinkerForConditionalGeneration, "_from_config", lacks_memory)
    else:
        monkeypatch.setattr("seats.bench.build.use_fused_blocks", lacks_memory)
    with pytest.raises(OutOfMemoryError, match=r"small needs .* GiB for its weights, cpu has .* GiB free"):
        random_thinker(PRESETS["small"], torch.device("cpu"), torch.float32)


def test_names():
    assert find_preset("Qwen/Qwen2.5-Omni-3B") is PRESETS["qwen2.5-omni-3b"]
    with pytest.raises(ModelError, match=r"choose qwen2\.5-omni-7b, .* or a folder"):
        find_preset("Qwen/Qwen2.5-Omni-8B")


def test_the_built_in_model_is_measured_as_it_runs():
    nano = find_preset("seats-nano")
    assert nano.shape == model_shape(find_checkpoint("seats-nano"))
    assert [dtype_for(preset, "auto") for preset in (nano, PRESETS["small"])] == [torch.float32] * 2
    assert dtype_for(PRESETS["qwen2.5-omni-7b"], "auto") is torch.bfloat16


@pytest.mark.parametrize("with_speech", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_with_a_config(tmp_path, family, with_speech):
    config = tiny_config(family)
    said = config.to_dict() | {
        "architectures": ["Thinker"],
        "transformers_version": "5.20.0",
        "torch_dtype": "bfloat16",
    }
    if with_speech:
        said = {"model_type": said["model_type"].removesuffix("_thinker"), "thinker_config": said}
    (tmp_path / "config.json").write_text(json.dumps(said))
    preset = find_preset(str(tmp_path))
    assert (preset.family_name, preset.shape.num_layers) == (family, 8)
    made = preset.config()
    for part in ("text_config", "vision_config", "audio_config"):
        assert getattr(made, part).hidden_size == getattr(config, part).hidden_size
    assert made.vision_config.depth == config.vision_config.depth


def test_a_folder_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(tiny_config("qwen3-omni").to_dict()))
    assert find_preset("~/model").family_name == "qwen3-omni"


def test_a_folder_whose_config_cannot_be_is_refused_as_in_a_plan(tmp_path):
    content = tiny_config("qwen2.5-omni").to_dict()
    content["vision_config"]["fullatt_block_indexes"] = "all"
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"fullatt_block_indexes in config\.json is 'all', no list of whole numbers"):
        find_preset(str(tmp_path))
