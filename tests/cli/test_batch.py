"""`seats batch`, from a folder to rows and tables, with a tiny random model."""

from __future__ import annotations

import csv
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seats.batch.results import ResultsFile
from seats.batch.rows import row_path
from seats.batch.run import Outcome
from seats_cli.commands.batch import BatchOptions, _report, _setup, _threads
from seats_cli.options import AnswerOptions, ClipOptions, ModelOptions, OutputOptions, SelectionOptions
from seats_cli.output import Output
from seats_cli.planning import FitOptions
from tests.cli.conftest import Ran

Run = Callable[..., Ran]
QUESTIONS = ("what is in the clip ?", "who speaks ?")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def options(tiny: Path) -> tuple[object, ...]:
    return ("--model", tiny, "--max-new-tokens", "3", "--max-pixels", str(4 * 28 * 28))


def rows_of(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_bytes().splitlines()]


def odd_names(folder: Path, clip: Path) -> tuple[list[str], list[str]]:
    """Fill a folder with clips and with what only looks like one; return the names of both."""
    good = ["plain.mp4", "line\nfeed \x1b[31mred.mp4", "é" * 120 + ".mp4", os.fsdecode(b"b\xff.mp4"), "-o.mp4"]
    for name in good:
        shutil.copyfile(clip, folder / name)
    (folder / "linked.mp4").symlink_to("plain.mp4")
    (folder / "text.mp4").write_text("a letter " * 50)
    (folder / "empty.mp4").touch()
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "nowhere.mp4").symlink_to("gone.mp4")
    (folder / "zeros.mp4").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "folder.mp4").mkdir()
    return [*good, "linked.mp4"], ["text.mp4", "empty.mp4", "loop.mp4", "nowhere.mp4", "zeros.mp4", "pipe.mp4"]


@pytest.mark.slow
def test_a_folder_of_anything(
    run: Run, clips: Path, tmp_path: Path, options: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "clips", tmp_path / "r.csv"
    folder.mkdir()
    good, bad = odd_names(folder, clips / "both.mp4")
    arguments = ("batch", folder, QUESTIONS[0], "--out", out, *options, "--timeout", "120")
    ran = run(*arguments, "--json")
    assert ran.code == 3, ran.err
    said = json.loads(ran.out)
    assert said["schema"] == "seats.batch/1"
    assert (said["answered"], said["failed"], said["failed_clips"]) == (len(good), len(bad), len(bad))
    assert said["errors"] == {"MediaError": len(bad)}
    assert "\x1b" not in ran.err
    assert "1 folder in it is not entered" in ran.err

    results = tmp_path / "r.jsonl"
    rows = {os.path.basename(row_path(row)): row for row in rows_of(results)}
    assert {name: row["status"] for name, row in rows.items()} == dict.fromkeys(good, "ok") | dict.fromkeys(
        bad, "error"
    )
    assert all("\n" not in row["error"]["message"] for row in rows.values() if row["status"] == "error")
    assert "not a regular file" in rows["pipe.mp4"]["error"]["message"]
    assert "not a regular file" in rows["zeros.mp4"]["error"]["message"]
    assert len({row["answer"] for row in rows.values() if row["status"] == "ok"}) == 1  # it is the same clip
    with out.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["clip.path"] for row in table] == [
        row["clip"] if row["status"] == "error" else row["clip"]["path"] for row in rows_of(results)
    ]

    # nothing left to do: no model is loaded, and a new name is noted without one
    monkeypatch.setattr("seats.batch.local.LocalEngine.__enter__", lambda _: pytest.fail("nothing is to be done"))
    (folder / "plain.mp4").rename(folder / "renamed.mp4")
    (folder / "linked.mp4").unlink()
    again = run(*arguments)
    assert again.code == 3
    assert "0 answered, 0 failed" in again.err
    assert len(rows_of(results)) == len(rows)
    assert "renamed.mp4" in {os.path.basename(row_path(row)) for row in rows_of(results)}


