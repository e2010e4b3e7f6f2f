"""`benchmarks/growing_cache.py` on a short clip."""

import seats
from benchmarks.growing_cache import measured
from benchmarks.linearity import make_clip


def test_both_ways_are_measured(tmp_path):
    model = seats.load_model(seats.find_checkpoint("seats-nano"), device="cpu")
    rows = measured(model, make_clip(tmp_path / "clip.mp4", 4.0), 4.0, 2)
    assert [row["method"] for row in rows] == ["full", "seats"]
    for row in rows:
        assert len(row["rounds_ms"]) == 2
        assert all(ms > 0 for one in row["rounds_ms"] for ms in one.values())
        ratios = row["times_as_long_in_stock_code"]
        assert 0 < ratios["low"] <= ratios["median"] <= ratios["high"]
