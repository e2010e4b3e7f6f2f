from __future__ import annotations

import os

import pytest

from seats.errors import MediaError
from seats.text import error_line, markdown_escaped, printable, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\n\twords ", "two words"),
        ("a\x1b[31mb\x00c", "a\ufffd[31mb\ufffdc"),
        ("left\u202etfel", "left\ufffdtfel"),
        ("a\udcffb", "a\ufffdb"),
        ("\U0001f469\u200d\U0001f52c नि", "\U0001f469\u200d\U0001f52c नि"),
    ],
)
def test_a_quoted_text_steers_no_terminal(text: str, shown: str) -> None:
    assert quoted(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"), [("12345", "12345"), ("123456", "12345…"), (" " * 20 + "1", "…"), ("1" + 9 * " " + "2", "1 2")]
)
def test_a_quoted_text_is_cut_where_it_is_too_long(text: str, shown: str) -> None:
    assert quoted(text, 5) == shown


def test_bytes_that_are_not_utf_8_are_written_as_such() -> None:
    assert printable(os.fsdecode(b"caf\xc3\xa9-\xff.mp4")) == "café-\\xff.mp4"
    assert printable("half \ud83d") == "half \\ud83d"  # stands for no byte


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MediaError("a.mp4: is\ncut"), "a.mp4: is cut"),
        (MediaError("\udcff.mp4: is cut"), "\\xff.mp4: is cut"),
        (KeyError("x"), "unexpected KeyError: 'x'"),
        (ValueError(), "unexpected ValueError"),
    ],
)
def test_an_error_is_one_line(error: Exception, line: str) -> None:
    assert error_line(error) == line


@pytest.mark.parametrize("text", ["~~gone~~", "&lt;b&gt;", "$x$", "a|b", "*b*", "<b>", "[a](b)"])
def test_a_name_is_no_markdown(text: str) -> None:
    assert all(f"\\{mark}" in markdown_escaped(text) for mark in set(text) & set("~&$|*<["))