@pytest.mark.slow
def test_questions_of_a_file_and_parquet(
    run: Run, clips: Path, tmp_path: Path, options: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import parquet

    folder, questions, out = tmp_path / "clips", tmp_path / "q.csv", tmp_path / "r.parquet"
    (folder / "in").mkdir(parents=True)
    for name in ("both.mp4", "mute.mp4", "empty.mp4"):
        shutil.copy(clips / name, folder)
    shutil.copy(clips / "sound.m4a", folder / "in")
    lines = ["clip,question,answer,id", f"both.mp4,{QUESTIONS[0]},a ring,", f"both.mp4,{QUESTIONS[1]},,second"]
    questions.write_text("\n".join([*lines, f"in/sound.m4a,{QUESTIONS[1]},,"]) + "\n")
    ran = run("batch", folder, "--questions", questions, "--out", out, *options)
    assert ran.code == 0, ran.err
    assert not ran.out
    assert "2 clips have no question" in ran.err
    rows = {row["id"]: row for row in rows_of(tmp_path / "r.jsonl")}
    assert set(rows) == {"both.mp4", "second", "in/sound.m4a"}
    assert rows["both.mp4"]["right"] is False
    assert rows["second"]["latency_ms"]["encode_video"] is None  # encoded once for both
    table = parquet.read_table(out).to_pylist()
    assert [row["id"] for row in table] == [row["id"] for row in rows_of(tmp_path / "r.jsonl")]
    assert {row["status"] for row in table} == {"ok"}


@pytest.mark.slow
def test_a_signal_finishes_the_row_in_hand(clips: Path, tmp_path: Path, options: tuple[object, ...]) -> None:
    """SIGTERM; the next two tests send SIGHUP and SIGINT."""
    folder, results = tmp_path / "clips", tmp_path / "r.jsonl"
    folder.mkdir()
    for n in range(40):
        (folder / f"{n}.mp4").write_bytes((clips / "both.mp4").read_bytes())
    arguments = [str(folder), QUESTIONS[0], "--out", str(results), *map(str, options)]
    command = [sys.executable, "-m", "seats_cli", "batch", *arguments]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),  # the tests may run with it ignored
    ) as batch:
        while batch.poll() is None and not (results.exists() and results.stat().st_size):
            time.sleep(0.02)
        os.killpg(batch.pid, signal.SIGTERM)
        _, err = batch.communicate(timeout=120)
    assert batch.returncode == 130, err
    assert "stopping after the row in hand" in err
    assert "the same command goes on from there" in err
    rows = rows_of(results)
    assert 1 <= len(rows) < 40
    assert {row["status"] for row in rows} == {"ok"}


