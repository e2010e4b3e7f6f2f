"""How much of a modality each decoder layer sees: block-wise decay of the retention.

Source: SEATS, arXiv 2605.20035. Of the target ratio times the pre-LLM scale, the share of the tokens that enters the
decoder, one keep ratio after each drop layer says what stays, and the rest is removed before the late layer. Layers are
numbered from 1; "drop layer d" drops after layer d.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from seats.errors import SettingsError


def keep_ratios(
    num_layers: int, drop_layers: Sequence[int], late_layer: int | None, pre_llm_scale: float
) -> tuple[float, ...]:
    """Keep ratio of each drop layer before the removal layer, rounded to 4 decimals as published.

    With W_i the accumulated 'exp' weights of the drops and f the share of the pre-LLM tokens removed by all
    of them, the level after drop i is 1 - f W_i. f follows from the mean over the layers; the target ratio
    cancels, so the keep ratios depend on the layers and the scale only. f is clipped to [0, 1], as published.
    Raises SettingsError.
    """
    if not (math.isfinite(pre_llm_scale) and pre_llm_scale > 0):
        raise SettingsError(f"pre-LLM scale {pre_llm_scale:g} is not a positive number")
    last, weights, removed_layers = _decay(num_layers, drop_layers, late_layer)
    if not weights:
        return ()
    fraction = min(max((last - num_layers / pre_llm_scale) / removed_layers, 0.0), 1.0)
    levels = [1.0, *(1 - fraction * weight for weight in weights)]
    return tuple(round(after / before, 4) for before, after in pairwise(levels))


def feasible_scale(num_layers: int, drop_layers: Sequence[int], late_layer: int | None) -> tuple[float, float]:
    """Lowest and highest `pre_llm_scale` for which a decay schedule meets its target.

    The lowest drops nothing at the drop layers, the highest drops everything at the last one; in between lies
    the choice for a model without published settings. Raises SettingsError.
    """
    last, _, removed_layers = _decay(num_layers, drop_layers, late_layer)
    return num_layers / last, num_layers / (last - removed_layers)


def _decay(num_layers: int, drop_layers: Sequence[int], late_layer: int | None) -> tuple[int, list[float], float]:
    """Last layer with tokens, accumulated weights W_i of the drops before it, and the layers' sum of W_i.

    The last is what f = 1 would save, in layers with all pre-LLM tokens.
    """
    if late_layer is not None and not 2 <= late_layer <= num_layers:
        raise SettingsError(
            f"late layer {late_layer} is outside 2..{num_layers}: choose one of the model's layers, or no late removal"
        )
    layers = list(drop_layers)
    if any(not 1 <= layer <= num_layers for layer in layers) or any(
        after <= before for before, after in pairwise(layers)
    ):
        raise SettingsError(f"drop layers {layers} must rise and lie within the model's layers 1..{num_layers}")

    last = num_layers if late_layer is None else late_layer - 1
    layers = [layer for layer in layers if layer < last]
    steps = [math.exp(i) for i in range(len(layers))]
    weights = [sum(steps[: i + 1]) / sum(steps) for i in range(len(layers))]
    covered = [end - start for start, end in pairwise([*layers, last])]
    return last, weights, sum(c * w for c, w in zip(covered, weights, strict=True))
