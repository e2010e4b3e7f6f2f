"""What is said beside the result."""

from collections.abc import Callable
from pathlib import Path

import pytest

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


def test_a_document_alone_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(OutputOptions(json=True))
    out.stream("a ring")
    out.end_stream()
    assert capsys.readouterr().out == ""
