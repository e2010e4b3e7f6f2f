"""`benchmarks/freed_memory.py` on a short clip."""

import pytest

from benchmarks.freed_memory import measured


@pytest.mark.slow
def test_both_ways_are_measured(tmp_path):
    found = measured(2.0, 1, tmp_path)
    assert found["times_as_long_by_default"].keys() == {"full", "seats 10%"}
    kept, default = found["rounds"][0]["kept"], found["rounds"][0]["default"]
    for label, ratio in found["times_as_long_by_default"].items():
        assert ratio["median"] == default["first_token_ms"][label] / kept["first_token_ms"][label] > 0
    assert min(kept["peak_bytes"], default["peak_bytes"]) > 2**20
