"""Tables in the documents are those that the recorded measurements give."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLES = ROOT / "benchmarks" / "tables.py"

pytestmark = pytest.mark.skipif(not TABLES.exists(), reason="recorded measurements are in the repository only")


@pytest.fixture(scope="module")
def tables():
    return runpy.run_path(str(TABLES))


def test_documents_say_what_the_records_say(tables):
    for path in tables["DOCUMENTS"]:
        text = path.read_text(encoding="utf-8")
        assert tables["MARK"].search(text), f"no table in {path.name}"
        assert tables["rewritten"](text) == text


def test_a_changed_figure_is_put_right(tables):
    text = tables["DOCUMENTS"][0].read_text(encoding="utf-8")
    name = tables["MARK"].search(text)[2]
    start = text.index(f"<!-- table: {name} -->")
    figure = re.compile(r"\d\d\.\d").search(text, start)
    changed = f"{text[: figure.start()]}00.0{text[figure.end() :]}"
    assert changed != text
    assert tables["rewritten"](changed) == text
