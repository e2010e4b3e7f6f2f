"""Two methods compared from kept rows: `benchmarks/paired.py`."""

import json
import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "paired.py"


@pytest.mark.skipif(not SCRIPT.exists(), reason="benchmarks are in the repository only")
def test_rows_end_at_a_line_feed_only(tmp_path):
    row = {"status": "answered", "label": "seats 10%", "question": "q", "answer": "a\u2028b\x85"}
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")

    assert runpy.run_path(str(SCRIPT))["rows_by_label"](file) == {"seats 10%": {"q": row}}
