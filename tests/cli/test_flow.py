"""Tables that break lines only between words."""

from __future__ import annotations

import io
from functools import partial

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from seats_cli.flow import Fitted

PATH = "/a/folder/of/many/clips/with/a/name/that/is/long/clip.mp4"


def made(columns: int, name: str = "reading the clip") -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("step", overflow="fold")
    for number in range(columns):
        table.add_column(f"{number + 1}th of all", justify="right", no_wrap=True)
    table.add_row(name, *["1,234 ms"] * columns)
    return table


def lines(width: int, *tables: Table) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(Fitted(*(partial(lambda table: table, table) for table in tables)))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_all_on_one_line_where_there_is_room() -> None:
    assert lines(80, made(2), made(1)) == [
        "step              1th of all  2th of all",
        "reading the clip    1,234 ms    1,234 ms",
    ]


def test_words_move_to_the_next_line_whole() -> None:
    assert lines(31, made(2), made(1)) == [
        "               1th of    2th of",
        "step              all       all",
        "reading the  1,234 ms  1,234 ms",
        "clip",
    ]


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_a_table_has_its_turn_down_to_its_longest_words(columns: int) -> None:
    least = len("reading") + columns * (2 + len("1,234 ms"))
    narrowest = lines(least, made(columns), made(0))
    assert max(map(len, narrowest)) == least
    assert "\n".join(narrowest).count("1,234 ms") == columns
    assert lines(least - 1, made(columns), made(0)) == lines(least - 1, made(0))


def test_where_a_word_would_be_broken_the_next_table_has_its_turn() -> None:
    assert lines(26, made(2), made(1)) == lines(26, made(1))


def test_the_last_one_fits_somehow() -> None:
    assert "".join("".join(line.split()) for line in lines(5, made(0))) == "stepreadingtheclip"


def test_a_path_is_broken_before_a_column_goes() -> None:
    shown = lines(60, made(2, PATH), made(1, PATH))
    assert "2th of" in shown[0] + shown[1]
    assert "".join(line[:36].strip() for line in shown[2:]).startswith("/a/folder")


@pytest.mark.parametrize("text", [Text("[bold]"), "plain"])
def test_cells_of_any_kind(text: Text | str) -> None:
    table = made(0)
    table.add_row(text)
    assert lines(40, table)[-1] == str(text)
