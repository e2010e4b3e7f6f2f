"""What is said beside the result, and in which letters."""

import io
import json
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from seats_cli.options import OutputOptions
from seats_cli.output import Output
from tests.cli.conftest import Ran

Run = Callable[..., Ran]
NOTE = "--method full keeps all tokens: "


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--keep", "25%"), "--keep"),
        (("--keep", "10%"), "--keep"),  # the default, but said
        (("--keep-video", "20%", "--kv", "drop", "--compare"), "--keep-video and --kv and --compare"),
    ],
)
def test_options_that_full_tokens_leave_without_effect(
    run: Run, clips: Path, tiny: Path, flags: tuple[str, ...], named: str
) -> None:
    ran = run("plan", clips / "both.mp4", "--model", tiny, "--method", "full", *flags)
    assert ran.code == 0
    assert ran.line == f"{NOTE}{named} will change nothing"


@pytest.mark.parametrize("flags", [(), ("--keep", "25%", "--quiet")])
def test_nothing_to_say_of_full_tokens(
    run: Run, clips: Path, tiny: Path, flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEATS_KEEP_AUDIO", "40%")  # for other runs
    assert not run("plan", clips / "both.mp4", "--model", tiny, "--method", "full", *flags).err


@pytest.mark.parametrize(
    ("command", "end"),
    [
        (("ask", "both.mp4", "what ?"), ("--start", "1:00")),
        (("view", "both.mp4", "what ?"), ("--start", "1:00")),
        (("profile", "both.mp4"), ("--start", "1:00")),
        (("batch", "both.mp4", "what ?"), ("--out", "no/where.jsonl")),
        (("eval", "nowhere.jsonl"), ()),
        (("bench",), ("--model", "nothing")),
    ],
)
def test_every_command_with_a_method_says_it(
    run: Run, clips: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], end: tuple[str, ...]
) -> None:
    monkeypatch.chdir(clips)
    full = (*command, "--keep", "25%", "--method", "full", *end)
    assert NOTE in run(*full).err
    if command[0] in ("view", "profile", "eval", "bench"):  # a retention for the others
        assert NOTE not in run(*full, "--method", "random").err


def test_the_answer_begins_with_its_first_word_and_ends_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(OutputOptions())
    for piece in ("\n ", " a", " ring\n", " "):
        out.stream(piece)
    out.end_stream()
    assert capsys.readouterr().out == "a ring\n \n"


@pytest.mark.parametrize("terminal", [True, False])
def test_pieces_stay_whole_on_a_terminal_and_on_one_line_elsewhere(terminal: bool) -> None:
    out, file = Output(OutputOptions()), io.StringIO()
    out.__dict__["console"] = Console(file=file, force_terminal=terminal, width=24, color_system=None)
    out.say_pieces(["216 video tokens", "5.4 % kept", "total 97 ms"])
    expected = ["216 video tokens", "5.4 % kept \u00b7 total 97 ms"]
    said = [line.rstrip() for line in file.getvalue().splitlines()]
    assert said == (expected if terminal else [" \u00b7 ".join(expected)])


def test_forced_colours_make_nothing_move_in_a_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    out = Output(OutputOptions())
    with out.working("starting"):
        out.say("a ring")
    assert capsys.readouterr().err == "\x1b[2ma ring\x1b[0m\n"


@pytest.mark.parametrize("quiet", [False, True])
def test_a_sign_of_life_lasts_until_the_answer_begins(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    out, file = Output(OutputOptions(quiet=quiet)), io.StringIO()
    out.__dict__["console"] = Console(file=file, force_terminal=True, width=40, color_system=None)
    with out.working("starting"):
        out.now("loading")
        out.stream("a ring")
        said = file.getvalue()
        assert not said if quiet else "loading" in said
        assert ("\x1b[?25h" in said) != quiet  # the cursor is back
    assert file.getvalue() == said
    assert capsys.readouterr().out == "a ring"


@pytest.mark.parametrize("terminal", [True, False])
def test_an_answer_cannot_steer_the_terminal(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    Output(OutputOptions()).stream("a\x1b[31m ring")
    assert capsys.readouterr().out == ("a\ufffd[31m ring" if terminal else "a\x1b[31m ring")


def test_a_document_alone_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(OutputOptions(json=True))
    out.stream("a ring")
    out.end_stream()
    assert capsys.readouterr().out == ""


def _on_a_terminal(
    *arguments: object,
    encoding: str = "utf-8",
    term: str = "dumb",
    columns: int = 0,
    code: str | None = None,
    stdout: int | None = None,
) -> bytes:
    """What a command, or Python's `code`, prints on a terminal, where bytes stand for letters as `encoding` has it.
    columns: of the terminal, which knows of none for 0. stdout: where else that goes."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (25, columns))
    process = subprocess.Popen(
        [sys.executable, *(["-c", code] if code else ["-m", "seats_cli"]), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        env={**os.environ, "PYTHONIOENCODING": encoding, "TERM": term},
    )
    os.close(theirs)
    said = b""
    try:
        while more := os.read(ours, 65536):
            said += more
    except OSError:  # the process has left
        pass
    os.close(ours)
    assert process.wait(60) == 0, said
    return said


@pytest.mark.parametrize("columns", [60, 90, 130])
@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_the_terminals_width_is_taken(monkeypatch: pytest.MonkeyPatch, term: str, columns: int) -> None:
    monkeypatch.delenv("COLUMNS")
    page = re.sub(r"\x1b\[[0-9;]*m|\r", "", _on_a_terminal("report", "--help", term=term, columns=columns).decode())
    assert columns - 5 < max(map(len, page.splitlines())) <= columns  # words fill a line, tables have borders
    code = "from seats_cli.consoles import ErrorConsole as C; C().print(C().width)"
    said = _on_a_terminal(code=code, term=term, columns=columns, stdout=subprocess.DEVNULL)
    assert said.decode().strip() == str(columns)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_on_a_terminal_of_any_encoding_is_utf8(clips: Path, tiny: Path, tmp_path: Path, encoding: str) -> None:
    clip = tmp_path / "caf\u00e9 \u2192.mp4"
    clip.symlink_to(clips / "both.mp4")
    said = _on_a_terminal("plan", clip, "--model", tiny, "--json", encoding=encoding)
    assert json.loads(said.decode("utf-8"))["clip"]["path"] == str(clip)
    assert b"\n  " in said
    assert said.isascii() == (encoding != "utf-8")


def test_a_terminal_without_our_signs_gets_plain_ones(clips: Path, tiny: Path) -> None:
    said = _on_a_terminal("plan", clips / "both.mp4", "--model", tiny, encoding="ascii").decode("ascii")
    assert "4.0 s of 4.0 s - " in said
    assert "x fewer FLOPs in all" in said
    assert "?" not in said


def test_rows_of_a_chat_are_json_in_any_encoding(shell: Run, clips: Path, tiny: Path) -> None:
    ran = shell(
        "chat", clips / "both.mp4", "--model", tiny, "--max-new-tokens", "2", "--json", "--quiet",
        input="caf\u00e9 \u2192 ?\n", encoding="latin-1", errors="namereplace",
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip
    assert ran.out.isascii()
    assert json.loads(ran.out)["question"] == "caf\u00e9 \\N{RIGHTWARDS ARROW} ?"
