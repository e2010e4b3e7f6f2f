"""How much of a modality each decoder layer sees: block-wise decay of the retention.

Source: SEATS, arXiv 2605.20035. A schedule keeps `pre_llm` of the tokens before the decoder, multiplies what
is left by one keep ratio after each drop layer, and removes the rest before the late layer. Layers are
numbered from 1; "drop layer d" drops after layer d.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from seats.errors import SettingsError


@dataclass(frozen=True)
class Schedule:
    """Retention of one modality through a decoder of `num_layers` layers.

    `pre_llm`: share of the tokens entering layer 1; `keep[i]`: share of the survivors that drop layer
    `drop_layers[i]` (1-based) keeps; `late_layer`: first layer (1-based) that sees none of them, None for no
    late removal.
    """

    pre_llm: float
    keep: tuple[float, ...]
    drop_layers: tuple[int, ...]
    late_layer: int | None
    num_layers: int

    def levels(self) -> list[float]:
        """Share of the original tokens entering each decoder layer, length `num_layers`."""
        keep_after = dict(zip(self.drop_layers, self.keep, strict=True))
        levels, level = [], self.pre_llm
        for layer in range(1, self.num_layers + 1):
            if layer == self.late_layer:
                level = 0.0
            levels.append(level)
            level *= keep_after.get(layer, 1.0)
        return levels

    def mean(self) -> float:
        """Mean of `levels()`: the retention in fact, which misses the target outside `feasible_scale`."""
        return sum(self.levels()) / self.num_layers


def decay_schedule(
    num_layers: int, drop_layers: Sequence[int], late_layer: int | None, ratio: float, pre_llm_scale: float
) -> Schedule:
    """Schedule whose mean over the layers is `ratio`, in (0, 1].

    It keeps `pre_llm_scale * ratio` before the LLM. Drop layers at or after the removal layer (the one before
    `late_layer`) have nothing left to drop and are left out. Outside `feasible_scale` the published rule
    saturates and the mean misses `ratio`: compare with `Schedule.mean()`. Raises SettingsError for layers the
    model lacks and where `pre_llm_scale * ratio` exceeds 1.
    """
    if not 0 < ratio <= 1:
        raise SettingsError(f"retention ratio {ratio:g} is outside (0, 1]: give a share of the tokens to keep")
    keep = keep_ratios(num_layers, drop_layers, late_layer, pre_llm_scale)
    pre_llm = pre_llm_scale * ratio
    if pre_llm > 1 + 1e-9:
        raise SettingsError(
            f"retention ratio {ratio:g} needs {pre_llm_scale:g} x {ratio:g} = {pre_llm:.3g} of the tokens "
            f"before the LLM: choose a ratio of at most {1 / pre_llm_scale:.3f} or a smaller pre-LLM scale"
        )
    dropped = tuple(drop_layers)[: len(keep)]
    return Schedule(min(pre_llm, 1.0), keep, dropped, late_layer, num_layers)


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
    covered = [end - start for start, end in zip(layers, [*layers[1:], last], strict=False)]
    return last, weights, sum(c * w for c, w in zip(covered, weights, strict=True))
