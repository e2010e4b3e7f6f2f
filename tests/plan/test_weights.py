"""Parameters counted from a config against the stock models, made without memory."""

from __future__ import annotations

import json

import pytest
import torch
import transformers

from seats.models.presets import find_preset
from seats.plan.model import planned_model
from seats.plan.weights import count_weights, dtype_bytes


@pytest.mark.parametrize("name", ["small", "small-moe", "seats-nano", "Qwen/Qwen2.5-Omni-3B"])
def test_weights_equal_the_stock_model(name):
    _equal(find_preset(name), planned_model(name))


@pytest.mark.parametrize("name", ["small", "small-moe"])
@pytest.mark.parametrize(("tied", "biased"), [(True, False), (False, True)])
def test_weights_that_only_some_models_have(name, tied, biased, tmp_path):
    preset = find_preset(name)
    text = {**preset.thinker["text_config"], "attention_bias": biased}
    config = {
        **preset.thinker, "model_type": preset.family.config_types[1], "text_config": text, "tie_word_embeddings": tied,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    _equal(find_preset(str(tmp_path)), planned_model(str(tmp_path)))


def _equal(preset, planned):
    with torch.device("meta"):
        module = getattr(transformers, planned.family.thinker_class)(preset.config())
    module.tie_weights()
    weights = count_weights(planned)
    assert weights.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert weights.buffers == sum(buffer.numel() * buffer.element_size() for buffer in module.buffers())
    assert weights.bytes(2) == 2 * weights.parameters + weights.buffers


def test_quantised_weights_are_smaller_but_encoders_stay():
    weights = count_weights(planned_model("qwen2.5-omni-7b"))
    plain, eight, four = (weights.bytes(2, bits) for bits in (None, "8bit", "4bit"))
    wide = plain - 2 * weights.linear
    assert wide > 2 * (weights.vision + weights.audio + weights.embeddings)
    assert (eight - wide) / weights.linear == pytest.approx(1, rel=0.01)
    assert (four - wide) / weights.linear == pytest.approx(0.5, rel=0.2)  # with a scale for every 64


@pytest.mark.parametrize(
    ("name", "device", "dtype", "size"),
    [
        ("seats-nano", "cpu", "auto", 4),
        ("seats-nano", "cuda", "auto", 2),
        ("qwen2.5-omni-3b", "cpu", "auto", 2),
        ("qwen2.5-omni-3b", "cpu", "float32", 4),
    ],
)
def test_the_type_is_the_one_that_loading_would_choose(name, device, dtype, size):
    assert dtype_bytes(planned_model(name), device, dtype) == size
