from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seats.report.spread import Values, histogram

numbers = st.lists(st.floats(0, 1e9), min_size=1, max_size=60)


@settings(deadline=None)
@given(numbers)
def test_spread_is_numpys(values: list[float]) -> None:
    collected = Values()
    for value in values:
        collected.add(value)
    spread = collected.spread()
    assert spread is not None
    assert spread.count == len(values)
    for share, ours in ((5, spread.p05), (50, spread.median), (95, spread.p95)):
        assert ours == pytest.approx(np.percentile(values, share), rel=1e-9, abs=1e-9)
    assert spread.highest == max(values)
    assert spread.total == pytest.approx(sum(values))
    assert spread.mean == pytest.approx(np.mean(values))


def test_none_is_not_counted() -> None:
    values = Values()
    values.add(None)
    assert values.spread() is None
    values.add(3.0)
    assert values.spread().count == 1  # type: ignore[union-attr]


@settings(deadline=None)
@given(st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=200))
def test_histogram_holds_every_value_once(values: list[float]) -> None:
    found = histogram(values)
    assert found is not None
    assert sum(found.counts) == len(values)
    assert len(found.edges) == len(found.counts) + 1
    assert list(found.edges) == sorted(found.edges)
    assert found.edges[0] <= min(values) * 1.000001
    assert found.edges[-1] >= max(values) * 0.999999
    assert found.log == (max(values) / min(values) > 8)


def test_bins_hold_what_lies_between_their_edges() -> None:
    values = [1.0, 1.5, 2.0, 3.0, 3.1, 7.9]
    found = histogram(values)
    assert found is not None
    for low, high, count in zip(found.edges, found.edges[1:], found.counts, strict=False):
        last = high == found.edges[-1]
        assert count == sum(low <= value < high or (last and value == values[-1]) for value in values)


def test_more_values_have_more_bins() -> None:
    found = [histogram([1 + i / n for i in range(n)]) for n in (10, 1000, 30_000)]
    assert [len(each.counts) for each in found if each] == [8, 20, 40]  # 2 n^(1/3), Rice's rule, at least 8, at most 40


def test_histogram_of_nothing() -> None:
    assert histogram([]) is None
    assert histogram([0.0]) is None
