"""How a batch shows where it is, on terminals of any width and without one."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from seats.batch.jobs import Asked, Finished, Job, Made, Planned, Started
from seats_cli import batch_progress
from seats_cli.batch_progress import Progress
from seats_cli.options import OutputOptions
from seats_cli.output import Output


def shown(width: int | None, **options: bool) -> tuple[Progress, io.StringIO]:
    """A progress display on a terminal of so many columns, None for no terminal, and what it writes."""
    written = io.StringIO()
    output = Output(OutputOptions(**options))
    output.__dict__["console"] = Console(
        file=written, force_terminal=width is not None, width=width, color_system=None, highlight=False
    )
    return Progress(output), written


def job(name: str) -> Job:
    return Job(f"clips/{name}", (Asked(name, "what ?"),))


def made(job: Job, *, ok: bool) -> Made:
    row = {"status": "ok"} if ok else {"status": "error", "error": {"message": f"{job.clip}: is bad"}}
    return Made(job, job.asked[0], row)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize(
    "name", ["a.mp4", "a-name-" * 20 + ".mp4", "\u30af\u30ea\u30c3\u30d7" * 20, "[b]\x1b[31m\n.mp4"]
)
def test_the_numbers_are_seen_whatever_the_name(width: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    progress, written = shown(width)
    now = 100.0
    monkeypatch.setattr(batch_progress.time, "monotonic", lambda: now)
    with progress:
        progress.tell(Planned(12_000, 12_000, 0, 0))
        for n in range(50):
            progress.tell(Started(job(f"{n}.mp4")))
            now += 2
            progress.tell(made(job(f"{n}.mp4"), ok=n % 10 > 0))
            progress.tell(Finished(job(f"{n}.mp4"), complete=True))
        progress.tell(Started(job(name)))
        written.truncate(0)
        progress._bar.refresh()
        line = re.sub(r"\x1b\[[?\d]*[A-Za-z]", "", written.getvalue()).replace("\0", "").strip("\r\n").split("\r")[-1]
    assert "50/12000" in line
    assert "5 failed" in line
    if width > 40:
        assert "30.0 clips/min, 6 h 38 min left" in line
    assert cell_len(line.rstrip()) <= width
    assert "\n" not in line.strip("\n")
    assert "\x1b[31m" not in written.getvalue()
    if width > 60:
        assert ("; " + name.split("\x1b")[0][:5]) in line
        assert line.index("50/12000") >= 12  # the bar has its room


def test_a_plain_log_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(batch_progress.time, "monotonic", lambda: now)
    progress, written = shown(None)
    with progress:
        progress.tell(Planned(100, 90, 9, 1))
        for n in range(30):
            progress.tell(Started(job(f"{n}.mp4")))
            now += 1
            progress.tell(made(job(f"{n}.mp4"), ok=n != 3))
            progress.tell(Finished(job(f"{n}.mp4"), complete=True))
    lines = written.getvalue().splitlines()
    assert (
        lines[0]
        == "10 questions have a row from before (1 of them failed; --retry-failed asks them again); 90 clips to do"
    )
    assert "failed: clips/3.mp4: is bad" in lines
    log = [line for line in lines if " of 90 clips; " in line]
    assert len(log) == 3  # every ten seconds
    assert re.fullmatch(r"\d+ of 90 clips; 1 failed, 5\d\.\d clips/min, (1 min|\d+ s) left; \d+\.mp4", log[-1])
    assert "\x1b" not in written.getvalue()


def test_a_clip_counts_when_it_is_done_and_as_failed_only_where_it_did() -> None:
    progress, _ = shown(None)
    bad, good, cut = job("bad.mp4"), job("good.mp4"), job("cut.mp4")
    progress.tell(Planned(3, 3, 0, 0))
    for event in (Started(bad), made(bad, ok=False), made(good, ok=True), Finished(good, complete=True)):
        progress.tell(event)
    assert (progress._finished, progress._numbers().split(",")[0]) == (1, "0 failed")
    for event in (Finished(bad, complete=True), Finished(cut, complete=False)):
        progress.tell(event)
    assert (progress._finished, progress._numbers().split(",")[0]) == (2, "1 failed")


def test_a_terminal_that_was_closed_does_not_end_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    progress, _ = shown(80)

    def closed() -> None:
        raise OSError("Input/output error")

    with progress:
        progress.tell(Planned(1, 1, 0, 0))
        stop = progress._bar.stop
        monkeypatch.setattr(progress._bar, "stop", closed)
    stop()


def test_quiet_shows_no_bar_on_a_terminal() -> None:
    progress, written = shown(80, quiet=True)
    with progress:
        progress.tell(Planned(1, 1, 0, 0))
        progress.tell(Started(job("a.mp4")))
    assert written.getvalue() == ""


def test_verbose_names_each_clip_that_is_done() -> None:
    for verbose in (True, False):
        progress, written = shown(None, verbose=verbose)
        progress.tell(Planned(1, 1, 0, 0))
        progress.tell(Finished(job("a.mp4"), complete=True))
        assert ("done: clips/a.mp4\n" in written.getvalue()) == verbose


def test_many_failures_are_cut_short_and_quiet_says_nothing() -> None:
    for options, count in (({}, 21), ({"verbose": True}, 30), ({"quiet": True}, 0)):
        progress, written = shown(None, **options)
        progress.tell(Planned(30, 30, 0, 0))
        for n in range(30):
            progress.tell(made(job(f"{n}.mp4"), ok=False))
        assert written.getvalue().count("failed: ") == count
