"""`benchmarks/speedup.py` on a short clip."""

import pytest

from benchmarks.gpu import KEEPS
from benchmarks.speedup import measured


@pytest.mark.slow
def test_ratios_of_a_short_clip(tmp_path):
    found = measured(4.0, 1, tmp_path)
    assert found["tokens"] > 200
    assert [row["keep_percent"] for row in found["rows"]] == list(KEEPS)
    assert all(row["flops_reduction"] > 1.5 and row["prefill_speedup"]["median"] > 0 for row in found["rows"])
    assert found["full"]["first_token_from_file_ms"]["median"] > found["full"]["prefill_ms"]["median"]
