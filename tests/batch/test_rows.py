"""Rows: what is in them, and that any path comes back from them."""

from __future__ import annotations

import json
import os

import pytest

from seats.batch.jobs import Asked
from seats.batch.rows import Context, error_row, from_line, row_path, to_line, with_asked, with_path
from seats.errors import MediaError
from tests.batch.made import make_row

ODD = [os.fsdecode(b"a\xff\xfe.mp4"), "line\nfeed\u2028.mp4", "Fjällräven 🎬.mp4", "a" * 250, "back\\slash\\xff.mp4"]


@pytest.mark.parametrize("path", ODD)
def test_any_path_comes_back(path: str) -> None:
    for row in (make_row(path), make_row(path, ok=False)):
        line = to_line(row)
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        json.loads(line.decode("utf-8"))["id"].encode("utf-8")
        read = from_line(line)
        assert read == row
        assert row_path(read) == path


def test_moving_a_row_to_a_path_and_back() -> None:
    row = make_row("a.mp4")
    assert row_path(with_path(row, ODD[0])) == ODD[0]
    assert with_path(with_path(row, ODD[0]), "a.mp4") == row


def test_a_failure_is_told_of_the_new_name() -> None:
    for old, new in (("in/a.mp4", "b.mp4"), ("a\n .mp4", ODD[0]), (ODD[0], "b.mp4")):
        moved = with_path(make_row(old, ok=False), new)
        assert (
            moved["error"]["message"]
            == error_row(Context(new, Asked("1", "q"), None, "s"), MediaError(f"{new}: is bad"))["error"]["message"]
        )
    row = make_row("bad", ok=False)
    row["error"]["message"] = "is bad"
    assert with_path(row, "b")["error"]["message"] == "is bad"


def test_error_row_has_one_line_of_utf8() -> None:
    row = error_row(Context(ODD[0], Asked("1", "q"), None, "s"), MediaError(f"{ODD[0]}: is\nbad"))
    assert row["error"] == {"type": "MediaError", "message": "a\\xff\\xfe.mp4: is bad"}
    for error, said in ((KeyError(3), "unexpected KeyError: 3"), (KeyError(), "unexpected KeyError")):
        assert error_row(Context("a", Asked("1", "q"), None, "s"), error)["error"]["message"] == said


def test_expected_answers_are_judged_as_in_an_evaluation() -> None:
    row = make_row("a.mp4", expected="a ring") | {"answer": "Yes, it does."}
    assert with_asked(row, Asked("1", "is it ?", "yes"))["right"] is True
    assert with_asked(row, Asked("1", "is it ?", "no"))["right"] is False


def test_expected_answers_are_compared() -> None:
    row = make_row("a.mp4", expected="a ring")
    assert row["right"] is True
    assert with_asked(row, Asked("2", "what ?", "a disc")) == {**row, "id": "2", "expected": "a disc", "right": False}
    failed = make_row("a.mp4", expected="a ring", ok=False)
    assert failed["expected"] == "a ring"
    assert "right" not in failed
    assert "expected" not in make_row("a.mp4", ok=False)
    assert "right" not in with_asked(row, Asked("1", "what ?"))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b'{"id": "1"}',
        b'{"id": "1", "clip": 3, "question": "q", "status": "ok"}',
        b'{"id": "1", "clip": {"path": 3}, "question": "q", "status": "ok"}',
        b'{"id": "1", "clip": "a", "clip_bytes": 3, "question": "q", "status": "ok"}',
        b'{"id": "1", "clip": "a", "content": "x", "question": "q", "status": "ok"}',
        b'{"id": "1", "clip": "a", "content": {"hash": []}, "question": "q", "status": "ok"}',
        b'{"id": "1", "clip": "a", "content": {}, "question": "q", "status": "ok"}',
        b'{"id": "1", "clip": "a", "content": {"hash": "x", "bytes": "1"}, "question": "q", "status": "ok"}',
        b'{"id": "1", "clip": "a", "content": {"hash": "x", "bytes": 1, "stat": 3}, "question": "q", "status": "ok"}',
        b'{"id": "1", "clip": "a", "question": "q", "status": "ok", "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_row(line: bytes) -> None:
    assert from_line(line) is None


def test_cut_rows_are_no_rows() -> None:
    line = to_line(make_row("a.mp4")).rstrip(b"\n")
    assert all(from_line(line[:end]) is None for end in range(len(line)))


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        to_line({**make_row("a.mp4"), "seed": float("nan")})