@pytest.mark.slow
def test_a_terminal_that_is_closed_costs_neither_rows_nor_table(
    clips: Path, tmp_path: Path, options: tuple[object, ...]
) -> None:
    folder, results = tmp_path / "clips", tmp_path / "r.jsonl"
    folder.mkdir()
    for n in range(40):
        (folder / f"{n}.mp4").write_bytes((clips / "both.mp4").read_bytes())
    arguments = [str(folder), QUESTIONS[0], "--out", str(tmp_path / "r.csv"), *map(str, options)]
    ours, theirs = pty.openpty()
    batch = subprocess.Popen(
        [sys.executable, "-m", "seats_cli", "batch", *arguments],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    os.close(theirs)
    while batch.poll() is None and not (results.exists() and results.stat().st_size):
        if select.select([ours], [], [], 0.02)[0]:
            os.read(ours, 65536)
    os.close(ours)
    batch.send_signal(signal.SIGHUP)
    assert batch.wait(timeout=120) == 130
    rows = rows_of(results)
    assert 1 <= len(rows) < 40
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(rows)


@pytest.mark.slow
def test_a_reader_of_the_messages_that_dies_first_costs_no_row(
    clips: Path, tmp_path: Path, options: tuple[object, ...]
) -> None:
    """As Ctrl-C does to `seats batch ... 2>&1 | tee log`: tee is gone before the batch says anything."""
    folder, table = tmp_path / "clips", tmp_path / "r.csv"
    folder.mkdir()
    for n in range(40):
        (folder / f"{n}.m4a").write_bytes((clips / "sound.m4a").read_bytes())
    arguments = [str(folder), QUESTIONS[0], "--out", str(table), "--verbose", *map(str, options)]
    command = [sys.executable, "-m", "seats_cli", "batch", *arguments]
    results = tmp_path / "r.jsonl"
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as batch:
        assert batch.stdout is not None
        while batch.poll() is None and not (results.exists() and results.stat().st_size):
            time.sleep(0.02)
        batch.stdout.close()
        written = len(rows_of(results))
        batch.send_signal(signal.SIGINT)
        assert batch.wait(timeout=120) == 130
    rows = rows_of(results)
    assert written <= len(rows) < 40
    with table.open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(rows)


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is stopped as it starts to answer."""
    event = threading.Event()
    event.set()
    monkeypatch.setattr("seats_cli.commands.batch.stoppable", lambda: nullcontext(event))


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize("name", ["r.jsonl", "r.csv"])
def test_stopped_before_the_first_row_it_leaves_no_file(
    run: Run, clips: Path, tmp_path: Path, options: tuple[object, ...], name: str
) -> None:
    ran = run("batch", clips / "both.mp4", "what ?", "--out", tmp_path / name, *options)
    assert ran.code == 130
    assert "0 answered, 0 failed\n" in ran.err
    assert "stopped with 1 clip to do" in ran.err
    assert not list(tmp_path.iterdir())


def test_one_line_for_what_cannot_be(run: Run, clips: Path, tmp_path: Path, options: tuple[object, ...]) -> None:
    out = ("--out", tmp_path / "r.jsonl")
    for code, says, arguments in (
        (2, "one question for all", (clips,)),
        (2, "'what ?' and --questions q.csv are both given: leave one", (clips, "what ?", "--questions", "q.csv")),
        (2, "is empty", (clips, " ")),
        (2, "not UTF-8", (clips, "what \udcff ?")),
        (2, "ends in .jsonl", (clips, "what ?", "--out", tmp_path / "r.txt")),
        (2, "its folder does not exist; make it first", (clips, "what ?", "--out", tmp_path / "new" / "r.jsonl")),
        (2, "its folder does not exist; make it first", (clips, "what ?", "--out", tmp_path / "new" / "r.csv")),
        (2, "--engine ray", (clips, "what ?", "--ray-address", "auto")),
        (2, "no shard 5/4", (clips, "what ?", "--shard", "5/4")),
        (2, "value for '--decode-memory': '4' is not a size", (clips, "what ?", "--decode-memory", "4")),
        (1, "no such folder", (clips / "nowhere", "what ?")),
        (1, "holds no clips; give a folder of video or sound files", (tmp_path, "what ?")),
        (2, "10M is too little to decode anything: give at least 64M", (tmp_path, "what ?", "--decode-memory", "10M")),
        (
            2,
            "q.csv: cannot be read as a file of questions (No such file or directory); check the path",
            (clips, "--questions", tmp_path / "q.csv"),
        ),
        (2, "the clips come first, then the question: seats batch clips/ 'Which?'", ("Which?",)),
        (2, "'Which?' is no folder or file here", ("Which?", "--questions", tmp_path / "q.csv")),
        (2, f"seats batch {clips} 'Which shape'", ("Which shape", clips)),
        (2, "for a file of questions give --questions nope.csv", (clips, "nope.csv")),
    ):
        ran = run("batch", *arguments, *(() if "--out" in arguments else out), *options)
        assert ran.code == code, ran.err
        assert says in " ".join(ran.err.split()), arguments
        assert not ran.out
    assert not [*tmp_path.iterdir()]


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize("where", ["my clips", "my clips/*.mp4", "clip?", "What is this?"])
def test_folders_and_patterns_that_look_like_a_question(
    run: Run, clips: Path, tmp_path: Path, options: tuple[object, ...], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("my clips", "What is this?"):
        Path(folder).mkdir()
        shutil.copy(clips / "sound.m4a", Path(folder, "a.mp4"))
    shutil.copy(clips / "sound.m4a", "clip1")
    ran = run("batch", where, "what is in q.csv ?", *options)
    assert ran.code == 130
    assert "stopped with 1 clip to do" in ran.err


@pytest.mark.parametrize(
    ("name", "out"),
    [("q.csv", "q.csv"), ("q.csv", "./q.csv"), ("q.csv", "hard.csv"), ("q.jsonl", "q.csv"), ("q.jsonl", "q.jsonl")],
)
def test_the_questions_are_never_overwritten(
    run: Run, clips: Path, tmp_path: Path, options: tuple[object, ...], name: str, out: str
) -> None:
    questions = tmp_path / name
    rows = {"q.csv": "clip,question\nmute.mp4,what ?\n", "q.jsonl": '{"clip": "mute.mp4", "question": "what ?"}\n'}
    questions.write_text(rows[name])
    os.link(questions, tmp_path / "hard.csv")
    ran = run("batch", clips, "--questions", questions, "--out", f"{tmp_path}/{out}", *options)
    assert ran.code == 2, ran.err
    assert "the file of questions" in ran.line
    assert questions.read_text() == rows[name]


def test_a_file_that_is_no_table_of_a_batch_is_left_alone(
    run: Run, clips: Path, tmp_path: Path, options: tuple[object, ...]
) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("name,phone\nEve,1\n")
    ran = run("batch", clips, "what ?", "--out", mine, *options)
    assert ran.code == 2
    assert "is not a table of a batch" in ran.line
    assert mine.read_text() == "name,phone\nEve,1\n"
    assert not (tmp_path / "mine.jsonl").exists()


@pytest.mark.parametrize(
    ("large", "workers", "engine", "devices", "threads"),
    [
        (False, None, "local", ["cuda:0", "cuda:1"], 1),
        (True, None, "local", ["cuda:0", "cuda:1"], 4),
        (True, 4, "local", ["cpu"] * 4, 2),
        (True, None, "local", ["auto"], None),
        (True, None, "ray", ["cuda:0", "cuda:1"], None),
        (True, 2, "ray", [], 4),
    ],
)
def test_workers_share_the_cores(
    monkeypatch: pytest.MonkeyPatch,
    large: bool,
    workers: int | None,
    engine: str,
    devices: list[str],
    threads: int | None,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("seats_cli.commands.batch.cpu_quota", lambda: None)
    monkeypatch.setattr("seats_cli.commands.batch.usable_cpus", lambda: 8)
    monkeypatch.setattr("seats.models.weight_files.thinker_bytes", lambda _: 2**34 if large else 2**20)
    monkeypatch.setattr("seats.batch.local.devices_for", lambda device, count: devices)
    checkpoint: Any = SimpleNamespace(folder=Path())
    assert _threads(checkpoint, BatchOptions(workers=workers, engine=engine), "auto") == threads


def test_one_worker_takes_no_more_threads_than_a_container_has_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("seats_cli.commands.batch.cpu_quota", lambda: 3)
    monkeypatch.setattr("seats_cli.commands.batch.usable_cpus", lambda: 3)
    monkeypatch.setattr("seats.models.weight_files.thinker_bytes", lambda _: 2**34)
    monkeypatch.setattr("seats.batch.local.devices_for", lambda device, count: ["cpu"])
    checkpoint: Any = SimpleNamespace(folder=Path())
    assert _threads(checkpoint, BatchOptions(), "auto") == 3


@pytest.mark.usefixtures("stopped")
def test_questions_about_clips_in_folders_below(
    run: Run, clips: Path, tmp_path: Path, options: tuple[object, ...]
) -> None:
    (tmp_path / "in").mkdir()
    shutil.copyfile(clips / "sound.m4a", tmp_path / "in" / "s.m4a")
    questions = tmp_path / "q.csv"
    questions.write_text(f"clip,question,kind\nin/s.m4a,{QUESTIONS[0]},a\n")
    ran = run("batch", tmp_path, "--questions", questions, "--out", tmp_path / "r.jsonl", *options)
    assert ran.code == 130
    assert "stopped with 1 clip to do" in ran.err
    assert "not used: kind" in ran.err
    assert "not entered" not in ran.err


def test_a_file_that_is_written_to_is_left_alone(
    run: Run, clips: Path, tmp_path: Path, options: tuple[object, ...]
) -> None:
    with ResultsFile(tmp_path / "r.jsonl"):
        ran = run("batch", clips, "what ?", "--out", tmp_path / "r.jsonl", *options)
    assert ran.code == 1
    assert "another batch is writing to it" in ran.err


def test_every_option_reaches_the_worker() -> None:
    setup = _setup(
        BatchOptions(decoders=3, decode_memory=2 * 2**30),
        ModelOptions(model="seats-nano", device="cpu", dtype="float32"),
        SelectionOptions("random", keep=25.0, keep_video=50.0, keep_audio=20.0, kv="drop", compare=True),
        ClipOptions(start=1.0, end=9.0, fps=1.5, max_frames=6, max_pixels=50_000, no_video=True, timeout=7.0),
        AnswerOptions(system="Be brief.", max_new_tokens=5, temperature=0.5, seed=4),
        FitOptions(2**30),
        Output(OutputOptions(quiet=True)),
    )
    clip, answer = setup.clip, setup.answer
    assert (clip.start_s, clip.end_s, clip.use_video, clip.use_audio, clip.timeout_s) == (1.0, 9.0, False, True, 7.0)
    assert clip.limit is not None
    assert (clip.memory_bytes, clip.limit.limit_bytes, setup.decoders) == (2 * 2**30, 2**30, 3)
    assert (clip.sampling.fps, clip.sampling.max_frames, clip.sampling.max_pixels) == (1.5, 6, 50_000)
    assert (answer.method, answer.keep, answer.keep_video, answer.keep_audio) == ("random", 25.0, 0.5, 0.2)
    assert (answer.kv, answer.compare, answer.system, answer.seed) == ("drop", True, "Be brief.", 4)
    assert (answer.max_new_tokens, answer.temperature) == (5, 0.5)
    assert (setup.model.device, setup.model.dtype, setup.model.quantize) == ("cpu", "float32", None)


def test_what_a_stopped_batch_left_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome(clips=9, pending=6, done_before=3, failed_before=0, finished=4, answered=4, interrupted=True)
    _report(outcome, tmp_path / "r.jsonl", Output(OutputOptions(json=True)))
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["clips"], found["finished_clips"], found["pending_clips"]) == (9, 4, 2)
    assert "stopped with 2 clips to do" in said.err
