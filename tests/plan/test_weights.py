"""Parameters counted from a config against the stock models, made without memory."""

from __future__ import annotations

import pytest
import torch
import transformers

from seats.bench.presets import find_preset
from seats.plan.model import planned_model
from seats.plan.weights import count_weights


@pytest.mark.parametrize("name", ["small", "small-moe", "seats-nano", "Qwen/Qwen2.5-Omni-3B"])
def test_weights_equal_the_stock_model(name):
    preset, planned = find_preset(name), planned_model(name)
    with torch.device("meta"):
        module = getattr(transformers, planned.family.thinker_class)(preset.config())
    weights = count_weights(planned)
    assert weights.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert weights.buffers == sum(buffer.numel() * buffer.element_size() for buffer in module.buffers())
    assert weights.bytes(2) == 2 * weights.parameters + weights.buffers


def test_quantised_weights_are_smaller_but_encoders_stay():
    weights = count_weights(planned_model("qwen2.5-omni-7b"))
    plain, eight, four = (weights.bytes(2, bits) for bits in (None, "8bit", "4bit"))
    assert four < eight < plain
    assert four > 2 * (weights.vision + weights.audio + weights.embeddings) + weights.linear // 2
