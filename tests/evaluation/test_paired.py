"""Two methods compared from kept rows: `benchmarks/paired.py`."""

import json
import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "paired.py"


@pytest.mark.skipif(not SCRIPT.exists(), reason="benchmarks are in the repository only")
def test_rows_end_at_a_line_feed_only(tmp_path):
    row = {"status": "answered", "label": "seats 10%", "setting": "s", "question": "q", "answer": "a\u2028b\x85"}
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")

    assert runpy.run_path(str(SCRIPT))["rows_by_label"](file) == {"seats 10%": {"q": row}}


@pytest.mark.skipif(not SCRIPT.exists(), reason="benchmarks are in the repository only")
def test_a_name_of_several_settings_is_refused(tmp_path):
    """With another --kv a method has the same name."""
    row = {"status": "answered", "label": "seats 10%", "question": "q"}
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row | {"setting": setting}) + "\n" for setting in "ab"))
    with pytest.raises(SystemExit, match="rows of seats 10% that were asked otherwise"):
        runpy.run_path(str(SCRIPT))["rows_by_label"](file)


@pytest.mark.skipif(not SCRIPT.exists(), reason="benchmarks are in the repository only")
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("{}\n", "is no file of rows"),
        ("no", "is no file of rows"),
    ],
)
def test_what_is_no_file_of_rows_is_said_in_a_line(tmp_path, monkeypatch, content, says):
    file = tmp_path / "rows.jsonl"
    if content is not None:
        file.write_text(content)
    monkeypatch.setattr("sys.argv", ["paired.py", str(file), "seats+", "seats"])

    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert str(ended.value).startswith(f"{file} {says}")


def rows_file(path, *labels):
    """Two questions about as many clips, of which every other label has one wrong."""
    rows = [
        {"status": "answered", "label": label, "setting": label, "question": str(number), "clip": f"{number}.mp4"}
        | {"right": bool(number or i % 2), "llm_flops": 1, "llm_flops_full": 4}
        for i, label in enumerate(labels)
        for number in range(2)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.skipif(not SCRIPT.exists(), reason="benchmarks are in the repository only")
@pytest.mark.parametrize(
    ("labels", "theirs", "keep"),
    [
        (("seats 10% video 20%", "random 10% video 20%"), "random", "10% video 20%"),
        (("seats video 20% audio 40%", "random video 20% audio 40%"), "random", "video 20% audio 40%"),
        (("seats 10%", "full"), "full", "10%"),
    ],
)
def test_shares_of_one_s_own_and_full_tokens(tmp_path, monkeypatch, capsys, labels, theirs, keep):
    rows_file(tmp_path / "rows.jsonl", *labels)
    monkeypatch.setattr("sys.argv", ["paired.py", str(tmp_path / "rows.jsonl"), "seats", theirs])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    (found,) = json.loads(capsys.readouterr().out)["results"]
    assert (found["keep"], found["questions"], found["difference"]) == (keep, 2, -0.5)


@pytest.mark.skipif(not SCRIPT.exists(), reason="benchmarks are in the repository only")
def test_methods_that_were_not_asked_the_same_are_said(tmp_path, monkeypatch):
    rows_file(tmp_path / "rows.jsonl", "seats 10%", "random 25%")
    monkeypatch.setattr("sys.argv", ["paired.py", str(tmp_path / "rows.jsonl"), "seats", "random"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert str(ended.value).endswith("at the same retention; it has rows of seats 10%, random 25%")
