"""`seats report` on a terminal, as JSON and as a page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ran
from tests.report.make import error_row, full_row, ok_row, write

Run = Callable[..., Ran]
EVIL = "[bold]<script>\x1b[31m\udcff\nline\u202e"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    rows = [ok_row(i, scale=1 + i) for i in range(4)]
    return write(tmp_path / "results.jsonl", *rows, error_row(4), "broken\n", full_row(5), '{"half')


def test_report_is_the_result(run: Run, results: Path) -> None:
    ran = run("report", results)
    assert ran.code == 0
    assert not ran.err
    for said in (
        "5 answered · 1 failed",
        "the last line is half written",
        "1 line broken left out: line 6",
        "seats-nano · float32 · cpu · seats (video 6%, audio 35%)",
        "prefill 4.00× (middle 90 % of rows: 4.00× to 4.00×), first token 2.00× faster in sum, estimated in 4",  # noqa: RUF001
        "MediaError <clip>: cut off after <n> s",
    ):
        assert said in " ".join(ran.out.split()), said  # a long folder's name breaks the line elsewhere
    row = next(line for line in ran.out.splitlines() if line.startswith("reading the clip"))
    assert row.split()[3:] == ["500", "ms", "770", "ms", "20.0", "%", "████"]
    assert "%" not in next(line for line in ran.out.splitlines() if line.startswith("per output token"))
    layers = [line for line in ran.out.splitlines() if line.startswith(("before the LLM", "in layer"))]
    assert [line.split()[:3] for line in layers[:4]] == [
        ["before", "the", "LLM"], ["in", "layer", "2"], ["in", "layer", "3"], ["in", "layer", "4"],
    ]  # fmt: skip


def test_how_many_were_right_is_told(run: Run, tmp_path: Path) -> None:
    rows = [ok_row(i, right=i < 3) for i in range(4)]
    said = " ".join(run("report", write(tmp_path / "results.jsonl", *rows)).out.split())
    assert "3 of 4 right, 75.0 % (95 % interval" in said


def test_cut_answers_smaller_budgets_and_few_clips_are_told(run: Run, tmp_path: Path) -> None:
    retry = {"reason": "out of memory", "max_frames": 8, "max_pixels": 100}
    later = ok_row(3, right=True)
    later["latency_ms"] |= {"decode_clip": None, "encode_video": None, "encode_audio": None}
    rows = [ok_row(0, right=True, finish_reason="length"), ok_row(1, right=False, retry=retry), ok_row(2), later, later]
    said = " ".join(run("report", write(tmp_path / "results.jsonl", *rows)).out.split())
    for told in (
        "1 cut at the limit",
        "1 with a smaller budget",
        "3 of 4 right",
        "with 3 clips, intervals are too narrow",
        "FLOPs count the encoders also in 2 rows for whose clip they had run before",
    ):
        assert told in said


def test_of_many_broken_lines_the_first_are_named(run: Run, tmp_path: Path) -> None:
    out = run("report", write(tmp_path / "results.jsonl", ok_row(), *["broken\n"] * 25)).out
    assert f"25 lines broken left out: lines {', '.join(map(str, range(2, 22)))} and 5 more" in " ".join(out.split())


def test_two_examples_of_a_failure_are_shown(run: Run, tmp_path: Path) -> None:
    rows = [error_row(number) for number in range(4)]
    out = run("report", write(tmp_path / "results.jsonl", *rows)).out
    assert re.findall(r"clips/\d\.mp4 \(line \d\)", out) == ["clips/0.mp4 (line 1)", "clips/1.mp4 (line 2)"]


def test_rows_that_lack_a_figure_or_have_none_that_json_knows(run: Run, tmp_path: Path) -> None:
    row = ok_row(0, flops={"run": 210.0})
    row["method"]["alpha"], row["model"]["revision"] = float("inf"), 10**200
    path = write(tmp_path / "results.jsonl", json.dumps(row) + "\n")
    assert run("report", path).code == 0
    ran = run("report", path, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["file"]["groups"][0]["method"]["alpha"] == "inf"


def test_a_file_to_compare_with_that_is_not_there(run: Run, results: Path, tmp_path: Path) -> None:
    ran = run("report", results, "--against", tmp_path / "gone.jsonl")
    assert ran.code == 1
    assert "gone.jsonl: no such file" in ran.line


def test_a_device_is_not_read_without_an_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seats.report.report", lambda *_, **__: pytest.fail("read"))
    ran = run("report", "/dev/zero")
    assert ran.code == 1
    assert "/dev/zero is a device: give the results file of a batch" in ran.line


def test_results_come_through_a_pipe_too(shell: Run, results: Path) -> None:
    assert "5 answered" in shell("report", "/dev/stdin", input=results.read_text()).out


def test_a_page_into_a_pipe(shell: Run, results: Path) -> None:
    ran = shell("report", results, "--html", "/dev/stdout", "--quiet")
    assert ran.code == 0, ran.err
    assert ran.out.count("<!doctype html>") == 1


def test_a_page_into_a_pipe_that_nobody_reads_any_more(results: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "seats_cli", "report", str(results), "--html", f"/dev/fd/{theirs}"]
    ran = subprocess.run(command, pass_fds=[theirs], capture_output=True, text=True, check=False)
    os.close(theirs)
    assert (ran.returncode, ran.stderr) == (141, "")


def test_the_tables_hold_what_the_rows_add_up_to(run: Run, results: Path) -> None:
    lines = [" ".join(line.split()) for line in run("report", results).out.splitlines()]
    for said in (
        "selection 0 40 0 → 10",
        "LLM prefill 1.60 k 160 10.0× 400 → 40",  # noqa: RUF001
        "total 2.24 k 840 2.67× 560 → 210",  # noqa: RUF001
        "layer average, median 3.8 % 30.0 %",
        "4.00 s encoding pictures clips/3.mp4 4",
        "2.00 s encoding pictures clips/5.mp4 7",
        "1 100.0 % MediaError <clip>: cut off after <n> s",
        "clips/4.mp4 (line 5)",
    ):
        assert said in lines
    assert sum(line.startswith("selection ") and "→" in line for line in lines) == 1  # not of full tokens


def test_what_rows_lack_is_left_out_and_what_they_repeat_is_said(run: Run, tmp_path: Path) -> None:
    row = ok_row()
    row["tokens"]["audio"] = {"full": 0, "pre_llm": 0, "per_layer": [0] * 4}
    row["retention"]["audio"] = row["latency_ms"]["total"] = None
    out = run("report", write(tmp_path / "r.jsonl", row, row)).out
    lines = {line[:16].strip(): line.split() for line in out.splitlines()}
    assert lines["reading the clip"] == ["reading", "the", "clip", "200", "ms", "200", "ms"]
    assert lines["before the LLM"][3:6] == ["40", "10.0", "%"]
    assert "1 row with the id, question and settings of an earlier row" in out
    assert "slowest" not in out


@pytest.mark.parametrize("second", ["Which shape is red?", "Which shape is blue?"])
def test_one_question_of_all_the_slowest_is_said_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = [ok_row(1), ok_row(2, question=second)]
    out = run("report", write(tmp_path / "results.jsonl", *rows)).out
    assert out.count("Which shape is red?") == 1
    assert ("question: Which shape is red?" in out) == (second == "Which shape is red?")
    assert second in out


def test_json_is_one_document(run: Run, results: Path) -> None:
    ran = run("report", results, "--json", "--slowest", 2)
    assert ran.code == 0
    said = json.loads(ran.out)
    assert said["schema"] == "seats.report/1"
    assert (said["file"]["ok"], said["file"]["failed"], said["file"]["unread"]["broken_lines"]) == (5, 1, [6])
    first, second = said["file"]["groups"]
    assert (first["rows"], first["method"]["name"], second["method"]["name"]) == (4, "seats", "full")
    assert [slow["line"] for slow in first["slowest"]] == [4, 3]
    assert said["against"] is None


def test_page(run: Run, results: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    ran = run("report", results, "--html", target, "--json")
    assert ran.code == 0
    assert ran.err == f"page: {target}\n"
    assert json.loads(ran.out)
    assert "<svg" in target.read_text()


def test_page_does_not_replace_the_results(run: Run, results: Path) -> None:
    before = results.read_bytes()
    ran = run("report", results, "--html", results)
    assert ran.code == 2
    assert "does not say that seats wrote it; give another name" in ran.line
    assert results.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("page.txt", "page.txt: a page's name must end in .html or .htm"),
        (".", "is a folder"),
        ("gone/page.html", "its folder does not exist"),
    ],
)
def test_a_page_that_cannot_be_is_said_before_the_results_are_read(
    run: Run, tmp_path: Path, name: str, says: str
) -> None:
    ran = run("report", tmp_path / "gone.jsonl", "--html", tmp_path / name)
    assert ran.code == 2
    assert says in ran.line
    assert not (tmp_path / "page.txt").exists()


def test_comparison(run: Run, results: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "full.jsonl", *(full_row(i, scale=3 * (1 + i), answer="ring") for i in range(5)))
    ran = run("report", results, "--against", other)
    assert ran.code == 0
    assert "1 failed here and were answered there; 0 the other way round" in ran.out
    assert "0 answered only here, 1 only there" in ran.out
    assert "4 questions about the same clips, paired by path" in ran.out
    assert "there    here  there / here  middle 90 % of pairs" in ran.out
    total = [line for line in ran.out.splitlines() if line.startswith("total")][-1]
    assert total.split() == ["total", "7.50", "s", "2.50", "s", "3.00×", "3.00×", "to", "3.00×"]  # noqa: RUF001
    assert "0 answers the same, 4 different" in ran.out
    assert "there  ring" in ran.out


def test_what_of_the_other_file_is_not_compared_or_cannot_be_read_is_said(run: Run, tmp_path: Path) -> None:
    here = write(tmp_path / "here.jsonl", ok_row(0))
    there = write(tmp_path / "there.jsonl", ok_row(0), full_row(0), "broken\n")
    out = " ".join(run("report", here, "--against", there).out.split())
    assert re.search(r"against \S+there\.jsonl · 2 answered 1 line broken left out: line 3", out)
    assert re.search(r"not compared, [^:]+: seats-nano · float32 · cpu · full", out)


@pytest.mark.parametrize("differing", [5, 7])
def test_five_answers_that_differ_are_shown(run: Run, tmp_path: Path, differing: int) -> None:
    here = write(tmp_path / "here.jsonl", *(ok_row(i) for i in range(differing)))
    there = write(tmp_path / "there.jsonl", *(full_row(i, answer="ring") for i in range(differing)))
    out = run("report", here, "--against", there).out
    assert out.count("there  ring") == 5
    assert re.findall("… and .*", out) == ["… and 2 more; --json and --html list 7"] * (differing == 7)
    assert "failed here" not in out
    shown = [line for line in out.splitlines() if "clips/" in line or line.startswith(("  here", "  there"))]
    assert max(map(len, shown)) < 60  # nothing is filled up to a width that no terminal has


def test_untrusted_text_is_only_text(run: Run, tmp_path: Path) -> None:
    row = ok_row(0, question=EVIL, answer=EVIL, notes=[EVIL])
    row["clip"]["path"] = row["model"]["name"] = EVIL
    path = write(tmp_path / "r.jsonl", row, error_row(1, f"what {EVIL}", EVIL, clip=EVIL))
    ran = run("report", path, "--against", path)
    assert ran.code == 0, ran.err
    assert "[bold]<script>" in ran.out
    assert not set("\x1b\udcff\u202e") & set(ran.out)
    assert run("report", path, "--json").code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such file"), ("", "is empty"), ('{"schema": "seats.eval/1"}\n', "is of schema 'seats.eval/1'")],
)
def test_files_that_cannot_be_reported(run: Run, tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "r.jsonl"
    if content is not None:
        path.write_text(content)
    ran = run("report", path)
    assert ran.code == 1
    assert ran.out == ""
    assert said in ran.line


def test_answers_of_ask_can_be_reported(run: Run, tiny: Path, clips: Path, tmp_path: Path) -> None:
    """The real thing: what `ask --json` writes holds every field, and its steps add up."""
    lines = [
        run("ask", clips / clip, "what ?", "--model", tiny, "--max-new-tokens", "3", "--json").out
        for clip in ("both.mp4", "sound.m4a")
    ]
    ran = run("report", write(tmp_path / "r.jsonl", *lines), "--json")
    assert ran.code == 0, ran.err
    (group,) = json.loads(ran.out)["file"]["groups"]
    assert group["rows"] == 2
    assert json.loads(ran.out)["file"]["missing"] == []
    assert group["latency"]["encode_video"]["ms"]["count"] == 1
    parts = [step["share"] for name, step in group["latency"].items() if name in _PARTS]
    assert sum(parts) == pytest.approx(1, abs=0.01)
    assert group["flops"]["parts"]["llm_prefill"]["reduction"] > 1


_PARTS = {"decode_clip", "prepare", "encode_video", "encode_audio", "selection", "prefill", "other", "generation"}


@pytest.mark.parametrize("width", [60, 40])
def test_a_narrow_terminal_breaks_no_word(run: Run, results: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    words = set(run("report", results).out.split())
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.chdir(results.parent)
    ran = run("report", results.name)
    assert max(map(len, ran.out.splitlines())) <= width
    assert set(ran.out.split()) - words <= {results.name}
    before = next(line for line in ran.out.splitlines() if line.startswith("before"))
    assert before.count("%") == 2
