"""The most that --keep can be, and what is said beyond it."""

import numpy as np
import pytest

from seats.errors import SettingsError
from seats.keep import check_reach, method_label, most_keep, off_target, operating_points, shares
from seats.methods import ModelShape, retention_for
from seats.methods.seats import Seats
from seats.methods.seats_plus import SeatsPlus

NANO = {"drop_layers": [4, 5, 6], "late_layer": 8}


@pytest.mark.parametrize(
    ("family", "layers", "own", "most"),
    [("qwen2.5-omni", 28, {}, 66), ("qwen3-omni", 48, {}, 59), ("qwen2.5-omni", 10, NANO, 44)],
)
@pytest.mark.parametrize("method", [Seats, SeatsPlus])
def test_the_most_that_a_model_can_keep_is_named(method, family, layers, own, most):
    """The numbers are the README's."""
    shape = ModelShape(family, layers, own)
    method.for_model(shape, retention_for(family, most), 0)
    with pytest.raises(SettingsError, match=f" at most --keep {most}%, or --keep-audio ") as caught:
        method.for_model(shape, retention_for(family, most + 1), 0)
    assert str(caught.value).startswith(f"{method.name} cannot keep")


@pytest.mark.parametrize("family", ["qwen2.5-omni", "qwen3-omni"])
@pytest.mark.parametrize("keep", [0.5, 5, 10, 12.5, 15, 20, 35, 60, 100])
def test_shares_lie_on_the_lines_between_the_published_ones(family, keep):
    points = operating_points(family)
    for place, share in enumerate(shares(family, keep)):
        assert share == np.interp(keep, sorted(points), [points[label][place] for label in sorted(points)]) / 100


def test_shares_of_ones_own_go_first():
    video, audio = shares("qwen2.5-omni", 20)
    assert shares("qwen2.5-omni", 20, 0.5) == (0.5, audio)
    assert shares("qwen2.5-omni", 20, None, 0.4) == (video, 0.4)


@pytest.mark.parametrize(("share", "most"), [(0.65, 35), (0.35, 10), (1.0, 100), (0.001, 0), (0.6499, 34)])
def test_the_largest_whole_percentage(share, most):
    assert most_keep("qwen2.5-omni", share) == most


def test_a_share_is_rounded_to_one_that_can_be_had():
    with pytest.raises(SettingsError, match=r"keep 90 % of the video.* 66.6 % is the most .*--keep-video 66.6% where"):
        check_reach("seats", "qwen2.5-omni", 0.9, 0.3, 2 / 3)
    check_reach("seats", "qwen2.5-omni", 2 / 3, 0.3, 2 / 3)


@pytest.mark.parametrize(
    ("method", "video", "audio", "label"),
    [
        ("full", None, None, "full"),
        ("seats", None, None, "seats 12.5%"),
        ("seats+", 0.2, None, "seats+ 12.5% video 20%"),
        ("seats", 0.2, 0.4, "seats video 20% audio 40%"),
    ],
)
def test_a_method_is_named_with_its_target(method, video, audio, label):
    assert method_label(method, 12.5, video, audio) == label


@pytest.mark.parametrize(
    ("method", "kept", "said"),
    [
        ("omnizip", 186.0, "omnizip keeps 51 % of this clip's video and audio tokens, 44 % were asked for"),
        ("omnizip", 178.0, None),  # a tenth is rounding
        ("fastvid", 125.0, "fastvid keeps 34 % of this clip's video and audio tokens, 44 % were asked for"),
        ("seats", 147.0, None),
        ("full", 366.0, None),
    ],
)
def test_more_or_less_than_the_target_is_said(method, kept, said):
    assert off_target(method, kept, 216, 150, (0.3, 0.65)) == (() if said is None else (said,))


def test_two_tokens_are_rounding():
    assert off_target("seats", 2.8, 4, 6, (0.06, 0.1)) == off_target("seats", 1.0, 0, 1, (0.06, 0.1)) == ()
