"""Tables from a results file."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

from seats.batch.rows import to_line
from seats.batch.tables import check_kind, check_table, write_table
from seats.errors import SeatsError, SettingsError
from tests.batch.made import make_row


@pytest.fixture
def results(tmp_path: Path) -> Path:
    first = {**make_row("a.mp4", expected="a ring"), "tokens": {"video": {"per_layer": [3, 2]}}, "seed": 1}
    second = {**make_row('b,"\n.mp4'), "tokens": {"video": None}, "seed": 1.5, "speedup": None}
    third = {**make_row("c.mp4", ok=False), "speedup": None}
    out = tmp_path / "r.jsonl"
    out.write_bytes(b"".join(map(to_line, (first, second, third))) + b'{"half')
    return out


def test_csv(results: Path, tmp_path: Path) -> None:
    table = tmp_path / "r.csv"
    table.write_text("an older one")
    write_table(results, table)
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["clip.path"] for row in rows] == ["a.mp4", 'b,"\n.mp4', "c.mp4"]
    assert [row["status"] for row in rows] == ["ok", "ok", "error"]
    assert rows[0]["tokens.video.per_layer"] == "[3, 2]"
    assert (rows[0]["right"], rows[1]["right"]) == ("True", "")
    assert rows[2]["error.message"] == "c.mp4: is bad"
    assert next(iter(rows[0])) == "id"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.csv", "r.jsonl"]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_an_end_of_a_line_in_a_text_is_part_of_its_cell(tmp_path: Path, end: str) -> None:
    out, table = tmp_path / "r.jsonl", tmp_path / "r.csv"
    out.write_bytes(to_line(make_row(f"a{end}b.mp4")) + to_line(make_row("c.mp4")))
    write_table(out, table)
    with table.open(encoding="utf-8", newline="") as file:
        assert [row["clip.path"] for row in csv.DictReader(file)] == [f"a{end}b.mp4", "c.mp4"]


@pytest.mark.parametrize("name", ["r.parquet", "R.PARQUET"])
def test_parquet(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("seats.batch.tables._CHUNK", 2)
    table = tmp_path / name
    check_table(table)
    write_table(results, table)
    check_table(table)  # its own it may replace
    rows = parquet.read_table(table).to_pylist()
    assert [row["clip.path"] for row in rows] == ["a.mp4", 'b,"\n.mp4', "c.mp4"]
    assert [row["seed"] for row in rows] == [1.0, 1.5, None]
    assert [row["right"] for row in rows] == [True, None, None]
    assert [row["speedup"] for row in rows] == [None] * 3


def test_a_column_is_wide_enough_whatever_comes_first_and_no_wider(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out, table = tmp_path / "r.jsonl", tmp_path / "r.parquet"
    rows = [
        {**make_row("a.mp4"), "seed": 1.5, "odd": "a", "frames": 6},
        {**make_row("b.mp4"), "seed": 2, "odd": 3, "frames": 8},
    ]
    out.write_bytes(b"".join(map(to_line, rows)))
    write_table(out, table)
    read = parquet.read_table(table, columns=["seed", "odd", "frames"])
    assert [tuple(row.values()) for row in read.to_pylist()] == [(1.5, "a", 6), (2.0, "3", 8)]


def test_no_and_nothing_are_kept_apart_in_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out, table = tmp_path / "r.jsonl", tmp_path / "r.parquet"
    rows = [
        {**make_row("a.mp4", expected="a disc"), "seed": 0, "scale": 0.0, "thoughts": ""},
        {**make_row("b.mp4"), "seed": None, "scale": None, "thoughts": None},
    ]
    out.write_bytes(b"".join(map(to_line, rows)))
    write_table(out, table)
    read = parquet.read_table(table, columns=["right", "seed", "scale", "thoughts"])
    assert [tuple(row.values()) for row in read.to_pylist()] == [(False, 0, 0.0, ""), (None,) * 4]


def test_parquet_without_pyarrow_is_said_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr("seats.batch.tables.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install pyarrow,"):
        check_kind(Path("r.parquet"))
    check_kind(Path("r.csv"))


def test_a_table_that_cannot_be_written(results: Path, tmp_path: Path) -> None:
    (tmp_path / "r.csv").mkdir()
    with pytest.raises(SeatsError, match=r"r\.jsonl has all rows"):
        write_table(results, tmp_path / "r.csv")


@pytest.mark.parametrize("text", ["", "id,status,clip.path\n", "id,status,clip.path,question\r\n1,ok,a.mp4,what?\n"])
def test_a_table_of_a_batch_may_be_replaced(tmp_path: Path, text: str) -> None:
    table = tmp_path / "r.csv"
    table.write_text(text)
    check_table(table)


@pytest.mark.parametrize(
    "data", [b"clip,question\n", b"id,status\n", b"id,status,clip.pathology\n", b"\xff\n", b"\n\n"]
)
def test_another_file_is_no_table(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "r.csv").write_bytes(data)
    with pytest.raises(SettingsError, match="is not a table of a batch"):
        check_table(tmp_path / "r.csv")


def test_another_parquet_file_is_no_table(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = tmp_path / "r.parquet"
    parquet.write_table(pyarrow.table({"id": ["a"], "status": ["b"], "name": ["c"]}), table)
    with pytest.raises(SettingsError, match="is not a table of a batch"):
        check_table(table)
    table.write_bytes(b"no parquet at all")
    with pytest.raises(SettingsError, match="is not a table of a batch"):
        check_table(table)


def test_what_is_no_file_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "r.csv").mkdir()
    with pytest.raises(SettingsError, match="is not a regular file"):
        check_table(tmp_path / "r.csv")
    with pytest.raises(SettingsError, match="cannot be"):
        check_table(tmp_path / ("a" * 5000 + ".csv"))
