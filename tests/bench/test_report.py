"""What is said of measured rows, with numbers that can be worked out by hand."""

import pytest

from seats.bench.measure import FULL, Row, Run
from seats.bench.report import _shares, rows_json
from seats.costs.flops import FlopsParts, FlopsReport
from seats.keep import Setting


def row_of(setting, prefill_ms, flops=None, **steps_ms):
    return Row(setting, [Run({"prefill": prefill_ms, **steps_ms}, prefill_ms, None, None, 1, 1, None, flops)])


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
