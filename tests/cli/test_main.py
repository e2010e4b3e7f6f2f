"""The process: start-up time, exit codes, pipes, interrupts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import seats_cli
from seats.errors import MediaError, SettingsError
from seats_cli.app import build_app
from seats_cli.command import guarded
from tests.cli.conftest import Ran

Run = Callable[..., Ran]
HEAVY = ("torch", "transformers", "av", "numpy", "librosa", "huggingface_hub")


@pytest.mark.parametrize("arguments", [["--help"], ["ask", "--help"], ["doctor", "--help"], ["--version"]])
def test_help_is_fast_and_light(shell: Run, arguments: list[str]) -> None:
    took = []
    for _ in range(3):
        before = os.times()
        ran = shell(*arguments)
        after = os.times()
        took.append(after.children_user - before.children_user + after.children_system - before.children_system)
        assert ran.code == 0
        assert ran.out
        assert not ran.err
    # 0.2 s on an idle machine of two cores. The processor's time, not the clock's: other work may wait for it too.
    assert min(took) < 0.8


def test_help_and_a_missing_clip_import_nothing_heavy(shell: Run) -> None:
    code = (
        "import sys; from seats_cli.app import run\n"
        "assert run(['--help']) == 0; assert run(['ask', '--help']) == 0\n"
        "assert run(['ask', 'gone.mp4', 'what ?']) == 1\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    ran = shell(code=code)
    assert ran.code == 0, ran.err
    assert ran.err.splitlines() == ["error: gone.mp4: no such file; check the path", "[]"]


def test_help_lists_commands_and_gives_examples(run: Run) -> None:
    page = run("--help").out
    assert "<bool>" not in page + run("ask", "--help").out + run("ask", "a.mp4", "-h").out
    assert page == run().out
    assert page.index(" ask ") < page.index(" doctor ")
    assert "seats ask holiday.mp4" in run("ask", "-h").out
    assert "seats doctor" in run("doctor", "--help").out
    for option in ("--keep", "--start", "--max-pixels", "--revision", "--json", "--temperature"):
        assert option in run("ask", "--help").out


@pytest.mark.parametrize("columns", [40, 60, 79, 80])
def test_help_is_whole_in_a_narrow_terminal(run: Run, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    group: Any = typer.main.get_command(build_app())
    for command in ([], *([name] for name in group.commands)):
        for words in ([*command, "--help"], *([[]] if not command else [])):
            page = run(*words)
            assert page.code == 0, page.err
            assert "…" not in page.out, command
            assert not re.search(r"\[/?bold\]|\\\[", page.out), command  # markup
            told = "".join(page.out.split())
            for each in group.commands.values() if not command and columns < 80 else ():
                assert "".join(each.help.partition("\n\n")[0].split()) in told, each.name
            assert max(map(len, page.out.splitlines())) <= max(columns, 44)  # click breaks no line of usage
            options = group.commands[command[0]] if command else group
            for option in (name for param in options.params for name in param.opts if name.startswith("--")):
                assert re.search(rf"{option}\b", page.out), (command, option)


def test_windows_is_told_in_one_line_what_to_do(shell: Run) -> None:
    ran = shell(
        "ask", "a.mp4", "what ?", code="import sys; from seats_cli.main import main; sys.platform = 'win32'; main()"
    )
    assert (ran.code, ran.out) == (1, "")
    assert ran.line.startswith("error: seats does not run on Windows: ")
    assert "WSL" in ran.line


def test_version(run: Run) -> None:
    from importlib.metadata import version

    assert run("--version") == Ran(0, f"seats {version('seats')}\n", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["aks"], "No such command 'aks'. Did you mean 'ask'? See seats --help"),
        (["ask"], "CLIP"),
        (["ask", "clip.mp4"], "QUESTION"),
        (["ask", "clip.mp4", " "], "the question is empty"),
        (["ask", "clip.mp4", "what ?", "--nope"], "--nope"),
        (["ask", "clip.mp4", "what ?", "--keep", "0.1"], "10%"),
        (["ask", "clip.mp4", "what ?", "--kv", "maybe"], "keep or drop"),
        (["ask", "clip.mp4", "what ?", "--dtype", "int8"], "bfloat16"),
        (["ask", "clip.mp4", "what ?", "--max-frames", "1"], "--max-frames"),
        (["ask", "clip.mp4", "what ?", "--max-frames", "x"], "--max-frames"),
        (["ask", "clip.mp4", "what ?", "--start", "1:75"], "mm:ss"),
        (["ask", "clip.mp4", "what ?", "--start", "20", "--end", "0:10"], "must be later"),
        (["ask", "clip.mp4", "what ?", "--no-video", "--no-audio"], "nothing to ask about"),
        (["ask", "clip.mp4", "what ?", "--revision", "main"], "needs --model"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(run: Run, clips: Path, arguments: list[str], says: str) -> None:
    arguments = [str(clips / "both.mp4") if argument == "clip.mp4" else argument for argument in arguments]
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.line.startswith("error: ")
    assert says in ran.line
    assert not ran.out


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (MediaError("x.mp4: broken\nin two lines"), 1, "error: x.mp4: broken in two lines"),
        (SettingsError("keep less"), 2, "error: keep less"),
        (ZeroDivisionError("by zero"), 1, "error: unexpected ZeroDivisionError: by zero; run it again with --debug"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_end_in_one_line(capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(typer.Exit) as ending:
        guarded(fail, debug=False)
    assert ending.value.exit_code == code
    assert capsys.readouterr().err.startswith(line)


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        guarded(lambda: 1 / 0, debug=True)  # type: ignore[arg-type, return-value]
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.splitlines()[-1] == "error: unexpected ZeroDivisionError: division by zero"


def test_freed_memory_is_kept(shell: Run) -> None:
    code = (
        "import seats.allocator\n"
        "seats.allocator.keep_freed_memory = lambda: print('kept', flush=True)\n"
        "from seats_cli.main import main\nmain()\n"
    )
    assert shell("--version", code=code).out.splitlines()[0] == "kept"


def test_interrupted(clips: Path) -> None:
    # Python looks for signals before a sleep, not as it begins one: a single long one may miss it.
    code = (
        "import sys, time, seats_cli.startup as startup\n"
        "def wait(*_):\n    print('ready', file=sys.stderr, flush=True)\n"
        "    for _ in range(600):\n        time.sleep(0.1)\n"
        "startup.checkpoint_for = wait\n"
        "from seats_cli.main import main\nmain()\n"
    )
    arguments = [sys.executable, "-c", code, "ask", str(clips / "both.mp4"), "what ?"]
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background jobs with SIGINT ignored, and the tests may be one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")


def test_closed_pipe_ends_quietly(clips: Path, tiny: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "seats_cli", "ask", str(clips / "mute.mp4"), "what ?", "--model", str(tiny), "-q"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(1)
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=120) == 141
    assert err == ""


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("models >&-", 0, ""),
        ("models 2>&-", 0, ""),
        ("--version <&- >&- 2>&-", 0, ""),
        ("batch - what <&-", 1, "standard input: lists no clips"),
        ("--help >/dev/full", 1, "No space left on device"),
        ("ask --help >/dev/full", 1, "No space left on device"),
        ("--version >/dev/full", 1, "No space left on device"),
        ("models >/dev/full", 1, "No space left on device"),
        ("models 2>/dev/full", 0, ""),
        ("chat {clip} -m seats-nano -q --history --json >/dev/full", 1, "No space left on device"),
        ("chat {clip} -m seats-nano -q --history >/dev/full", 1, "No space left on device"),
        ("ask gone.mp4 what 2>/dev/full", 1, ""),
    ],
)
def test_standard_streams_that_are_closed_or_full(clips: Path, command: str, code: int, says: str) -> None:
    command = command.format(clip=clips / "both.mp4")
    ran = subprocess.run(
        f"exec {sys.executable} -m seats_cli {command}",
        shell=True,
        input="what ?\nwho ?\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    assert len(ran.stderr.splitlines()) == bool(says), ran.stderr
    assert says in ran.stderr


@pytest.mark.parametrize("command", ["models", "models --json", "--help", "ask --help", "--version"])
def test_a_reader_that_is_gone_is_141(command: str) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    ran = subprocess.run(
        [sys.executable, "-m", "seats_cli", *command.split()], stdout=theirs, stderr=subprocess.PIPE, check=False
    )
    os.close(theirs)
    assert (ran.returncode, ran.stderr) == (141, b"")


@pytest.mark.parametrize("command", ["ask {clip} what", "batch . what", "chat {clip}", "models", "eval x.jsonl"])
def test_a_current_folder_that_was_removed(tmp_path: Path, clips: Path, command: str) -> None:
    (tmp_path / "gone").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(seats_cli.__file__).parents[1])}
    seats = f"{sys.executable} -m seats_cli {command.format(clip=clips / 'both.mp4')}"
    ran = subprocess.run(
        f"rmdir ../gone && exec {seats}",
        shell=True,
        cwd=tmp_path / "gone",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1, ran.stderr
    assert "the current folder is not there any more" in ran.stderr


def test_interrupted_while_it_starts() -> None:
    """At the first import that is not Python's own."""
    code = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from seats_cli.main import main\nmain()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize("words", [("ask",), ("view",), ("plan",), ("profile",), ("batch",)])
