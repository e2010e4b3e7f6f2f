"""Presets of a few thousand weights."""

from __future__ import annotations

import copy
from dataclasses import replace

from seats.models.presets import PRESETS, Preset

NAMES = {"qwen2.5-omni": "small", "qwen3-omni": "small-moe"}


def small_preset(family: str, layers: int = 8) -> Preset:
    """The small preset of a family with fewer decoder layers."""
    preset = PRESETS[NAMES[family]]
    thinker = copy.deepcopy(preset.thinker)
    thinker["text_config"]["num_hidden_layers"] = layers
    return replace(preset, thinker=thinker)
