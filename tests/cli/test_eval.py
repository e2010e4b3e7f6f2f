"""`seats eval`, from a question file to tables, rows and pictures, with a tiny random model."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from seats.keep import ENTRY_POINT_GROUP
from seats.methods import Random
from tests.cli.conftest import Ran

Run = Callable[..., Ran]
QUESTIONS = [
    {"clip": "both.mp4", "question": "what ?", "answer": "red", "type": "colour"},
    {"clip": "mute.mp4", "question": "who ?", "options": ["you", "user"], "answer": "B", "type": "person"},
    {"clip": "both.mp4", "question": "how many ?", "answer": ["2", "two"], "type": "count"},
]
SHORT = ("--max-new-tokens", "2", "--end", "2")


@pytest.fixture
def questions(clips: Path, tmp_path: Path) -> Path:
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps({**row, "clip": str(clips / row["clip"])}) + "\n" for row in QUESTIONS))
    return path


def test_a_place_for_the_built_in_clips_that_cannot_be(
    run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate() -> str:
        ran = run("eval", "shapes-and-sounds", "--model", tiny, "--clips", "1", "--quiet")
        assert ran.code == 1
        return ran.line

    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert f"{tmp_path}/file/seats/shapes-and-sounds: cannot be written to (Not a directory)" in evaluate()

    def no_home() -> Path:
        raise RuntimeError

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert "set XDG_CACHE_HOME" in evaluate()


@pytest.fixture
def evaluate(run: Run, questions: Path, tiny: Path) -> Run:
    def call(*flags: object) -> Ran:
        return run("eval", questions, "--model", tiny, *SHORT, *flags)

    return call


def test_the_table_is_on_stdout_and_says_it_all(evaluate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    ran = evaluate("--method", "full", "--method", "random", "--method", "fastv", "--keep", "15%")
    assert ran.code == 0, ran.err
    head, *_ = ran.out.splitlines()
    assert head.endswith("3 questions about 2 clips")
    for said in ("against full", "% of full", "LLM FLOPs", "prefill, ms", "kept: video, audio", "colour", "person"):
        assert said in ran.out
    (random,) = [line for line in ran.out.splitlines() if line.strip().startswith("random")]
    assert "15%" in random
    assert "unreachable: fastv cannot keep 10 % of the video tokens" in ran.out
    assert "\x1b" not in ran.out + ran.err


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_transformers_newer_than_tested_is_said_once(
    evaluate: Run, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    monkeypatch.setattr("seats.models.compat.TESTED", ("5.0", "5.1"))
    ran = evaluate("--method", "random", *workers)
    assert ran.code == 0, ran.err
    assert ran.err.count("is newer than the newest tested version, 5.1") == 1


def test_each_modality_s_own_share(evaluate: Run) -> None:
    flags = ("--method", "random", "--keep", "10%", "--keep-video", "50%", "--kv", "drop")
    said = json.loads(evaluate(*flags, "--json").out)
    assert said["asking"]["keep_video"] == 0.5
    assert said["asking"]["kv"] == "drop"
    assert said["results"][0]["retention"]["video"] == pytest.approx(0.5, abs=0.05)
    assert said["results"][0]["retention"]["audio"] == pytest.approx(0.35, abs=0.05)
    table = " ".join(evaluate(*flags).out.split())
    assert "3 questions about 2 clips, --kv drop" in table
    assert "random 10% video 50%" in table


def test_both_shares_leave_the_retention_nothing_to_say(evaluate: Run) -> None:
    flags = ("--method", "random", "--keep", "10%", "--keep", "25%", "--keep-video", "50%", "--keep-audio", "40%")
    (result,) = json.loads(evaluate(*flags, "--json").out)["results"]
    assert result["label"] == "random video 50% audio 40%"
    assert result["keep_percent"] is None


@pytest.mark.parametrize("own", [(), ("--keep-video", "50%"), ("--keep-video", "50%", "--keep-audio", "50%")])
def test_nothing_is_cut_on_a_narrow_terminal(
    evaluate: Run, monkeypatch: pytest.MonkeyPatch, own: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    ran = evaluate("--method", "full", "--method", "random", "--keep", "35%", *own)
    assert max(map(len, ran.out.splitlines())) <= 40
    assert "\u2026" not in ran.out
    (row,) = [line for line in ran.out.splitlines() if line.startswith("random")]
    assert re.search(r"%.* \d+\.\d", row)


def test_a_long_type_costs_no_column(evaluate: Run, questions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions.write_text(questions.read_text().replace('"colour"', f'"{"x" * 120}"'))
    monkeypatch.setenv("COLUMNS", "50")
    out = evaluate("--method", "random").out
    assert re.search(r"^type +10% +questions$", out, re.MULTILINE)
    assert re.search(r"^person +\d+\.\d +1$", out, re.MULTILINE)
    assert out.count("x") >= 120
    assert "\u2026" not in out


def test_json_is_one_document(evaluate: Run) -> None:
    ran = evaluate("--method", "all", "--keep", "35%", "--json", "--quiet")
    assert ran.code == 0, ran.err
    assert not ran.err
    said = json.loads(ran.out)
    assert said["schema"] == "seats.eval/1"
    full = said["results"][0]
    assert (full["label"], full["questions"]["answered"]) == ("full", 3)
    assert len(said["results"]) >= 12
    seats = next(r for r in said["results"] if r["method"] == "seats")
    assert 0 < seats["llm_flops_share_of_full"] < 1
    assert seats["versus_full"]["questions"] == 3
    assert seats["retention"]["video"] < 0.5
    dycoke = next(r for r in said["results"] if r["method"] == "dycoke")
    assert (dycoke["status"], dycoke["unreachable_clips"], dycoke["accuracy"]["all"]["total"]) == ("partial", 1, 1)
    assert dycoke["questions"] == {"asked": 3, "answered": 1, "unreachable": 2, "failed": 0}
    assert "all that the target leaves them" in dycoke["reason"]
    assert {r["status"] for r in said["results"] if r["method"] not in ("dycoke", "fastvid")} == {"answered"}


def test_rows_are_kept_and_gone_on_with(evaluate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, flags = tmp_path / "rows.jsonl", ("--method", "full", "--method", "random", "--json", "--out")
    first = evaluate(*flags, rows)
    assert first.code == 0, first.err
    written = rows.read_bytes()
    assert written.count(b"\n") == 6

    # Half of the last row is lost, and one setting is added.
    rows.write_bytes(written[:-100])
    again = evaluate(*flags, rows, "--keep", "10%", "--keep", "25%")
    assert "half written" in again.err
    lines = rows.read_bytes().splitlines(keepends=True)
    assert lines[:5] == written.splitlines(keepends=True)[:5]
    assert len(lines) == 6 + 3
    assert [r["accuracy"] for r in json.loads(again.out)["results"]][:2] == [
        r["accuracy"] for r in json.loads(first.out)["results"]
    ]

    # All is there: the model isn't even loaded, and the first table comes out again, without the setting added since.
    monkeypatch.setattr("seats.models.omni.load_model", lambda *_, **__: pytest.fail("loaded"))
    last = evaluate(*flags, rows)
    assert "all answers are in" in last.err
    assert json.loads(last.out)["results"][0] == json.loads(first.out)["results"][0]
    assert [r["label"] for r in json.loads(last.out)["results"]] == ["full", "random 10%"]
    assert rows.read_bytes() == b"".join(lines)


@pytest.mark.parametrize(("flag", "name"), [("--plot", "photo.png"), ("--markdown", "README.md")])
def test_only_what_it_wrote_is_overwritten(evaluate: Run, tmp_path: Path, flag: str, name: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / name
    path.write_bytes(b"someone's own")
    ran = evaluate("--method", "full", flag, path)
    assert ran.code == 2
    assert f"{name} is there already and does not say that seats wrote it; give another name" in ran.line
    assert path.read_bytes() == b"someone's own"
    path.write_bytes(b"")
    for _ in range(2):
        assert evaluate("--method", "full", flag, path).code == 0


def test_markdown_and_plot_are_written(evaluate: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    table, plot = tmp_path / "table.md", tmp_path / "plot.png"
    ran = evaluate("--method", "full", "--method", "random", "--markdown", table, "--plot", plot)
    assert ran.code == 0, ran.err
    assert "| random | 10% |" in table.read_text()
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "table.md" in ran.err
    assert "plot.png" in ran.err


@pytest.mark.parametrize(("flag", "name"), [("--plot", "full.png"), ("--markdown", "full.md")])
def test_a_full_disk_is_told_with_the_file(evaluate: Run, tmp_path: Path, flag: str, name: str) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / name).symlink_to("/dev/full")
    ran = evaluate("--method", "full", flag, tmp_path / name)
    assert ran.code == 1
    assert f"{flag} {tmp_path / name}: cannot be written (No space left on device); make room" in ran.line
    assert "accuracy" in ran.out  # what was measured is shown before


def test_files_are_written_though_nobody_reads_the_tables(
    evaluate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("seats_cli.eval_table.show_results", gone)
    ran = evaluate("--method", "full", "--markdown", tmp_path / "tables.md")
    assert ran.code == 141
    assert "full" in (tmp_path / "tables.md").read_text()


def test_clips_and_limit_take_the_first(evaluate: Run) -> None:
    def asked(*flags: object) -> tuple[int, int]:
        said = json.loads(evaluate("--method", "random", "--json", *flags).out)
        return said["questions"], said["clips"]

    assert asked("--clips", "1") == (2, 1)
    assert asked("--limit", "2") == (2, 2)


def test_a_clip_that_cannot_be_read_is_a_partial_failure(evaluate: Run, questions: Path, clips: Path) -> None:
    broken = {**QUESTIONS[0], "clip": str(clips / "text.mp4")}
    questions.write_text(questions.read_text() + json.dumps(broken) + "\n")
    ran = evaluate("--method", "random")
    assert ran.code == 3
    assert "failed: " in ran.err
    assert "text.mp4" in ran.err
    assert "1 answer failed" in ran.err
    assert "* random 10%: all its figures are of 3 of 4 questions; 1 failed" in ran.out


def test_a_method_that_cannot_be_set_up_is_a_partial_failure(evaluate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = type("Theirs", (Random,), {"name": "theirs", "for_model": classmethod(lambda cls, *_: 1 / 0)})
    monkeypatch.setitem(sys.modules, "their_package", SimpleNamespace(Theirs=theirs))
    offered = [EntryPoint("theirs", "their_package:Theirs", ENTRY_POINT_GROUP)]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: offered)
    ran = evaluate("--method", "random", "--method", "theirs", "--json")
    assert ran.code == 3
    assert "3 answers failed" in ran.err
    assert "failed: method 'theirs' cannot be set up: its for_model raises unexpected ZeroDivisionError" in ran.err
    random, broken = json.loads(ran.out)["results"]
    assert (random["status"], broken["status"]) == ("answered", "failed")
    assert broken["reason"].startswith("method 'theirs' cannot be set up")


def test_why_answers_of_another_set_in_the_file_failed_is_not_told(
    evaluate: Run, questions: Path, clips: Path, tmp_path: Path
) -> None:
    whole = questions.read_text()
    for name in ("first", "second"):
        broken = {**QUESTIONS[0], "clip": str(tmp_path / f"{name}.mp4")}
        (tmp_path / f"{name}.mp4").write_text("no clip")
        questions.write_text(whole + json.dumps(broken) + "\n")
        ran = evaluate("--method", "random", "--out", tmp_path / "rows.jsonl")
    assert "second.mp4" in ran.err
    assert "first.mp4" not in ran.err


def test_what_is_wrong_is_said_before_the_model_is_loaded(
    run: Run, clips: Path, questions: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seats.models.omni.load_model", lambda *_, **__: pytest.fail("loaded"))
    good = questions.read_text()

    def line(*flags: object, text: str = good, name: object = questions) -> tuple[int, str]:
        questions.write_text(text)
        ran = run("eval", name, "--model", tiny, *flags)
        assert not ran.out
        return ran.code, ran.line

    gone = json.dumps({**QUESTIONS[0], "clip": "gone.mp4"})
    for (code, said), expected, part in [
        (line(name="nowhere.jsonl"), 2, "no such file"),
        (line(name="/dev/zero"), 2, "/dev/zero is a pipe or a device"),
        (line(name=clips), 2, "is a folder: give the file with the questions in it"),
        (line(name=clips / "mute.mp4"), 2, "mute.mp4 is no question set: it is not UTF-8 text"),
        (line(text=good + "{"), 2, "line 4: not JSON"),
        (line(text=good + gone), 1, "gone.mp4 (line 4 of the set) is not there"),
        (line("--method", "magic"), 2, "choose one of"),
        (line("--method", "fastv", "--keep", "15%"), 2, "fastv cannot keep"),
        (line("--out", tmp_path / "no" / "rows.jsonl"), 2, "its folder does not exist"),
        (line("--out", questions), 2, "would overwrite the question set"),
        (line("--markdown", tmp_path), 2, "is a folder"),
        (line("--markdown", "/proc/tables.md"), 2, "its folder cannot be written to"),
        (line("--markdown", "tables.txt"), 2, "must end in .md or .markdown"),
        (line("--markdown", questions), 2, "would overwrite the question set"),
        (line("--markdown", "rows.md", "--out", "rows.md"), 2, "would overwrite what --out writes"),
        (line("--out", clips / "both.mp4"), 2, "would overwrite a clip of the set"),
        (line("--plot", "plot.gif"), 2, ".png"),
        (line("--kv", "perhaps"), 2, "choose keep or drop"),
    ]:
        assert (code, part in said) == (expected, True), said
    assert questions.read_text() == good  # --out on the set itself has left it alone


def test_a_folder_whose_name_is_not_utf_8(run: Run, questions: Path, tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    moved = questions.rename(folder / "set.jsonl")
    files = ("--out", folder / "rows", "--markdown", folder / "table.md", "--plot", folder / "plot.png")
    ran = run("eval", moved, "--model", tiny, "--method", "full", *SHORT, *files, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["benchmark"] == rf"{tmp_path}/caf\xe9/set.jsonl"


def test_an_empty_clip_fails_alone(run: Run, questions: Path, tiny: Path, tmp_path: Path) -> None:
    (questions.parent / "empty.mp4").write_bytes(b"")
    questions.write_text(questions.read_text() + json.dumps({**QUESTIONS[0], "clip": "empty.mp4"}) + "\n")
    ran = run("eval", questions, "--model", tiny, "--method", "full", *SHORT, "--json")
    assert ran.code == 3
    (result,) = json.loads(ran.out)["results"]
    assert result["questions"]["failed"] == 1
    assert "empty.mp4: the file is empty (0 bytes)" in ran.err


@pytest.mark.slow
def test_interrupted_it_leaves_rows_and_goes_on(questions: Path, tiny: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    # Shells start what is in the background deaf to it.
    code = (
        "import signal, seats_cli.main; signal.signal(signal.SIGINT, signal.default_int_handler); seats_cli.main.main()"
    )
    command = [sys.executable, "-c", code, "eval", str(questions), "--model", str(tiny), *SHORT]
    command += ["--method", "all", "--keep", "35%", "--keep", "25%", "--out", str(rows), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not rows.exists() or rows.read_bytes().count(b"\n") < 4:
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "")
    assert "the same command goes on from there" in err
    kept = rows.read_bytes()
    assert kept.endswith(b"\n")

    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert rows.read_bytes().startswith(kept)
    assert all(r["questions"]["failed"] == 0 for r in json.loads(done.stdout)["results"])
