"""Counts of the baselines, by hand."""

import re

import pytest

from seats.errors import SettingsError
from seats.selection.baselines import (
    check_fastv,
    dycoke_compared,
    dycoke_grid,
    fastv_share,
    fastvid_grid,
    omnizip_audio,
    visionzip_counts,
)


@pytest.mark.parametrize(("n", "ratio", "counts"), [(100, 0.12, (7, 5)), (20, 0.6, (11, 1)), (140, 0.6, (77, 7))])
def test_a_whole_number_of_tokens_is_not_lost_to_rounding(n, ratio, counts):
    assert visionzip_counts(n, ratio) == counts


def test_a_window_keeps_no_more_than_it_has():
    assert visionzip_counts(1, 0.6) == (1, 0)
    assert visionzip_counts(2, 0.05) == (0, 1)


def test_dycoke_compares_by_fours_but_for_the_last_third_grid():
    assert sorted(dycoke_compared(9)) == [(1, 0), (2, 0), (3, 2), (5, 4), (6, 4), (7, 6)]
    assert sorted(dycoke_compared(8)) == [(1, 0), (2, 0), (3, 2), (5, 4), (7, 6)]
    assert dycoke_compared(1) == []


def test_three_grids_of_four_pay_for_what_dycoke_drops():
    assert dycoke_grid(0.25, 130) == 0
    assert dycoke_grid(0.7, 100) == 60
    assert dycoke_grid(1.0, 7) == 7


@pytest.mark.parametrize(("video", "size", "kept"), [(0.35, 30, 4), (0.58, 100, 44), (0.95, 60, 56)])
def test_dycoke_loses_no_whole_number_of_tokens_to_rounding(video, size, kept):
    assert dycoke_grid(video, size) == kept


def test_later_layers_pay_for_the_two_that_see_all():
    share = fastv_share(0.3, 28)
    assert share == pytest.approx(0.2462, abs=1e-4)  # as published for the 7B at 30 %
    assert (2 + 26 * share) / 28 == pytest.approx(0.3)


@pytest.mark.parametrize("layers", [1, 2])
def test_fastv_needs_a_layer_behind_the_one_it_drops_after(layers):
    with pytest.raises(SettingsError, match=f"^fastv drops after layer 2, but the model has {layers}: choose another"):
        check_fastv("fastv", layers, 1.0, 1.0)
    check_fastv("fastv", 3, 0.7, 1.0)


def test_what_a_refusal_names_can_be_had():
    for refused, accepts in (
        (lambda: fastvid_grid(0.06, 16), lambda share: fastvid_grid(share, 16)),  # 6.25 %
        (lambda: fastvid_grid(0.03, 30), lambda share: fastvid_grid(share, 30)),
        (lambda: check_fastv("fastv", 28, 0.07, 1.0), lambda share: check_fastv("fastv", 28, share, 1.0)),  # 7.14 %
    ):
        with pytest.raises(SettingsError) as caught:
            refused()
        named = float(re.findall(r"([\d.]+) %", str(caught.value))[-1])
        accepts(named / 100)


def test_a_refusal_does_not_round_a_share_to_the_limit_that_it_misses():
    with pytest.raises(SettingsError, match=r"cannot keep 24.97 % of .* one grid of four, 25%, so choose"):
        dycoke_grid(0.2497, 100)


@pytest.mark.parametrize(("n", "ratio", "counts"), [(100, 0.65, (60, 5)), (10, 1.0, (10, 0)), (3, 0.05, (0, 0))])
def test_omnizips_audio(n, ratio, counts):
    assert omnizip_audio(n, ratio) == counts
