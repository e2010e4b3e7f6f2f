"""From layer-dependence curves to the borders of a model's blocks, and from those to its settings for SEATS.

SEATS (arXiv 2605.20035) parts the decoder in three: shallow layers, which need all tokens; middle ones, where answers
need them less and less; late ones, which need none. `RULE` says where the borders are put.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seats.errors import ModelError, SettingsError
from seats.evaluation.layers import Dependence
from seats.evaluation.statistics import paired_interval
from seats.files import replacing
from seats.methods import ModelShape, Seats, retention_for
from seats.models.checkpoint import BUILT_IN_FOLDER, OWN_SETTINGS, Checkpoint
from seats.models.hub import cache_folder
from seats.selection.schedule import feasible_scale
from seats.selection.stages import FREE_AFTER

TOLERANCE = 0.05
DROPS = 3
RULE = (
    "Removing both modalities after layer l changes accuracy from that of full tokens (l = L) to that without the clip "
    "(l = 0); their difference D is what the clip is worth, and T = tolerance x D counts as nothing. "
    "Middle block's end: the first layer from which on, at every measured layer, removal is shown to cost less than T "
    "(upper end of the paired 95 % interval). Shallow block's end: the last measured layer before the first one from "
    "which on, at every measured layer, the tokens' having been there is shown to be worth more than D / 2 (lower end "
    "of the paired 95 % interval of the accuracy gained over l = 0). Doubt puts both borders deeper, which keeps "
    "tokens longer."
)
"""How `find_borders` decides, for reports."""
REACHABLE = 35
"""Largest published retention, percent, which a model's settings must let SEATS reach."""
REMOVED = 0.8
"""Share of the tokens behind Stage I that the drop layers remove: 78 % as published for the 7B, 83 % for the 30B."""
DROP_RULE = (
    "late_layer is the layer after the middle block, but not so early that the layers before it could not hold the "
    f"tokens of --keep {REACHABLE}%, and at most L. With M layers from the shallow block's end S to late_layer - 1, "
    f"drop_layers are S + floor((2k-1) M / {2 * DROPS + 1}), k = 1 ... {DROPS}, as in the published settings. "
    f"pre_llm_scale is the one with which the drop layers remove {100 * REMOVED:.0f} % of what Stage I kept, to one "
    "decimal, as in the published settings."
)


@dataclass(frozen=True)
class Borders:
    """Layers 1 … shallow need all tokens, shallow+1 … late need them less and less, late+1 … L need none.

    worth: D of `RULE`, in (0, 1]. tolerated: T. shallow_from, late_from: how early the borders could be as far as the
    intervals go; where they are less than the borders, more questions would tell.
    """

    shallow: int
    late: int
    worth: float
    tolerated: float
    shallow_from: int
    late_from: int


@dataclass(frozen=True)
class Proposal:
    """Settings for SEATS, as `seats.json` has them. free_after: layer from after which on removal is shown to be free,
    None if after none. remarks: what a user should know about them."""

    drop_layers: tuple[int, ...]
    late_layer: int
    pre_llm_scale: float
    free_after: int | None = None
    remarks: tuple[str, ...] = ()


def find_borders(dependence: Dependence, tolerance: float = TOLERANCE) -> Borders | None:
    """Borders by `RULE`, None where the answers aren't shown to depend on the clip by more than the tolerance.

    tolerance: share of what the clip is worth that counts as nothing, in (0, 0.5). Raises SettingsError outside.
    """
    if not 0 < tolerance < 0.5:
        raise SettingsError(f"a tolerance of {100 * tolerance:g} % makes no sense: choose more than 0 and below 50 %")
    right, clips = dependence.right["both"], dependence.clips
    layers, last = list(right), dependence.num_layers
    full, blind = right[last], right[0]
    worth = (sum(full) - sum(blind)) / len(full)
    tolerated = tolerance * worth
    # By layer: 95 % interval of what removal costs, and of what the tokens have been worth up to there.
    cost = {layer: paired_interval(full, right[layer], clips) for layer in layers}
    gain = {layer: paired_interval(right[layer], blind, clips) for layer in layers}
    cost[last] = gain[0] = (0.0, 0.0)
    if worth <= 0 or gain[last][0] <= tolerated:
        return None

    def from_on(holds: Sequence[bool]) -> int:
        """Index of the first layer from which on a condition holds; it does at the last."""
        return max((index + 1 for index, value in enumerate(holds) if not value), default=0)

    late = layers[from_on([cost[layer][1] <= tolerated for layer in layers])]
    late_from = layers[from_on([cost[layer][0] <= tolerated for layer in layers])]
    risen = from_on([gain[layer][0] > worth / 2 for layer in layers])
    may_rise = next(index for index, layer in enumerate(layers) if gain[layer][1] > worth / 2)
    shallow = min(layers[risen - 1], late - 1)  # at l = 0 nothing has risen, so risen >= 1
    return Borders(
        shallow=shallow,
        late=late,
        worth=worth,
        tolerated=tolerated,
        shallow_from=min(layers[may_rise - 1], shallow),
        late_from=late_from,
    )


