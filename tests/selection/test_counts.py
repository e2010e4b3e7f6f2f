"""The budget of methods that keep audio whole, and the counts of choices by window."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seats.errors import SettingsError
from seats.selection.counts import audio_intact, diverse_macs


@pytest.mark.parametrize(
    ("target", "expected"),
    [((0.30, 0.65), (0.178, 1.0)), ((0.20, 0.55), (0.05, 0.98))],
)
def test_the_published_mix(target, expected):
    assert audio_intact(8600, 3000, *target) == pytest.approx(expected, abs=0.0012)


def test_one_window_gives_the_nominal_pair_of_the_paper():
    assert audio_intact(300, 50, 0.30, 0.65) == pytest.approx((0.24, 1.0), abs=0.002)
    assert audio_intact(300, 50, 0.20, 0.55) == pytest.approx((0.12, 1.0), abs=0.004)


def test_a_clip_of_one_modality_keeps_its_target():
    assert audio_intact(100, 0, 0.03, 0.6) == (0.03, 0.6)
    assert audio_intact(0, 100, 0.3, 0.6) == (0.3, 0.6)


@pytest.mark.parametrize(("video", "budget"), [(0.03, 36), (0.044, 50)])
def test_a_target_that_the_floor_of_the_video_uses_up_is_refused(video, budget):
    said = rf"{budget} tokens leave none for audio beside the 5% of this clip's 1000 video"
    with pytest.raises(SettingsError, match=said):
        audio_intact(1000, 20, video, 0.3)


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(0.01, 1), st.floats(0.01, 1))
def test_the_budget_is_met_and_audio_comes_first(video, audio, video_share, audio_share):
    budget = int(video * video_share + audio * audio_share)
    assume(budget > 0.05 * video)
    shares = audio_intact(video, audio, video_share, audio_share)
    assert shares[0] * video + shares[1] * audio == pytest.approx(budget)
    assert 0 < shares[0] <= 1
    assert 0 < shares[1] <= 1
    if shares[1] < 1:
        assert shares[0] == 0.05


@pytest.mark.parametrize(
    ("T", "window", "ratio", "pairs"),
    [(70, 32, 0.3, 3 * 32**2), (64, 32, 0.3, 2 * 32**2), (20, 32, 0.3, 20**2), (20, 8, 1.0, 0), (0, 8, 0.5, 0)],
)
def test_multiply_adds_are_those_of_whole_windows(T, window, ratio, pairs):
    assert diverse_macs(T, 5, window, ratio) == 5 * pairs
