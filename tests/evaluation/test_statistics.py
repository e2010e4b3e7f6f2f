import math

import pytest

from seats.evaluation.statistics import Accuracy


def test_wilson_interval_of_a_known_case():
    # 90 of 100: Wilson's interval by hand.
    low, high = Accuracy(90, 100).interval()
    assert low == pytest.approx(0.8256, abs=1e-4)
    assert high == pytest.approx(0.9448, abs=1e-4)


def test_interval_stays_inside_and_holds_the_share():
    for right, total in ((0, 5), (5, 5), (1, 2), (300, 301)):
        accuracy = Accuracy(right, total)
        low, high = accuracy.interval()
        assert 0 <= low <= accuracy.share <= high <= 1
        assert high > low


def test_no_questions_say_nothing():
    assert math.isnan(Accuracy(0, 0).share)
    assert Accuracy(0, 0).interval() == (0.0, 1.0)
