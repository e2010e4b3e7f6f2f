import errno
import fcntl
import json
import os
import resource
from dataclasses import replace
from pathlib import Path

import pytest

from seats.errors import SeatsError, SettingsError
from seats.evaluation.rows import SCHEMA, Row, RowFile

ROW = Row("q1", "s1", "1", "a.mp4", "", "full", "answered", answer="Grün\n", right=True, llm_flops=2.0)


def rows_of(path):
    with RowFile(path) as file:
        return file.rows, file.repaired


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    others = [replace(ROW, question="q2", status="failed", reason="no"), replace(ROW, setting="s2", right=False)]
    with RowFile(path) as file:
        for row in (ROW, *others):
            file.append(row)
            assert path.read_bytes().endswith(row.to_line())  # at once
    assert rows_of(path) == ({row.key: row for row in (ROW, *others)}, False)
    assert json.loads(path.read_text().splitlines()[0])["schema"] == SCHEMA


def test_what_the_digests_stand_for_is_in_the_file_alone(tmp_path):
    """A run with many thousands of rows would hold it for nothing."""
    path, row = tmp_path / "rows.jsonl", replace(ROW, about={"a": [1]})
    with RowFile(path) as file:
        file.append(row)
        assert file.rows == {ROW.key: ROW}
    assert rows_of(path) == ({ROW.key: ROW}, False)
    assert Row.from_line(path.read_bytes()) == row


def test_a_wrong_answer_is_said_to_be_wrong():
    """What is left out counts as missing in a table of rows, and a mean would be of the right ones alone."""
    wrong = json.loads(replace(ROW, right=False, answer="").to_line())
    assert (wrong["right"], wrong["answer"]) == (False, "")
    assert "right" not in json.loads(replace(ROW, right=False, status="failed").to_line())


def test_a_file_that_nothing_was_written_to_goes_again_if_it_was_made_here(tmp_path):
    path, older = tmp_path / "rows.jsonl", tmp_path / "older.jsonl"
    older.touch()
    for file in (path, older):
        with pytest.raises(KeyboardInterrupt), RowFile(file):
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [older]


@pytest.mark.parametrize("other", [None, "a letter"])
def test_a_file_that_goes_while_it_is_written_to_is_told(tmp_path, other):
    path, new = tmp_path / "rows.jsonl", tmp_path / "new.jsonl"
    with RowFile(path) as file:
        path.unlink()
        if other is not None:
            new.write_text(other)
            os.replace(new, path)
        with pytest.raises(SeatsError, match="was removed, moved or replaced"):
            file.append(ROW)
    assert [one.read_text() for one in tmp_path.iterdir()] == ([] if other is None else [other])


def test_what_took_the_place_of_a_file_that_was_made_here_is_not_taken_away(tmp_path):
    path, new = tmp_path / "rows.jsonl", tmp_path / "new.jsonl"
    with RowFile(path):
        new.write_text("a letter")
        os.replace(new, path)
    assert path.read_text() == "a letter"


def test_without_locks_an_empty_file_stays_as_another_may_be_writing_to_it(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with RowFile(tmp_path / "r.jsonl"):
        pass
    assert (tmp_path / "r.jsonl").exists()


def test_the_last_row_of_a_key_counts(tmp_path):
    with RowFile(tmp_path / "rows.jsonl") as file:
        file.append(replace(ROW, status="failed"))
        file.append(ROW)
    assert rows_of(tmp_path / "rows.jsonl")[0] == {ROW.key: ROW}


@pytest.mark.parametrize("cut", [1, 10, 30, 60, 100])
def test_a_half_written_last_row_is_taken_out(tmp_path, cut):
    path = tmp_path / "rows.jsonl"
    whole, half = ROW.to_line(), replace(ROW, question="q2").to_line()
    path.write_bytes(whole + half[:cut])
    with RowFile(path) as file:
        assert (file.rows, file.repaired) == ({ROW.key: ROW}, True)
        file.append(replace(ROW, question="q3"))
    assert path.read_bytes() == whole + replace(ROW, question="q3").to_line()


def test_a_last_row_that_lacks_only_its_end_stays(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(ROW.to_line().rstrip())
    assert rows_of(path) == ({ROW.key: ROW}, False)
    assert path.read_bytes() == ROW.to_line()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'{"clip": "a.mp4", "question": "What?", "answer": "red"}\n', 1),
        (b'{"clip": "a.mp4", "question"', 1),
        (b"\x00\x01\x02", 1),
        (b"[" * 100_000 + b"\n", 1),
        (ROW.to_line() + b"{}\n" + ROW.to_line(), 2),
        (ROW.to_line() + b"{}", 2),
        (ROW.to_line().replace(b'"id"', b'"idea"'), 1),
        (ROW.to_line().replace(b'"question": "q1"', b'"question": ["q1"]'), 1),
        (ROW.to_line()[:-2] + b', "llm_flops": "many"}\n', 1),
        (ROW.to_line()[:-2] + b', "prefill_ms": [1]}\n', 1),
        (ROW.to_line()[:-2] + b', "llm_flops_full": 1' + b"0" * 400 + b"}\n", 1),
        (ROW.to_line()[:-2] + b', "reason": [1]}\n', 1),
        (ROW.to_line().replace(b'"answered"', b'"done"'), 1),
    ],
)
def test_a_file_of_anything_else_is_left_as_it_is(tmp_path, content, line):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"line {line}: .*; choose another --out"):
        RowFile(path)
    assert path.read_bytes() == content


def test_what_is_no_file_holds_no_rows(tmp_path):
    """A pipe or terminal cannot be continued, and some devices never end."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(SettingsError, match="not a regular file; choose another --out"):
            RowFile(path)


def test_a_full_disk_is_said_and_costs_the_last_row_only(tmp_path):
    path = tmp_path / "rows.jsonl"
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    with RowFile(path) as file:
        file.append(ROW)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 9, most))
        try:
            for said in ("cannot be written in full; free some space", r"cannot be written \(File too large\); free"):
                with pytest.raises(SeatsError, match=said):
                    file.append(replace(ROW, question="q2"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    assert rows_of(path) == ({ROW.key: ROW}, True)


def test_one_process_writes_at_a_time(tmp_path):
    path = tmp_path / "rows.jsonl"
    with RowFile(path), pytest.raises(SettingsError, match="another process"):
        RowFile(path)
    rows_of(path)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(SettingsError, match="no-folder"):
        RowFile(tmp_path / "no-folder" / "rows.jsonl")
