"""The decay of a modality's tokens through the decoder, layer by layer, to hold selections against.

Source: SEATS, arXiv 2605.20035; `seats.selection.schedule` has the keep ratios.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seats.selection.schedule import keep_ratios


@dataclass(frozen=True)
class Schedule:
    """Retention of one modality through a decoder of `num_layers` layers.

    `pre_llm`: share of the tokens entering layer 1; `keep[i]`: share of the survivors that the i-th drop layer
    (1-based) keeps; `late_layer`: first layer (1-based) that sees none of them, None for
    no late removal.
    """

    pre_llm: float
    keep: tuple[float, ...]
    drop_layers: tuple[int, ...]
    late_layer: int | None
    num_layers: int

    def levels(self) -> list[float]:
        """Share of the original tokens entering each decoder layer, length `num_layers`."""
        keep_after = dict(zip(self.drop_layers, self.keep, strict=False))  # the last may have nothing left to drop
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
    """The schedule whose mean over the layers is `ratio`; it keeps `pre_llm_scale * ratio` before the LLM."""
    keep = keep_ratios(num_layers, drop_layers, late_layer, pre_llm_scale)
    return Schedule(pre_llm_scale * ratio, keep, tuple(drop_layers), late_layer, num_layers)