def test_questions_that_are_none(run: Run, clips: Path, words: tuple[str, ...]) -> None:
    for question, says in ((" \n", "the question is empty"), ("caf\udce9 ?", "is not UTF-8")):
        ran = run(*words, clips / "both.mp4", question)
        assert ran.code == 2
        assert says in ran.line


@pytest.mark.parametrize("words", [("ask", "what ?"), ("view", "what ?"), ("plan",), ("chat",), ("batch", "what ?")])
def test_a_system_prompt_that_is_not_utf8(run: Run, clips: Path, words: tuple[str, ...]) -> None:
    command, *question = words
    ran = run(command, clips / "both.mp4", *question, "--system", "caf\udce9")
    assert ran.code == 2
    assert "is not UTF-8" in ran.line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["view", "clip.mp4", "what ?", "--out", "a" * 600], "name too long"),
        (["view", "clip.mp4", "what ?", "--png", "a" * 600 + ".png"], "name too long"),
        (["models", "a" * 600], "name too long"),
        (["ask", "clip.mp4", "what ?", "--model", "a" * 600], "name too long"),
        (["ask", "a" * 600, "what ?"], "name too long"),
        (["view", "loop.mp4", "what ?"], "leads back to itself"),
        (["ask", "", "what ?"], "clip's name is empty"),
        (["ask", "clip.mp4", "what ?", "--start", "9" * 400], "is not a time"),
        (["ask", "clip.mp4", "what ?", "--max-pixels", "9" * 5000], "is not a size"),
        (["ask", "clip.mp4", "what ?", "--keep", "9" * 400], "is not a percentage"),
        (["batch", "", "what ?"], "the folder's name is empty"),
    ],
)
def test_arguments_beyond_measure(run: Run, clips: Path, tmp_path: Path, arguments: list[str], says: str) -> None:
    loop = tmp_path / "loop.mp4"
    loop.symlink_to(loop)
    names = {"clip.mp4": str(clips / "both.mp4"), "loop.mp4": str(loop)}
    ran = run(*(names.get(argument, argument) for argument in arguments))
    assert ran.code in (1, 2)
    assert says in ran.line
    assert "unexpected" not in ran.line
    assert len(ran.line) < 400
    assert bool(ran.out) == (arguments[0] == "models")  # which lists the others


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["ask", "-x.mp4", "what ?"], True),
        (["plan", "-m.mp4"], True),  # taken as -m .mp4
        (["ask", "-y.mp4", "what ?"], False),
        (["ask", "--nonsense", "clip.mp4", "what ?"], False),
    ],
)
def test_a_file_whose_name_begins_with_a_dash(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], hint: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-x.mp4", "-m.mp4", "clip.mp4"):
        Path(name).touch()
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.line.endswith(f"; for the file {arguments[1]} write ./{arguments[1]}") == hint
    assert "is empty" in run(arguments[0], f"./{arguments[1]}", *arguments[2:]).err or not hint


