"""What users type, and what it means."""

import re
from typing import get_type_hints

import pytest
import typer

from seats.media import FrameSampling
from seats_cli.app import run
from seats_cli.options import (
    AnswerOptions,
    ClipOptions,
    ModelOptions,
    OutputOptions,
    SelectionOptions,
    choice,
    option,
    parse_method,
    parse_percent,
    parse_pixels,
    parse_positive,
    parse_temperature,
    parse_time,
    whole,
)


@pytest.mark.parametrize(
    ("text", "percent"),
    [("10", 10), ("10%", 10), ("12.5 %", 12.5), (" 35% ", 35), ("0.5%", 0.5), ("1", 1), ("100", 100), (25, 25)],
)
def test_percent(text: object, percent: float) -> None:
    assert parse_percent(text) == percent


@pytest.mark.parametrize("text", ["0", "0%", "101", "-5", "ten", "", "%", "nan", "inf", "1e1", "10%%", "10,5"])
def test_no_percent(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_percent(text)


def test_a_number_below_one_is_ambiguous() -> None:
    with pytest.raises(typer.BadParameter, match=r"0\.1% or 10%"):
        parse_percent("0.1")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90.5", 90.5), ("0", 0), ("1:30", 90), ("01:30.25", 90.25), ("90:00", 5400), ("1:02:03.5", 3723.5)],
)
def test_time(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["-1", "1:60", "1:75:00", "1.5:30", "a", "", ":", "1:", "1:2:3:4", "nan", "10s"])
def test_no_time(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "pixels"),
    [("200704", 200704), ("448x448", 200704), ("640 X 360", 230400), ("168×168", 28224)],  # noqa: RUF001
)
def test_pixels(text: str, pixels: int) -> None:
    assert parse_pixels(text) == pixels


@pytest.mark.parametrize("text", ["0", "448x", "x448", "-4", "1.5", "448x0", "big"])
def test_no_pixels(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_pixels(text)


def test_method() -> None:
    assert parse_method("seats+") == "seats+"
    with pytest.raises(typer.BadParameter, match=r"unknown method 'sheats': choose one of divprune.*seats\+"):
        parse_method("sheats")


@pytest.mark.parametrize("command", [["ask", "no.mp4", "x"], ["eval", "no.jsonl"], ["bench"], ["view", "no.mp4", "x"]])
def test_a_wrong_method_is_told_before_anything_is_loaded(command, monkeypatch, capsys) -> None:
    monkeypatch.setenv("SEATS_METHOD", "sheats")
    assert run(command) == 2
    assert "unknown method 'sheats'" in (said := capsys.readouterr().err)
    assert "(from SEATS_METHOD in the environment); see seats" in said


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "fast", "9" * 400])
def test_not_positive(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_positive(text)


def test_help_names_the_defaults_that_there_are() -> None:
    said, real = {}, {}
    for group in (ModelOptions, SelectionOptions, ClipOptions, AnswerOptions, OutputOptions):
        for name, hint in get_type_hints(group, include_extras=True).items():
            if named := re.search(r"\(default (\d+)\)|([\w%]+) \(default\)", hint.__metadata__[0].help):
                default = getattr(group(), name)
                default = getattr(FrameSampling(), name) if default is None else default
                said[name] = (named[1] or named[2]).removesuffix("%")
                real[name] = default if isinstance(default, str) else f"{default:g}"
    assert said == real
    assert len(said) == 10


@pytest.mark.parametrize("value", [3, "3", " 04 "])
def test_whole(value: object) -> None:
    assert whole(3)(value) == int(value)  # type: ignore[call-overload]


@pytest.mark.parametrize("text", ["2", "-3", "3.5", "1e3", "many", "", True])
def test_not_whole(text: object) -> None:
    with pytest.raises(typer.BadParameter, match="is not a whole number from 3 on"):
        whole(3)(text)


@pytest.mark.parametrize(("text", "most"), [("65", 64), ("9" * 19, 10**18), ("9" * 5000, 64)])
def test_too_large(text: str, most: int) -> None:
    with pytest.raises(typer.BadParameter, match=f" is too large: {most} at most"):
        whole(3, most)(text)
    with pytest.raises(typer.BadParameter, match=f" is too large: {10**18 - 1} at most"):
        whole(3)(str(10**18))
    assert whole(3, most)("0" * 30 + "64") == 64


def test_an_option_of_whole_numbers_has_both_ends() -> None:
    made = option("--decoders", panel="", text="", min=1, max=64)
    assert made.parser("64") == 64
    for wrong in ("0", "65"):
        with pytest.raises(typer.BadParameter):
            made.parser(wrong)


@pytest.mark.parametrize(("value", "temperature"), [(0.0, 0.0), ("0", 0.0), (1e-3, 1e-3), ("1.5", 1.5)])
def test_temperature(value: object, temperature: float) -> None:
    assert parse_temperature(value) == temperature


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "warm", "0.0005"])
def test_no_temperature(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"is neither 0 nor a number from 0\.001 on"):
        parse_temperature(text)


def test_a_choice_lists_what_there_is() -> None:
    with pytest.raises(typer.BadParameter, match="'d' is unknown: choose a, b or c"):
        choice("a", "b", "c")("d")
