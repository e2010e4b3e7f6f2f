from __future__ import annotations

import json
from pathlib import Path

import pytest

from seats.report import ResultsError
from seats.report.results import Results, row_at
from seats.report.rows import Answered, Failed
from tests.report.make import error_row, ok_row, write


def read(path: Path) -> tuple[list[int], Results]:
    results = Results(path)
    return [row.line for row in results], results


def test_rows_with_what_they_hold(tmp_path: Path) -> None:
    rows = list(Results(write(tmp_path / "r.jsonl", ok_row(1), error_row(2, "no pictures"))))
    good, bad = rows
    assert isinstance(good.outcome, Answered)
    assert (good.clip, good.id, good.question) == ("clips/1.mp4", "row-1", "Which shape is red?")
    assert good.outcome.latency["prefill"] == 80.0
    assert good.outcome.tokens["video"].per_layer == (20, 10, 0, 0)  # type: ignore[union-attr]
    assert good.outcome.parts_full["llm_prefill"] == 400.0
    assert good.outcome.missing == ()
    assert bad.outcome == Failed("MediaError", "no pictures")
    assert bad.clip == "clips/2.mp4"


def test_output_of_ask_is_a_row(tmp_path: Path) -> None:
    row = {key: value for key, value in ok_row().items() if key not in ("id", "status")}
    assert read(write(tmp_path / "r.jsonl", row))[0] == [1]


def test_offset_leads_back_to_the_row(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", ok_row(1, answer="é" * 9), "\n", "broken\n", ok_row(2), error_row(3))
    rows = list(Results(path))
    with path.open("rb") as file:
        assert [row_at(file, row.offset).id for row in reversed(rows)] == ["row-3", "row-2", "row-1"]


def test_a_mark_of_byte_order_costs_no_row(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", ok_row(1), ok_row(2))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    lines, results = read(path)
    assert (lines, results.faults.broken) == ([1, 2], 0)
    with path.open("rb") as file:
        assert row_at(file, 0).id == "row-1"


def test_half_written_last_line_is_not_broken(tmp_path: Path) -> None:
    lines, results = read(write(tmp_path / "r.jsonl", ok_row(), json.dumps(ok_row(1))[:-9]))
    assert lines == [1]
    assert results.faults.half_written
    assert not results.faults.broken


def test_whole_last_line_without_its_end_counts(tmp_path: Path) -> None:
    lines, results = read(write(tmp_path / "r.jsonl", ok_row(), json.dumps(ok_row(1))))
    assert lines == [1, 2]
    assert not results.faults.half_written


@pytest.mark.parametrize(
    "line",
    ["{", '{"a": 1', "[1]", "3", '"text"', "[" * 100_000, "9" * 5000, '{"a": ' * 50_000, "\x00\x01", "nothing"],
    ids=lambda line: line[:8],
)
def test_broken_lines_are_counted_and_named(tmp_path: Path, line: str) -> None:
    lines, results = read(write(tmp_path / "r.jsonl", ok_row(), line + "\n", "\n", ok_row(1), line + "\n"))
    assert lines == [1, 4]
    assert results.faults.broken == 2
    assert results.faults.broken_lines == [2, 5]
    assert not results.faults.half_written


def test_line_without_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seats.report.results._LONGEST_LINE", 5000)
    path = write(tmp_path / "r.jsonl", ok_row(1), "x" * 3_000_000 + "\n", ok_row(2), '{"a": "' + "y" * 9000)
    lines, results = read(path)
    assert lines == [1, 3]
    assert results.faults.broken_lines == [2, 4]
    with path.open("rb") as file:
        assert row_at(file, [row.offset for row in Results(path)][1]).id == "row-2"


def test_objects_of_other_kinds_are_left_out(tmp_path: Path) -> None:
    rows = [ok_row(), {"schema": "seats.eval/1"}, {}, ok_row(1, status="running"), ok_row(2, schema="seats.answer/2")]
    lines, results = read(write(tmp_path / "r.jsonl", *rows))
    assert lines == [1]
    assert results.faults.foreign_lines == [2, 3, 4, 5]
    assert results.faults.schemas == {"seats.eval/1": 1, "": 1, "seats.answer/1": 1, "seats.answer/2": 1}


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"latency_ms": None}, "latency_ms"),
        ({"latency_ms": {"total": -1}}, "latency_ms.total"),
        ({"latency_ms": {"total": True}}, "latency_ms.total"),
        ({"latency_ms": {"total": 10**400}}, "latency_ms.total"),
        ({"latency_ms": {"total": float("nan")}}, "latency_ms.total"),
        ({"latency_ms": {"total": "12"}}, "latency_ms.total"),
        ({"tokens": {"text": 3, "video": [], "audio": {}}}, "tokens.video"),
        ({"tokens": {"video": {"full": 3, "pre_llm": 1, "per_layer": [1, "2"]}}}, "tokens.video"),
        ({"model": "nano"}, "model.name"),
        ({"answer": None}, "answer"),
        ({"flops": [1]}, "flops"),
        ({"speedup": {}}, "speedup"),
    ],
)
def test_what_a_row_lacks_is_named(tmp_path: Path, change: dict[str, object], missing: str) -> None:
    (row,) = Results(write(tmp_path / "r.jsonl", ok_row(**change)))
    assert isinstance(row.outcome, Answered)
    assert missing in row.outcome.missing


def test_null_is_a_value(tmp_path: Path) -> None:
    """A clip without sound has no time for it."""
    silent = ok_row()
    silent["latency_ms"]["encode_audio"] = silent["retention"]["audio"] = None
    (row,) = Results(write(tmp_path / "r.jsonl", silent))
    assert isinstance(row.outcome, Answered)
    assert row.outcome.missing == ()
    assert row.outcome.latency["encode_audio"] is None


def test_bytes_that_are_not_utf8_are_read(tmp_path: Path) -> None:
    (row,) = Results(write(tmp_path / "r.jsonl", json.dumps(ok_row()).replace("clips/0", "clips/\udcff") + "\n"))
    assert row.clip == "clips/\udcff.mp4"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("r.jsonl", "", "is empty"),
        ("r.jsonl", "\n\n", "is empty"),
        ("r.jsonl", '{"id": "a', "half written"),
        ("r.jsonl", '{"schema": "seats.eval/1", "results": []}\n', "schema 'seats.eval/1', not 'seats.answer/1'"),
        ("r.jsonl", "a,b\n1,2\n", "holds no results"),
        ("r.jsonl", '{\n  "schema": "seats.answer/1"\n}\n', "holds no results"),
        ("r.csv", "id,clip\n1,2\n", "give the .jsonl file"),
        ("r.parquet", "PAR1\x00\n", "give the .jsonl file"),
    ],
)
def test_files_without_results(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ResultsError, match=said) as raised:
        read(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_no_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no such file"):
        read(tmp_path / "gone.jsonl")
    with pytest.raises(ResultsError, match="is a folder"):
        read(tmp_path)
