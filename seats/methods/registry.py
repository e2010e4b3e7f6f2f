"""Methods by the name the command line uses, and the meaning of `--keep`."""

from __future__ import annotations

from importlib.metadata import entry_points

import numpy as np

from seats.errors import SettingsError
from seats.methods.base import Method, Retention
from seats.methods.divprune import DivPrune, DivPruneOm
from seats.methods.dycoke import DyCoke
from seats.methods.fastv import FastV, FastVOm
from seats.methods.fastvid import FastVID
from seats.methods.full import Full
from seats.methods.omnizip import OmniZip
from seats.methods.random import Random
from seats.methods.saliency import Saliency
from seats.methods.seats import Seats
from seats.methods.seats_plus import SeatsPlus
from seats.methods.visionzip import VisionZip, VisionZipOm

ENTRY_POINT_GROUP = "seats.methods"

BUILT_IN: tuple[type[Method], ...] = (
    Seats,
    SeatsPlus,
    Full,
    Random,
    Saliency,
    FastV,
    FastVOm,
    VisionZip,
    VisionZipOm,
    DivPrune,
    DivPruneOm,
    DyCoke,
    FastVID,
    OmniZip,
)

# (video, audio) retention in percent for each published operating point (arXiv 2605.20035).
_PAIRS = {
    "qwen2.5-omni": {10: (6, 35), 15: (10, 45), 25: (20, 55), 35: (30, 65)},
    "qwen3-omni": {10: (7, 45), 15: (12, 50), 25: (22, 60), 35: (32, 70)},
}


def method_classes() -> dict[str, type[Method]]:
    """All methods by name: the built-in ones, and those that installed packages offer as `seats.methods`."""
    found: dict[str, type[Method]] = {cls.name: cls for cls in BUILT_IN}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        found.setdefault(entry.name, entry.load())
    return found


def method_class(name: str) -> type[Method]:
    """The method called `name`. Raises SettingsError that lists the valid names."""
    classes = method_classes()
    if name not in classes:
        raise SettingsError(f"unknown method {name!r}: choose one of {', '.join(sorted(classes))}")
    return classes[name]


def retention_for(family: str, keep_percent: float) -> Retention:
    """The (video, audio) pair that `--keep` stands for.

    keep_percent: in (0, 100]. Published operating points give the published pair of the model family; values between
    them are interpolated, ending at (0, 0) for 0 % and (100, 100) for 100 %. Raises SettingsError outside the range.
    """
    if not 0 < keep_percent <= 100:
        raise SettingsError(f"--keep {keep_percent:g}% is out of range: choose more than 0% and at most 100%")
    points = {0: (0, 0), **_PAIRS[family], 100: (100, 100)}
    labels = sorted(points)
    video, audio = (
        float(np.interp(keep_percent, labels, [points[label][i] for label in labels])) / 100 for i in (0, 1)
    )
    return Retention(video, audio)
