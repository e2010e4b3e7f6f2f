"""Methods by name, from other packages too, and what `--keep` means."""

from importlib.metadata import EntryPoint
from itertools import pairwise
from types import SimpleNamespace

import pytest

from seats.errors import SettingsError
from seats.methods import Full, Random, Seats, method_class, method_classes, registry, retention_for

PUBLISHED = {
    "qwen2.5-omni": {35: (0.30, 0.65), 25: (0.20, 0.55), 15: (0.10, 0.45), 10: (0.06, 0.35)},
    "qwen3-omni": {35: (0.32, 0.70), 25: (0.22, 0.60), 15: (0.12, 0.50), 10: (0.07, 0.45)},
}


def pair(family: str, percent: float) -> tuple[float, float]:
    found = retention_for(family, percent)
    return found.video, found.audio


def test_every_method_is_found_by_its_own_name():
    classes = method_classes()
    assert {"seats": Seats, "full": Full, "random": Random}.items() <= classes.items()
    for name, cls in classes.items():
        assert cls.name == name
        assert method_class(name) is cls
        assert cls.source


def test_an_unknown_method_lists_the_known_ones():
    with pytest.raises(SettingsError, match=r"unknown method 'sheats': choose one of .*full.*random.*seats"):
        method_class("sheats")


def test_methods_of_other_packages(monkeypatch):
    """Offered as entry points; a built-in name cannot be taken over."""
    monkeypatch.setitem(__import__("sys").modules, "their_package", SimpleNamespace(Theirs=Random))
    offered = [
        EntryPoint("theirs", "their_package:Theirs", registry.ENTRY_POINT_GROUP),
        EntryPoint("seats", "their_package:Theirs", registry.ENTRY_POINT_GROUP),
    ]

    def entry_points(group):
        assert group == "seats.methods"
        return offered

    monkeypatch.setattr(registry, "entry_points", entry_points)
    assert method_class("theirs") is Random
    assert method_class("seats") is Seats
    with pytest.raises(SettingsError, match="theirs"):
        method_class("nobody's")


@pytest.mark.parametrize("family", PUBLISHED)
def test_published_pairs(family):
    for percent, (video, audio) in PUBLISHED[family].items():
        assert pair(family, percent) == pytest.approx((video, audio))


@pytest.mark.parametrize("family", PUBLISHED)
def test_between_the_published_pairs(family):
    (v15, a15), (v25, a25) = PUBLISHED[family][15], PUBLISHED[family][25]
    assert pair(family, 20) == pytest.approx(((v15 + v25) / 2, (a15 + a25) / 2))
    v10, a10 = PUBLISHED[family][10]
    assert pair(family, 5) == pytest.approx((v10 / 2, a10 / 2))
    assert pair(family, 100) == (1.0, 1.0)
    series = [retention_for(family, percent) for percent in range(1, 101)]
    for less, more in pairwise(series):
        assert less.video < more.video
        assert less.audio < more.audio


@pytest.mark.parametrize("percent", [0, -5, 100.5, float("nan")])
def test_keep_outside_its_range(percent):
    with pytest.raises(SettingsError, match=r"--keep .* out of range"):
        retention_for("qwen2.5-omni", percent)
