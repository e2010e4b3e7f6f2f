"""Steps of a clock are told, wild timestamps are not."""

import pytest

from seats.media.clock import Clock


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