@pytest.mark.parametrize("columns", ["0", "-3", "wide", ""])
def test_a_width_that_is_none_is_passed_over(run: Run, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert "no such file" in run("ask", "nowhere.mp4", "what ?").err


@pytest.mark.parametrize(
    ("clip", "says"),
    [
        ("https://example.org/a.mp4", "https://example.org/a.mp4: https addresses are not read; download the clip"),
        ("file:///a.mp4", "file addresses are not read; take file:// away"),
        ("-", "standard input is not read"),
        ("/", "/: is a folder; give a single video or sound file, or ask about all in it with seats batch"),
    ],
)
def test_what_is_no_file_on_disk(run: Run, clip: str, says: str) -> None:
    ran = run("ask", clip, "what ?")
    assert ran.code == 1
    assert says in " ".join(ran.err.split())


def test_completion_script(shell: Run) -> None:
    ran = shell(env={**os.environ, "_SEATS_COMPLETE": "complete_bash", "COMP_WORDS": "seats do", "COMP_CWORD": "1"})
    assert ran.out.strip() == "doctor"


def test_completion_keeps_to_a_line_for_a_command_where_help_is_a_list(shell: Run) -> None:
    """fish takes each line for a candidate."""
    asked = {"_SEATS_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    environment = {**os.environ, **asked, "_TYPER_COMPLETE_ARGS": "seats ", "COLUMNS": "60"}
    assert [line.partition("\t")[0] for line in shell(env=environment).out.splitlines()] == [
        *typer.main.get_command(build_app()).commands  # type: ignore[attr-defined]
    ]


@pytest.mark.parametrize("command", ["ask", "plan", "profile", "view"])
def test_a_question_in_the_place_of_the_clip(run: Run, clips: Path, command: str) -> None:
    question = "What is it? " * 100
    ran = run(command, question, clips / "mute.mp4", "--model", "seats-nano")
    assert ran.code == 1
    assert ran.line.startswith("error: 'What is it? What")
    assert ran.line.endswith(f"{clips / 'mute.mp4'} is: the clip comes first, then the question")
    assert "no such file" in run(command, "gone.mp4", "what ?", "--model", "seats-nano").line


def test_a_question_without_quotes(run: Run) -> None:
    assert "(shape is it): put the question in quotes; see" in run("ask", "clip.mp4", "Which", "shape", "is", "it").line
    ran = run("ask", "clip.mp4", "Which?", "--", "--model", "seats-nano")
    assert "(--model seats-nano): what follows -- is no option, so put options before it; see" in ran.line
    assert "quotes" not in run("chat", "clip.mp4", "Which").line
