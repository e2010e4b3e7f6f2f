"""What is said of measured rows, with numbers that can be worked out by hand."""

from dataclasses import replace

import pytest

from seats.bench.measure import FULL, STOCK, Row, Run
from seats.bench.report import _shares, rows_json
from seats.costs.flops import FlopsParts, FlopsReport
from seats.inference.trace import Trace
from seats.keep import Setting
from seats.tokens.counts import Counts


def row_of(setting, prefill_ms, flops=None, trace=None, **steps_ms):
    return Row(setting, [Run({"prefill": prefill_ms, **steps_ms}, prefill_ms, None, None, 1, 1, trace, flops)])


def test_a_speed_up_with_saliency_counts_it_on_both_sides():
    rows = [row_of(FULL, 90.0), row_of(Setting("seats", 10.0), 30.0, saliency=15.0)]
    _, seats = rows_json(rows, None, encoders=True)
    assert seats["speedup"]["selection_and_prefill"]["median"] == 3.0
    assert seats["speedup"]["with_saliency"]["median"] == 2.0


def test_a_share_of_the_rate_is_flops_over_what_the_time_allows():
    parts = FlopsParts(4e9, 0.0, selection=1e9, llm_prefill=2e9, lm_head=0.0, llm_decode=0.0)
    row = row_of(FULL, 5.0, FlopsReport(parts, parts, 0, 0), encode_video=20.0)
    shares = _shares(row, 1e12)
    assert shares == pytest.approx(
        {"vision_encoder": 0.2, "audio_encoder": None, "prefill": 0.4, "selection_and_prefill": 0.6}
    )


def test_stock_code_is_compared_where_it_ran():
    rows = [row_of(FULL, 90.0), row_of(Setting(STOCK), 120.0, encode_video=8.0), row_of(Setting("seats", 10.0), 30.0)]
    found = [row["speedup"]["over_stock"] for row in rows_json(rows, None, encoders=True)]
    assert [ratio["median"] for ratio in found] == [120 / 90, 1.0, 4.0]
    assert rows_json(rows[::2], None, encoders=True)[1]["speedup"]["over_stock"] is None


def test_the_head_of_stock_code_sees_every_position():
    full = FlopsParts(1e9, 2e9, selection=0.0, llm_prefill=90.0, lm_head=1.0, llm_decode=5.0)
    run = FlopsParts(1e9, 2e9, selection=4.0, llm_prefill=20.0, lm_head=1.0, llm_decode=5.0)
    counts = Counts(10, 60, 40)
    row = row_of(FULL, 5.0, FlopsReport(full, run, 0, 0), Trace(counts, None, [counts]))
    for encoders in (True, False):
        (found,) = (made["flops"] for made in rows_json([row], None, encoders))
        assert found["selection_and_prefill"] == 25
        assert found["reduction"] == 91 / 25
        assert found["reduction_over_stock"] == (90 + 110) / 25
        assert found["parts"]["llm_prefill"] == 20
        assert found["parts"]["vision_encoder"] == (1e9 if encoders else None)


def test_saliency_is_part_of_selecting_and_of_the_rounds_peaks_the_highest_is_told():
    rows = [row_of(FULL, 90.0), row_of(Setting("seats", 10.0), 30.0, saliency=15.0, selection=3.0)]
    for row in rows:
        row.runs.insert(0, replace(row.runs[0], peak_bytes=7))
    _, seats = rows_json(rows, None, encoders=True)
    assert seats["selection_share_of_full_prefill"]["median"] == 0.2
    assert seats["memory_bytes"]["peak_device"] == 7
