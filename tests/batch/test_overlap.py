"""`benchmarks/batch_overlap.py` on a few clips."""

import pytest

from benchmarks.batch_overlap import measure


@pytest.mark.slow
def test_a_batch_is_timed_beside_its_parts(tmp_path):
    found = measure(tmp_path / "clips", clips=2, repeats=1, scale=1)
    assert found["clips"] == 2
    assert min(found["rounds"][0]) > 0
    longer = max(found["decoding_s"], found["model_s"])
    assert found["ratio"] == pytest.approx([found["batch_s"] / longer] * 3, rel=0.05)  # of rounded times
