"""Tables in the documents are those that the recorded measurements give."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

from benchmarks import gpu

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


@pytest.mark.parametrize("words", [["--help"], ["--chek"], ["--check", "README.md"]])
def test_words_that_mean_nothing_write_nothing(tables, monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "argv", ["tables.py", *words])
    monkeypatch.setitem(tables["main"].__globals__, "DOCUMENTS", None)  # looking at them fails
    with pytest.raises(SystemExit) as ended:
        tables["main"]()
    assert ended.value.code == (0 if words == ["--help"] else 2)
    assert "python benchmarks/tables.py --check" in "".join(capsys.readouterr())


def test_a_gpu_record_of_what_broke_the_device_is_left_out(tables, tmp_path):
    broken = {"kernels": "all", "result": {"rows": [{"label": "full", "error": "CUDA error"}]}}
    (tmp_path / f"gpu-7b-tokens{gpu.FAILED}.json").write_text(json.dumps(broken))
    assert "Not measured yet" in tables["gpu"](tmp_path)


def test_a_gpu_record_that_was_cut_is_named(tables, tmp_path):
    (tmp_path / "gpu-7b-tokens.json").write_text('{"command": ["py')
    with pytest.raises(SystemExit, match=r"gpu-7b-tokens\.json cannot be read, or only a part"):
        tables["gpu"](tmp_path)
