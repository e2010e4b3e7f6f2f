"""`seats chat`, from a pipe with the built-in model, and on a terminal with keys."""

from __future__ import annotations

import errno
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cli.conftest import Ran

Run = Callable[..., Ran]
SAMPLES = Path(__file__).parents[2] / "samples"
CLIP = SAMPLES / "crossing.mp4"
FIRST, SECOND, THIRD = (
    "Which shape appears as the hum is heard?",
    "Which shape appears first?",
    "Which sound is heard last?",
)
SOME_FAILED = 3


@pytest.fixture
def chat(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Chat with what a pipe says. The model is seats-nano, where `flags` name no other."""
    monkeypatch.chdir(tmp_path)

    def call(said: str, *flags: object, clip: Path = CLIP) -> Ran:
        monkeypatch.setattr(sys, "stdin", io.StringIO(said))
        model = [] if "--model" in flags else ["--model", "seats-nano"]
        return run("chat", clip, *model, *flags)

    return call


@pytest.fixture
def tiny_chat(chat: Run, clips: Path, tiny: Path) -> Run:
    def call(said: str, *flags: object) -> Ran:
        return chat(said, "--model", tiny, "--max-new-tokens", "4", *flags, clip=clips / "both.mp4")

    return call


def test_a_byte_order_mark_before_the_first_line_is_passed_over(tiny_chat: Run) -> None:
    ran = tiny_chat("\ufeff/keep\t25%\nwhat ?\n", "--json")
    assert ran.err.startswith("seats 25%: ")
    assert json.loads(ran.out)["method"]["video"] == 0.2
    assert json.loads(tiny_chat("\ufeffwhat ?\n", "--json").out)["question"] == "what ?"


def test_a_pipe_gets_the_answers_alone_and_they_are_those_of_ask(chat: Run, run: Run) -> None:
    said = f"{FIRST}\n\n/keep 25%\n{SECOND}\n/method full\n{THIRD}\n"
    ran = chat(said, "--json")
    assert ran.code == 0, ran.err
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [(row["id"], row["status"], row["schema"], row["history"]) for row in rows] == [
        (number, "ok", "seats.answer/1", 0) for number in "123"
    ]
    alone = [(FIRST, []), (SECOND, ["--keep", "25%"]), (THIRD, ["--method", "full"])]
    for row, (question, flags) in zip(rows, alone, strict=True):
        asked = json.loads(run("ask", CLIP, question, "--model", "seats-nano", "--json", *flags).out)
        for key in ("question", "answer", "finish_reason", "method", "tokens", "retention", "flops", "clip"):
            assert row[key] == asked[key], key
    first, *later = (row["latency_ms"] for row in rows)
    reading = ("decode_clip", "encode_video", "encode_audio")
    assert all(first[step] > 0 for step in reading)
    assert [[latency[step] for step in reading] for latency in later] == [[0, 0, 0]] * 2

    plain = chat(said)
    assert plain.out.splitlines() == [row["answer"] for row in rows]
    assert "clip not read or encoded again" in plain.err
    assert plain.err.count("knows single questions only") == 1
    assert chat(said, "--quiet").err.splitlines() == [
        "seats 25%: 20 % of video and 55 % of audio tokens",
        "full: every token",
    ]


def test_earlier_questions_are_in_the_prompt_unless_told_otherwise(tiny_chat: Run) -> None:
    said = "what is red ?\nwhat is red ?\n/reset\nwhat is red ?\n"
    assert "note: the answer was cut after 4 tokens: raise --max-new-tokens\n" in tiny_chat("what is red ?\n").err
    for flags, history in (((), [0, 1, 0]), (("--no-history",), [0, 0, 0])):
        rows = [json.loads(line) for line in tiny_chat(said, "--json", *flags).out.splitlines()]
        assert [row["history"] for row in rows] == history
        assert rows[0]["answer"] == rows[2]["answer"]
        assert rows[0]["tokens"] == rows[2]["tokens"]
        assert (rows[1]["tokens"]["text"] > rows[0]["tokens"]["text"]) == bool(history[1])


@pytest.mark.parametrize("flags", [(), ("--max-vram", "8G")])
def test_a_prompt_that_earlier_questions_have_filled_up_is_told_to_forget_them(
    tiny_chat: Run, flags: tuple[str, ...]
) -> None:
    long = " ".join(["what is red ?"] * 180)  # of 720 tokens; the model has 2,048 positions
    ran = tiny_chat(f"{long}\n{long}\n{long}\nwhat ?\n/reset\n{long}\n", "--json", *flags)
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [row["status"] for row in rows] == ["ok", "ok", "error", "ok", "ok"]
    assert "positions: ask a shorter question, lower --max-new-tokens or, in a chat, /reset" in ran.err


def test_pictures_that_another_method_has_encoded_again_are_told(
    tiny_chat: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seats.models.thinker.PATCHES_AT_ONCE", 1)
    ran = tiny_chat("what ?\n/method visionzip-om\nwhat ?\nwhat ?\n", "--keep", "25%")
    told = [line for line in ran.err.splitlines() if "first token" in line]
    said = ["reading ", "pictures encoded again in ", "clip not read or encoded again"]
    assert [part in line for part, line in zip(said, told, strict=True)] == [True] * 3, ran.err


def test_what_goes_wrong_is_one_line_and_the_chat_goes_on(tiny_chat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {
        "/kep 25%": "unknown command /kep: did you mean /keep?",
        "/frobnicate": "unknown command /frobnicate: try /help",
        "/keep lots": "'lots' is not a percentage",
        "/keep 90%": "--method full",
        "/method magic": "unknown method 'magic': choose one of",
        "/reset now": "/reset takes nothing after it",
        "/view": "nothing to show yet",
        "/save": "needs the name of a file",
        "/save a.jsonl": "nothing to save yet",
        "/save ~nobody-here/a.md": "its folder does not exist",
        "/save a\0.md": "cannot have a zero byte in it",
        "/save ~a\0b.md": "cannot have a zero byte in it",
        "<|VIDEO|> ?": "holds <|VIDEO|>, a special token of the model",
    }
    ran = tiny_chat("\n".join([*lines, "what is red ?"]) + "\n")
    assert ran.code == SOME_FAILED
    assert len(ran.out.splitlines()) == 1
    errors = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(lines)
    for error, says in zip(errors, lines.values(), strict=True):
        assert says in error

    ran = tiny_chat("<|VIDEO|> ?\nwhat is red ?\n", "--json")
    failed, fine = map(json.loads, ran.out.splitlines())
    assert (failed["id"], failed["status"], failed["question"]) == ("1", "error", "<|VIDEO|> ?")
    assert failed["error"]["type"] == "SettingsError"
    assert (fine["id"], fine["status"], fine["history"]) == ("2", "ok", 0)

    def broken(*_args: object, **_more: object) -> None:
        raise ValueError("of all\nthings")

    monkeypatch.setattr("seats.inference.conversation.answer_encoded", broken)
    ran = tiny_chat("what ?\n/quit\nwho ?\n")
    assert (ran.code, ran.out) == (SOME_FAILED, "")
    assert "error: unexpected ValueError: of all things; run it again with --debug" in ran.err


def test_what_is_saved_and_shown(tiny_chat: Run, run: Run, tmp_path: Path, clips: Path) -> None:
    (tmp_path / "mine.md").write_text("mine")
    said = (
        "what is red ?\n/keep 25%\nwho says blue ?\n/save a.jsonl\n/save 'a b.md'\n/view\n"
        "who ?\n/save a.jsonl\n/view last.html\n"
    )
    ran = tiny_chat(said, "--quiet")
    assert ran.code == 0, ran.err
    rows = [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()]
    assert [row["question"] for row in rows] == ["what is red ?", "who says blue ?", "who ?"]
    assert [row["answer"] for row in rows] == ran.out.splitlines()
    assert "saved 3 answers to a.jsonl" in ran.err
    text = Path("a b.md").read_text()
    assert text.startswith("# both.mp4\n")
    assert text.index("> what is red ?") < text.index(rows[0]["answer"]) < text.index("> who says blue ?")
    assert "who says blue ?" in Path("map.html").read_text()
    assert "who ?" in Path("last.html").read_text()
    report = run("report", "a.jsonl")
    assert report.code == 0, report.err

    refused = {
        "mine.md": "is there already",
        "a.txt": "end the name in .jsonl",
        "nowhere/a.md": "its folder does not exist",
        ".": "is a folder",
        str(clips / "both.mp4"): "is the clip",
    }
    ran = tiny_chat("what is red ?\n" + "".join(f"/save {name}\n" for name in refused), "--quiet")
    assert ran.code == SOME_FAILED
    for line, says in zip(ran.err.splitlines(), refused.values(), strict=True):
        assert says in line
    assert (tmp_path / "mine.md").read_text() == "mine"


def test_what_is_said_of_the_choice_and_the_commands(tiny_chat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = tiny_chat("/method\n/keep 25%\n", "--keep-video", "20%", "--keep-audio", "40%", "--quiet")
    assert ran.err.startswith("seats: 20 % of video and 40 % of audio tokens; there are ")
    assert ran.err.splitlines()[-1] == "seats 25%: 20 % of video and 55 % of audio tokens"

    monkeypatch.setenv("COLUMNS", "40")
    lines = [line.rstrip() for line in tiny_chat("/help\n", "--quiet").err.splitlines()]
    assert max(map(len, lines)) <= 40
    assert "/view [FILE]   which tokens the last" in lines
    assert "               answer was made from, as" in lines


def test_a_full_disk_leaves_no_half_file_and_the_chat_goes_on(
    tiny_chat: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = Path.write_bytes
    disk = {"full": True}

    def write(path: Path, content: bytes) -> int:
        if not disk["full"]:
            return whole(path, content)
        disk["full"] = False  # someone makes room
        whole(path, content[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", write)
    ran = tiny_chat("what is red ?\n/save a.jsonl\nwho ?\n/save a.jsonl\n", "--quiet")
    assert ran.code == SOME_FAILED
    assert ran.err.splitlines() == [
        "error: a.jsonl: cannot be written (No space left on device); make room, or give another place",
        "saved 2 answers to a.jsonl",
    ]
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_remark_about_the_clip_is_made_once(chat: Run, clips: Path, tiny: Path) -> None:
    ran = chat("what ?\nwho ?\n", "--model", tiny, "--max-new-tokens", "2", clip=clips / "sound.m4a")
    assert ran.err.count("note: no pictures in the file; only the sound is used\n") == 1


def test_a_quote_that_is_not_closed_is_part_of_the_name(tiny_chat: Run) -> None:
    ran = tiny_chat("what ?\n/save 'tis.md\n", "--quiet")
    assert ran.code == 0, ran.err
    assert [file.name for file in Path().iterdir()] == ["'tis.md"]


def test_only_a_page_of_ours_is_replaced_by_view(tiny_chat: Run) -> None:
    Path("mine.html").write_text("<!doctype html>mine\n")
    ran = tiny_chat("what is red ?\n/view mine.html\n/view\nwhat is blue ?\n/view\n", "--quiet")
    assert ran.code == SOME_FAILED
    assert "mine.html is there already and does not say that seats wrote it" in ran.err
    assert Path("mine.html").read_text() == "<!doctype html>mine\n"
    assert "what is blue ?" in Path("map.html").read_text()


def test_a_name_that_is_not_utf8_in_a_page(chat: Run, clips: Path, tiny: Path, tmp_path: Path) -> None:
    clip = tmp_path / os.fsdecode(b"caf\xe9.m4a")
    clip.write_bytes((clips / "sound.m4a").read_bytes())
    ran = chat("what ?\n/view\n", "--model", tiny, "--max-new-tokens", "2", clip=clip)
    assert ran.code == 0, ran.err
    assert "caf\\xe9.m4a" in Path("map.html").read_text()


def test_help_and_wrong_settings_at_the_start(tiny_chat: Run, run: Run) -> None:
    ran = tiny_chat("/help\n/method\n/exit\n/quit\nwhat ?\n")
    assert ran.out == ""
    for name in ("/keep", "/method", "/view", "/save", "/reset", "/help", "/quit"):
        assert name in ran.err
    assert "there are divprune" in ran.err
    assert tiny_chat("what ?\n", "--method", "magic").code == 2
    assert run("chat", "gone.mp4").code == 1


# --- on a terminal ---


class Terminal:
    """A process on a terminal of its own. What it prints is read without the terminal's control sequences."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self._fd, theirs = pty.openpty()
        # The terminal must be the process's own for Ctrl-C to reach it.
        code = (
            "import fcntl, termios, sys; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
            "sys.argv[0] = 'seats'; from seats_cli.main import main; main()"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, **environment},
            start_new_session=True,
            # A shell starts background jobs with SIGINT ignored, and the tests may be one.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(theirs)
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def interrupt(self, pattern: str) -> str:
        """Press Ctrl-C until a pattern comes. Python does not notice it in the moment between a key and waiting for the
        next one, which is long on a busy machine."""
        for _ in range(10):
            time.sleep(0.3)
            self.type("\x03")
            try:
                return self.until(pattern, seconds=10)
            except AssertionError:
                if self.process.poll() is not None:
                    raise
        return self.until(pattern, seconds=0)

    def until(self, pattern: str, seconds: float = 200) -> str:
        """What comes up to a pattern, which is then behind us."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen)):
            assert time.monotonic() < end, f"{pattern!r} did not come: {self.seen[-2000:]!r}"
            if select.select([self._fd], [], [], 0.2)[0]:
                try:
                    more = os.read(self._fd, 65536)
                except OSError:  # the process has left
                    raise AssertionError(f"{pattern!r} did not come: {self.seen[-2000:]!r}") from None
                self.seen += re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]|\r|\x07", "", more.decode(errors="replace"))
        said, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return said

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)


@pytest.fixture
def terminal(clips: Path, tiny: Path, tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def call(*flags: str, **environment: str) -> Terminal:
        variables = {"TERM": "xterm", "XDG_STATE_HOME": str(tmp_path / "state"), "OMP_NUM_THREADS": "1", **environment}
        arguments = ["chat", str(clips / "both.mp4"), "--model", str(tiny), *flags]
        opened.append(Terminal(arguments, variables))
        return opened[-1]

    yield call
    for each in opened:
        each.close()


@pytest.mark.slow
def test_keys_on_a_terminal(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    pytest.importorskip("readline")
    at = terminal("--max-new-tokens", "1200")
    assert "8 frames · 4.0 s of sound; /help lists" in at.until(r"Ctrl-D leaves\n> ")

    at.type("/me\t")  # completes to "/method "
    at.until("/method ")
    at.type("visionzip-\t")
    at.until("visionzip-om")
    at.type("\x15/keep 35%\x1b[D\x08\x082\x1b[C\n")  # Ctrl-U; then 35 becomes 2 from within
    at.until(r"seats 2%: .*\n> ")

    at.type("abc")
    at.until("abc")
    assert at.interrupt(r"\n> ") == "\n> "  # a line half typed is given up in silence
    assert at.interrupt(r"leaves\n> ").endswith("Ctrl-D or /quit leaves\n> ")

    at.type("what is red ?\n")
    at.until(r"what is red \?\n(.|\n)*?\w+ \w+ ")
    at.interrupt(r"stopped; the question is not part of the conversation\n> ")
    at.type("/keep\n")
    at.until(r"seats 2%: .*\n> ")
    at.type("\x1b[A\x1b[A")  # the line before the last one
    at.until(r"what is red \?")
    at.type("\x15\x04")
    assert at.process.wait(timeout=60) == 0

    history = tmp_path / "state" / "seats" / "chat_history"
    assert history.read_text().splitlines() == ["/keep 2%", "what is red ?", "/keep"]
    assert history.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_a_terminal_remembers_and_never_needs_to(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    folder = tmp_path / "state" / "seats"
    folder.mkdir(parents=True)
    (folder / "chat_history").write_text("/keep 12%\n")
    (folder / "chat_history").chmod(0o644)
    at = terminal("--max-new-tokens", "3")
    at.until(r"\n> ")
    at.type("\x1b[A\n")
    at.until(r"seats 12%: .*\n> ")
    at.type("who ?\n")
    said = at.until(r"total .*\n> ")
    said = re.sub(r" · |\n", " | ", said)  # a line of the terminal may end at any piece
    assert re.search(r"seats 12% \| \d+ video tokens, .* kept \| .*reading .*, encoding .* \| first token", said)
    at.type("/quit\n")
    assert at.process.wait(timeout=60) == 0
    assert (folder / "chat_history").read_text() == "/keep 12%\nwho ?\n/quit\n"
    assert (folder / "chat_history").stat().st_mode & 0o777 == 0o600


def test_what_was_stopped_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    from seats_cli.chat_session import Session

    said: list[str] = []
    for json_lines, ends in ((False, "\n\n"), (True, "")):
        said.clear()
        session: Any = SimpleNamespace(out=SimpleNamespace(say=said.append), options=SimpleNamespace(json=json_lines))
        Session.stopped(session, "what is red ?")
        Session.stopped(session, "/view map.html")
        assert said == ["stopped; the question is not part of the conversation", "stopped"]
        assert capsys.readouterr().out == ends


def test_the_history_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from seats_cli import prompt

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert prompt.history_file("x") == tmp_path / "seats" / "x"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")  # which the standard says to ignore
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert prompt.history_file("x") == tmp_path / "home" / ".local" / "state" / "seats" / "x"

    added: list[str] = []
    typed: Iterator[Any] = iter(["one", "one", "two\nlines", "  ", "three"])
    readline = SimpleNamespace(
        __doc__="GNU", set_auto_history=lambda _: None, clear_history=added.clear, add_history=added.append,
        set_completer_delims=lambda _: None, set_completer=lambda _: None, parse_and_bind=lambda _: None,
    )  # fmt: skip
    monkeypatch.setattr(prompt, "_readline", lambda: readline)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: next(typed))
    file = tmp_path / "new" / "history"
    asked = prompt.Prompt("> ", lambda _: [], file)
    assert [asked.line() for _ in range(5)] == ["one", "one", "two\nlines", "", "three"]
    assert file.read_text().splitlines() == added == ["one", "two lines", "three"]

    file.write_text("".join(f"{i}\n" for i in range(2 * prompt.KEPT + 1)))
    prompt.Prompt("> ", lambda _: [], file)
    assert len(added) == len(file.read_text().splitlines()) == prompt.KEPT

    typed = iter(["four"])
    (tmp_path / "file").touch()
    for blocked in (tmp_path / "file" / "history", None):  # cannot be made
        typed = iter(["four"])
        monkeypatch.setattr("builtins.input", lambda _, typed=typed: next(typed))
        assert prompt.Prompt("> ", lambda _: [], blocked).line() == "four"
