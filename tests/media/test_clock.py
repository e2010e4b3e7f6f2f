"""Steps of a clock are told, wild timestamps are not."""

import pytest

from seats.media.clock import Clock, SoundTimes


def _steps(times):
    clock = Clock()
    return [round(step, 6) for time in times if abs(step := clock.step(time)) > 1]


@pytest.mark.parametrize("begin_anew", [0.0, 3.0, 50.0])
def test_a_step_is_told_once(begin_anew):
    first = [5 + 0.5 * index for index in range(10)]
    second = [begin_anew + 0.5 * index for index in range(30)]
    assert _steps(first + second) == [pytest.approx(begin_anew - first[-1], abs=1.1)]


@pytest.mark.parametrize("wild", [-1e6, 0.0, 100.0, 1e9])
def test_a_single_wild_timestamp_is_passed_over(wild):
    times = [5 + 0.5 * index for index in range(20)]
    times[10] = wild
    assert _steps(times) == []


def test_pieces_without_a_timestamp_follow_the_one_before():
    times = SoundTimes()
    begun = []
    for stamp in (2.0, None, None, 5.0):
        begun.append(times.begin(stamp))
        times.end(0.5)
    assert begun == [2.0, 2.5, 3.0, 5.0]
    assert times.reached == 5.5


def test_a_clock_that_falls_back_ends_the_sound():
    times = SoundTimes()
    for stamp in (0.0, 1.0, 2.0, 3.0, 0.0, 0.5):
        if times.begin(stamp) is None:
            break
        times.end(1.0)
    assert times.restarted
    assert times.notes == [(4.0, "the clock of the sound restarts at 4.0 s; only the part before it is used")]
