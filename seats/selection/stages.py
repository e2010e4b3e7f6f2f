"""Where the stages of SEATS and `seats+` lie in a decoder, without torch: for the methods and for plans of them alike.

Source: SEATS, arXiv 2605.20035. Layers are numbered from 1.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from seats.checks import is_positive
from seats.errors import SettingsError
from seats.selection.schedule import feasible_scale

PRE_LLM_SCALE = 1.4
FREE_AFTER = "removal_free_after"
"""Key of a model's `seats.json`: the decoder layer, 1-based, from after which removing all video and audio costs
nothing, as `seats analyze` measures it."""
SINGLE_TURN = "single_turn"
"""Key of a model's `seats.json`: whether it knows prompts of one question only. The other keys are of the stages."""
_KEYS = ("drop_layers", "late_layer", "pre_llm_scale", "temperature", FREE_AFTER, "measured")
REMOVED = 0.3
"""Share of the tokens behind Stage I that the drop layers of `seats+` remove, where all of them are removed early."""
WINDOW = 128
"""Tokens of one modality among which a drop layer of `seats+` chooses."""


@dataclass(frozen=True)
class StageBorders:
    """drop_layers: tokens go after these. late_layer: the first without any video or audio token. temperature: of the
    softmax that gives windows their budget."""

    drop_layers: tuple[int, ...]
    late_layer: int
    temperature: float


_PUBLISHED = {
    "qwen2.5-omni": (28, StageBorders((16, 18, 20), 24, 0.1)),
    "qwen3-omni": (48, StageBorders((27, 31, 35), 40, 0.3)),
}


def wrong_settings(said: Mapping[str, Any], layers: int | None) -> str | None:
    """What is wrong with a model's stage settings, None for nothing. layers: of its decoder, None for any number."""
    if unknown := said.keys() - set(_KEYS):
        return f"{min(unknown, key=str)!r} is no setting; there are {', '.join((*_KEYS, SINGLE_TURN))}"
    if missing := [key for key in ("drop_layers", "late_layer") if key not in said]:
        why = f"drop_layers and late_layer go together, and all others but {SINGLE_TURN} need them"
        return f"lacks {' and '.join(missing)}: {why}"
    most = sys.maxsize if layers is None else layers
    up_to = "on" if layers is None else f"to {layers}"

    def is_layer(value: Any, first: int = 1) -> bool:
        return type(value) is int and first <= value <= most  # True is an int to isinstance

    def must(key: str, what: str) -> str:
        value = json.dumps(said[key], default=str)
        return f"{key} is {value if len(value) <= 60 else value[:57] + '...'}; it must {what}"

    drops, late = said["drop_layers"], said["late_layer"]
    rising = isinstance(drops, list | tuple) and all(map(is_layer, drops)) and all(a < b for a, b in pairwise(drops))
    if not rising:
        return must("drop_layers", f"be a list of rising layers from 1 {up_to}")
    if not is_layer(late, 2):
        return must("late_layer", f"be a layer from 2 {up_to}")
    if drops and drops[0] >= late - 1:  # later ones alone are left out, as published
        return must(
            "drop_layers",
            f"begin before layer {late - 1}, after which late_layer {late} removes everything, or be empty",
        )
    for key in ("pre_llm_scale", "temperature"):
        if key in said and not is_positive(said[key]):
            return must(key, "be a number above 0")
    free = said.get(FREE_AFTER)
    if free is not None and not is_layer(free):
        return must(FREE_AFTER, f"be a layer from 1 {up_to}, or null")
    return None


def stage_borders(family: str, num_layers: int, own: Mapping[str, Any]) -> StageBorders:
    """Published borders for the 7B and 30B; the model's own if it has some; else the family's at the same relative
    depth. own: its `seats.json`, empty where there is none. Raises SettingsError for fewer than 3 layers
    without own borders."""
    depth, published = _PUBLISHED[family]
    if own:
        return StageBorders(tuple(own["drop_layers"]), own["late_layer"], own.get("temperature", published.temperature))
    if num_layers == depth:
        return published
    if num_layers < 3:
        raise SettingsError(
            f"seats needs a decoder of 3 layers or more, the model has {num_layers}: choose another method"
        )
    scaled = [round(layer * num_layers / depth) for layer in published.drop_layers]
    late = max(3, round(published.late_layer * num_layers / depth))
    drops = tuple(dict.fromkeys(layer for layer in scaled if layer < late - 1))
    return StageBorders(drops, late, published.temperature)


def pre_llm_scale(num_layers: int, borders: StageBorders, own: Mapping[str, Any], most: float) -> float:
    """Factor on the target for what Stage I keeps. most: the larger target share, in (0, 1]."""
    low, high = feasible_scale(num_layers, borders.drop_layers, borders.late_layer)
    # More than all tokens can't be kept before the LLM.
    scale = min(own.get("pre_llm_scale", PRE_LLM_SCALE), 1 / most)
    # Outside this range the published schedule silently misses its target.
    return min(max(scale, low), high)


def early_removal(
    num_layers: int, borders: StageBorders, own: Mapping[str, Any], most: float
) -> tuple[StageBorders, float] | None:
    """Borders and pre-LLM scale of `seats+` where removal is measured to be free before the late layer, and the layers
    until then can hold the target; None where not, and those of SEATS hold. most: as in `pre_llm_scale`."""
    free = own.get(FREE_AFTER)
    needed = math.ceil(num_layers * most - 1e-9)
    if free is None or max(free, needed) >= borders.late_layer - 1:
        return None
    last = max(free, needed)
    drops = tuple(layer for layer in borders.drop_layers if layer < last)
    low, high = feasible_scale(num_layers, drops, last + 1)
    scale = 1 / ((1 - REMOVED) / low + REMOVED / high)
    return StageBorders(drops, last + 1, borders.temperature), max(low, min(scale, 1 / most))
