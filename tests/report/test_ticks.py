from __future__ import annotations

import pytest

from seats.report.ticks import ticks


@pytest.mark.parametrize(
    ("low", "high", "log", "expected"),
    [
        (0, 10, False, [0, 2, 4, 6, 8, 10]),
        (380, 830, False, [400, 500, 600, 700, 800]),
        (0, 3, False, [0, 1, 2, 3]),
        (5, 5, False, [5]),
        (900, 20_000, True, [1000, 2000, 5000, 10_000, 20_000]),
        (1, 1e6, True, [1, 10, 100, 1e3, 1e4, 1e5, 1e6][::2]),
        (0.8, 1.4, True, [0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4][::2]),
    ],
)
def test_ticks(low: float, high: float, log: bool, expected: list[float]) -> None:
    assert ticks(low, high, log) == pytest.approx(expected)


@pytest.mark.parametrize("log", [True, False])
def test_ticks_are_few_and_inside(log: bool) -> None:
    for low in (1e-9, 0.3, 7.0, 12345.0):
        for factor in (1.0001, 1.5, 40, 1e5, 1e40):
            found = ticks(low, low * factor, log)
            assert 1 <= len(found) <= 7
            assert all(low * (1 - 1e-9) <= tick <= low * factor * (1 + 1e-9) for tick in found)
