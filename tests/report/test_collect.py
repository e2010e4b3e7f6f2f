from __future__ import annotations

import pytest

from seats.report.collect import output_tokens, steps_of
from seats.report.rows import Answered, parse_row
from tests.report.make import ok_row


@pytest.mark.parametrize("length", [1, 2, 5, 30])
def test_tokens_of_an_answer_are_told_by_its_times(length: int) -> None:
    outcome = parse_row(ok_row(length=length), 1, 0).outcome
    assert isinstance(outcome, Answered)
    assert output_tokens(outcome) == length


def test_steps_that_overlap_leave_nothing_else() -> None:
    row = ok_row()
    row["latency_ms"]["encode_video"] = 900.0
    outcome = parse_row(row, 1, 0).outcome
    assert isinstance(outcome, Answered)
    assert steps_of(outcome)["other"] == 0.0