def propose(borders: Borders, shape: ModelShape) -> Proposal:
    """Settings by `DROP_RULE`. shape: of the model, with at least 2 layers."""
    last = shape.num_layers
    remarks = []
    if borders.late_from < borders.late:
        remarks.append(f"removal may be free from after layer {borders.late_from} on; more questions would tell")
    # SEATS meets its target on average over the layers, so what late layers lack, early ones must have.
    most = retention_for(shape.family, REACHABLE)
    needed = math.ceil(last * max(most.video, most.audio))
    late = min(max(borders.late, needed), last - 1)
    if late > borders.late:
        remarks.append(
            f"removal is free from after layer {borders.late} on; late_layer is {late + 1} because below that SEATS "
            f"could not keep the {100 * max(most.video, most.audio):.0f} % of a modality that --keep {REACHABLE}% asks "
            "for; for low retentions alone, an earlier one may be better"
        )
    if late < borders.late:
        remarks.append(f"removal is not shown to be free after any layer; late_layer {last} is the latest there is")
    shallow = min(borders.shallow, late - 1)
    middle = late - shallow
    drops = {shallow + (2 * k - 1) * middle // (2 * DROPS + 1) for k in range(1, DROPS + 1)}
    layers = tuple(sorted(drop for drop in drops if 0 < drop < late))
    free_after = borders.late if borders.late < last else None
    return Proposal(layers, late + 1, _scale(last, layers, late + 1), free_after, tuple(remarks))


def _scale(num_layers: int, drop_layers: tuple[int, ...], late_layer: int) -> float:
    """`pre_llm_scale` by `DROP_RULE`."""
    low, high = feasible_scale(num_layers, drop_layers, late_layer)
    if low == high:
        return low
    # A schedule's removed share f and its scale s: num_layers / s = last - f A, so 1 / s is linear in f.
    exact = 1 / ((1 - REMOVED) / low + REMOVED / high)
    rounded = round(exact, 1)
    return rounded if low < rounded < high else exact


def check_can_save(checkpoint: Checkpoint) -> Path:
    """The `seats.json` of a model. Raises ModelError if it is not a user's own to write."""
    folder = checkpoint.folder.resolve()
    path = folder / OWN_SETTINGS
    if folder == BUILT_IN_FOLDER:
        raise ModelError(
            f"the borders of {checkpoint.name} come with the package: copy {folder} to a folder of your own and give "
            "that to --model"
        )
    if folder.is_relative_to(cache_folder().resolve()):
        raise ModelError(
            f"{checkpoint.name} lies in the hub's cache ({folder}), which is not to be written: copy the model to a "
            "folder of your own and give that to --model"
        )
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise ModelError(f"{path} cannot be written: copy the model to a folder of your own and give that to --model")
    return path


def save(checkpoint: Checkpoint, shape: ModelShape, proposal: Proposal, measured: dict[str, Any]) -> Path:
    """Write a proposal into the model's `seats.json`; what else is there stays. Returns its path.

    measured: where it comes from, in plain values, kept beside it. Raises ModelError if it can't be written,
    SettingsError if SEATS can't run with it.
    """
    path = check_can_save(checkpoint)
    settings = {
        **checkpoint.seats_settings,
        "drop_layers": list(proposal.drop_layers),
        "late_layer": proposal.late_layer,
        "pre_llm_scale": proposal.pre_llm_scale,
        FREE_AFTER: proposal.free_after,
        "measured": measured,
    }
    Seats.for_model(ModelShape(shape.family, shape.num_layers, settings), retention_for(shape.family, 10), seed=0)
    try:
        with replacing(path) as beside:
            beside.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{path} cannot be written ({error.strerror}): copy the model elsewhere") from error
    return path
