"""The settings file, the environment and flags: the later wins."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from seats_cli.app import build_app
from seats_cli.config import read_settings
from tests.cli.conftest import Ran

Run = Callable[..., Ran]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "settings.toml"
    monkeypatch.setenv("SEATS_CONFIG", str(path))
    return path


def asked_keep(run: Run, clips: Path, *flags: str) -> float:
    ran = run("ask", clips / "mute.mp4", "what ?", "--json", *flags)
    assert ran.code == 0, ran.err
    return round(100 * json.loads(ran.out)["method"]["video"], 4)


def test_file_then_environment_then_flag(
    run: Run, clips: Path, tiny: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.write_text(f'model = "{tiny}"\nkeep = 35\nmax-new-tokens = 2\nquiet = true\n')
    assert asked_keep(run, clips) == 30
    monkeypatch.setenv("SEATS_KEEP", "25%")
    assert asked_keep(run, clips) == 20
    assert asked_keep(run, clips, "--keep", "15") == 10


def test_the_environment_switches_off_what_the_file_switches_on(
    run: Run, clips: Path, tiny: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.write_text(f'model = "{tiny}"\nno-audio = true\nmax-new-tokens = 2\n')
    assert "no sound used (--no-audio)" in run("ask", clips / "both.mp4", "what ?").err
    monkeypatch.setenv("SEATS_NO_AUDIO", "0")
    assert "of sound" in run("ask", clips / "both.mp4", "what ?").err


@pytest.mark.parametrize(("variable", "folder"), [("XDG_CONFIG_HOME", "seats"), ("HOME", ".config/seats")])
def test_file_in_the_usual_place(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, folder: str
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "config.toml").write_text("keep = 200")
    ran = run("ask", "clip.mp4", "what ?")
    assert ran.code == 2
    assert "out of range" in ran.line
    assert "settings file" in ran.line


def test_an_option_that_may_be_given_several_times_is_one_value_in_the_file(settings: Path) -> None:
    settings.write_text('method = "random"\nkeep = 25\n')
    found = read_settings(typer.main.get_command(build_app()))
    assert (found["ask"]["method"], found["ask"]["keep"]) == ("random", "25")
    assert (found["eval"]["method"], found["eval"]["keep"]) == (["random"], ["25"])


def test_a_byte_order_mark_is_passed_over(settings: Path) -> None:
    settings.write_text("keep = 35\n", encoding="utf-8-sig")
    assert read_settings(typer.main.get_command(build_app()))["ask"] == {"keep": "35"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("keep = ", "not valid TOML"),
        ("kep = 10", "did you mean keep?"),
        ("keep = [10]", "must be a text, a number"),
        ("[ask]\nkeep = 10", "[ask] is a table, and tables are not read; put its settings at the top of the file"),
        ("[[keep]]\nvideo = 10", "[keep] is a table"),
        ("ask.keep = 10", "[ask] is a table"),
        ('max_frames = "many"', "--max-frames"),
        ("temperature = true", "temperature is no switch: write a text or a number instead of true"),
        ("model = false", "model is no switch"),
        ('question = "what ?"', "unknown setting"),
        ("keep = 10".encode("utf-16"), "is not UTF-8 text: save it as UTF-8"),
    ],
)
def test_bad_files(run: Run, settings: Path, content: str | bytes, says: str) -> None:
    settings.write_bytes(content.encode() if isinstance(content, str) else content)
    ran = run("ask", "clip.mp4", "what ?")
    assert ran.code == 2
    assert says in ran.line


def test_file_that_is_not_there(run: Run, settings: Path) -> None:
    ran = run("ask", "clip.mp4", "what ?")
    assert ran.code == 2
    assert str(settings) in ran.line


def test_the_usual_file_can_be_turned_off(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "seats").mkdir()
    (tmp_path / "seats" / "config.toml").write_text("keep = 0.1\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("SEATS_CONFIG", raising=False)
    assert "0.1% or 10%" in run("ask", "clip.mp4", "what ?").line
    monkeypatch.setenv("SEATS_CONFIG", os.devnull)
    assert run("ask", "clip.mp4", "what ?").line.startswith("error: clip.mp4: no such file")


def test_bad_environment_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEATS_KEEP", "0.1")
    ran = run("ask", "clip.mp4", "what ?")
    assert ran.code == 2
    assert "SEATS_KEEP" in ran.line


@pytest.mark.parametrize("option", ["no-audio", "compare"])
def test_a_switch_that_is_neither_on_nor_off(
    run: Run, settings: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    """Typer and pydantic, which it uses from some version on, each say it in words of their own."""
    says = f"Invalid value for '--{option}': a switch: write true or false"
    settings.write_text(f'{option} = "maybe"\n')
    ran = run("ask", "clip.mp4", "what ?")
    assert ran.code == 2
    assert f"{says} (from the settings file)" in ran.line
    settings.write_text("")
    variable = f"SEATS_{option.replace('-', '_').upper()}"
    monkeypatch.setenv(variable, "maybe")
    assert f"{says} (from {variable} in the environment)" in run("ask", "clip.mp4", "what ?").line


@pytest.mark.parametrize("said", ["~nosuchuser/x", "a" * 5000, "/nowhere/at/all", "/"])
def test_a_bad_settings_file_is_one_line_and_not_for_help(run: Run, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("SEATS_CONFIG", said)
    ran = run("ask", "clip.mp4", "what ?")
    assert ran.code == 2
    assert "SEATS_CONFIG" in ran.line
    assert len(ran.line) < 400
    for arguments in ([], ["--help"], ["ask", "--help"], ["--version"], ["ask", "-h", "--json"]):
        assert run(*arguments).code == 0
