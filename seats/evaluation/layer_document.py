"""A layer-dependence analysis as a JSON document (schema `seats.analyze/1`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seats.evaluation.borders import DROP_RULE, RULE, Borders, Proposal
from seats.evaluation.layers import WHAT, Dependence, Point
from seats.evaluation.statistics import METHODS, Accuracy
from seats.selection.stages import FREE_AFTER
from seats.units import counted

SCHEMA = "seats.analyze/1"


@dataclass(frozen=True)
class Analysis:
    """What `seats analyze` found. tolerance: share of what the clip is worth that counts as nothing. borders, proposal:
    None where the answers aren't shown to depend on the clip."""

    benchmark: str
    model: str
    dependence: Dependence
    tolerance: float
    borders: Borders | None
    proposal: Proposal | None

    @property
    def clips(self) -> int:
        """How many the curves are about."""
        return len(set(self.dependence.clips))

    @property
    def size(self) -> str:
        """Of what was asked, in words."""
        questions, clips = len(self.dependence.clips), self.clips
        return f"{counted(questions, 'question')} about {counted(clips, 'clip')}"

    def measured(self) -> dict[str, Any]:
        """Where a proposal comes from, for `seats.json`."""
        assert self.borders is not None
        return {
            "by": f"seats analyze {self.benchmark}",
            "questions": len(self.dependence.clips),
            "clips": self.clips,
            "tolerance": self.tolerance,
            "shallow_until": self.borders.shallow,
            "middle_until": self.borders.late,
        }


def document(analysis: Analysis) -> dict[str, Any]:
    """Plain values: accuracy and loss in [0, 1], layers numbered from 1, 0 for before the LLM.

    `curves[what]` has a point for each measured layer; the last, `after_layer` = L, is full tokens. `borders` and
    `proposal` are null where the answers aren't shown to depend on the clip.
    """
    found = analysis.dependence
    return {
        "schema": SCHEMA,
        "benchmark": analysis.benchmark,
        "model": analysis.model,
        "layers": found.num_layers,
        "questions": {"asked": found.asked, "answered": len(found.clips), "failed": found.failed},
        "clips": analysis.clips,
        "full": _accuracy(found.full),
        "curves": {what: [_point(point) for point in found.curve(what)] for what in WHAT},
        "intervals_95": {"accuracy": METHODS["accuracy"], "loss": METHODS["difference"]},
        "tolerance": analysis.tolerance,
        "rule": RULE,
        "drop_rule": DROP_RULE,
        "borders": analysis.borders and _borders(analysis.borders),
        "proposal": analysis.proposal and _proposal(analysis.proposal),
    }


def _accuracy(accuracy: Accuracy) -> dict[str, Any]:
    return {
        "right": accuracy.right,
        "total": accuracy.total,
        "share": accuracy.share,
        "interval_95": list(accuracy.interval()),
    }


def _point(point: Point) -> dict[str, Any]:
    return {
        "after_layer": point.layer,
        **_accuracy(point.accuracy),
        "loss": point.loss,
        "loss_interval_95": list(point.loss_interval),
    }


def _borders(borders: Borders) -> dict[str, Any]:
    return {
        "shallow_until": borders.shallow,
        "shallow_until_at_least": borders.shallow_from,
        "middle_until": borders.late,
        "middle_until_at_least": borders.late_from,
        "clip_is_worth": borders.worth,
        "tolerated_loss": borders.tolerated,
    }


def _proposal(proposal: Proposal) -> dict[str, Any]:
    return {
        "drop_layers": list(proposal.drop_layers),
        "late_layer": proposal.late_layer,
        "pre_llm_scale": proposal.pre_llm_scale,
        FREE_AFTER: proposal.free_after,
        "remarks": list(proposal.remarks),
    }
