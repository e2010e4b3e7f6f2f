"""The results file: repaired after a crash, written by one, never half."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from seats.batch.results import Entry, ResultsFile
from seats.batch.rows import from_line, to_line
from seats.errors import SeatsError, SettingsError
from tests.batch.made import make_row

ROWS = [make_row(f"{n}.mp4", id=str(n)) for n in range(3)]


def write(path: Path, rows: list[Any]) -> Path:
    path.write_bytes(b"".join(map(to_line, rows)))
    return path


def read(path: Path) -> list[Any]:
    return [from_line(line) for line in path.read_bytes().splitlines(keepends=True)]


def test_rows_are_there_as_soon_as_appended(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder" / "r.jsonl"
    with ResultsFile(out) as results:
        for count, row in enumerate(ROWS, start=1):
            results.append(row)
            assert read(out) == ROWS[:count]
    with ResultsFile(out) as results:
        assert [entry.id for entry in results.entries()] == ["0", "1", "2"]
        assert not results.remarks


def test_what_resuming_must_know_of_a_row(tmp_path: Path) -> None:
    row = make_row("a.mp4", id="7", question="who ?", expected="a ring", settings="digest")
    row["content"] = {"hash": "sha256:0", "bytes": 9, "stat": "1:9:3:4"}
    with ResultsFile(write(tmp_path / "r.jsonl", [make_row("b.mp4", ok=False), row])) as results:
        failed, entry = results.entries()
    assert entry == Entry(1, "a.mp4", "who ?", "digest", "7", "a ring", "sha256:0", 9, "1:9:3:4", True)
    assert failed == Entry(0, "b.mp4", "what ?", "s", "1", None, None, None, None, False)


def test_a_file_that_nothing_was_written_to_goes_again_if_it_was_made_here(tmp_path: Path) -> None:
    out, older = tmp_path / "r.jsonl", tmp_path / "older.jsonl"
    older.touch()
    for file in (out, older):
        with pytest.raises(KeyboardInterrupt), ResultsFile(file):
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [older]


def test_without_locks_an_empty_file_stays_as_another_may_be_writing_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with ResultsFile(tmp_path / "r.jsonl"):
        pass
    assert (tmp_path / "r.jsonl").exists()


def test_a_file_cut_anywhere_is_repaired(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.jsonl", ROWS).read_bytes()
    two = len(b"".join(map(to_line, ROWS[:2])))
    for end in [*range(two, len(whole) + 1, 7), len(whole) - 1, len(whole)]:
        out = tmp_path / "r.jsonl"
        out.write_bytes(whole[:end])
        with ResultsFile(out) as results:
            results.append(ROWS[0])
        kept = ROWS if end >= len(whole) - 1 else ROWS[:2]  # a row that lacks only its line feed is whole
        assert read(out) == [*kept, ROWS[0]], end


def test_a_file_that_is_replaced_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another batch ends just now: what it put there is what is written to."""
    out, new = write(tmp_path / "r.jsonl", ROWS[:1]), write(tmp_path / "new.jsonl", ROWS)
    lock = fcntl.flock

    def replaced(handle: int, how: int) -> None:
        if new.exists():
            os.replace(new, out)
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", replaced)
    with ResultsFile(out) as results:
        results.append(ROWS[0])
    assert read(out) == [*ROWS, ROWS[0]]


@pytest.mark.parametrize(
    ("how", "says"), [("removed", "removed .* lost: run"), ("moved", "moved: put it back"), ("replaced", "replaced")]
)
def test_a_file_that_goes_while_it_is_written_to_is_told(tmp_path: Path, how: str, says: str) -> None:
    out, other = tmp_path / "folder" / "r.jsonl", tmp_path / "other.jsonl"
    link = tmp_path / "r.jsonl"
    link.symlink_to(out)
    out.parent.mkdir()
    for first in (True, False):  # it is gone before the first row, or after it
        with ResultsFile(link) as results:
            if not first:
                results.append(ROWS[0])
            if how == "removed":
                shutil.rmtree(out.parent)
            elif how == "moved":
                os.replace(out, other)
            else:
                other.write_text("a letter")
                os.replace(other, out)
            with pytest.raises(SeatsError, match=rf"^{link}: while .*{says}.* the batch again$"):
                results.append(ROWS[1])
        assert how != "replaced" or out.read_text() == "a letter"
        out.unlink(missing_ok=True)
        out.parent.mkdir(exist_ok=True)


def test_what_took_the_place_of_a_file_that_was_made_here_is_not_taken_away(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    with ResultsFile(out):
        write(tmp_path / "new.jsonl", ROWS)
        os.replace(tmp_path / "new.jsonl", out)
    assert read(out) == ROWS


def test_zeros_of_a_power_failure_are_cut(tmp_path: Path) -> None:
    out = write(tmp_path / "r.jsonl", ROWS)
    out.write_bytes(out.read_bytes() + b"\0" * 100_000)
    with ResultsFile(out):
        pass
    assert read(out) == ROWS


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    asked = '{"clip": "a.mp4", "question": "what ?"}'
    for text in (
        "a list of\nclips, no end",
        '{"some": "json"}\n',
        f"{asked}\n{asked}",  # a file of questions, given by mistake
        asked,
        '{"id": "1", "clip": "a.mp4", "question": "what ?"}',
        asked[:20],
    ):
        out = tmp_path / "r.jsonl"
        out.write_text(text)
        with pytest.raises(SettingsError, match="not a results file"), ResultsFile(out) as results:
            list(results.entries())
        assert out.read_text() == text
    os.mkfifo(tmp_path / "pipe.jsonl")
    for path in (tmp_path / "pipe.jsonl", tmp_path, Path("/dev/null")):
        with pytest.raises(SettingsError):
            ResultsFile(path)


def test_damaged_lines_inside_are_kept_and_said(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    out.write_bytes(to_line(ROWS[0]) + b'{"half\n' + to_line(ROWS[1]))
    with ResultsFile(out) as results:
        assert [(entry.id, entry.line) for entry in results.entries()] == [("0", 0), ("1", 2)]
        assert "1 line is not a row of a batch and is left as it is" in results.remarks[0]
        results.rewrite(lambda line, row: None if line == 2 else row)
    assert out.read_bytes() == to_line(ROWS[0]) + b'{"half\n'


def test_empty_lines_are_no_damage(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    out.write_bytes(to_line(ROWS[0]) + b"\n \n" + to_line(ROWS[1]))
    with ResultsFile(out) as results:
        assert [(entry.id, entry.line) for entry in results.entries()] == [("0", 0), ("1", 3)]
        assert not results.remarks


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "r.jsonl"
    with ResultsFile(out) as first:
        with pytest.raises(SeatsError, match="another batch"):
            ResultsFile(out)
        first.append(ROWS[0])
        first.rewrite(lambda _, row: row)
        with pytest.raises(SeatsError, match="another batch"):
            ResultsFile(out)
        first.append(ROWS[1])
    with ResultsFile(out) as again:
        again.append(ROWS[2])
    assert read(out) == ROWS


def test_rewriting(tmp_path: Path) -> None:
    out = write(tmp_path / "r.jsonl", ROWS)
    (tmp_path / ".r.jsonl.new").write_text("left by a run that was killed")
    with ResultsFile(out) as results:
        results.rewrite(lambda line, row: None if line == 0 else {**row, "id": "new"} if line == 1 else row)
        results.append(ROWS[0])
    assert [row["id"] for row in read(out)] == ["new", "2", "0"]
    assert [path.name for path in tmp_path.iterdir()] == ["r.jsonl"]


def test_a_rewrite_follows_no_link_that_is_in_its_way(tmp_path: Path) -> None:
    out = write(tmp_path / "r.jsonl", ROWS)
    (tmp_path / "victim").write_text("theirs")
    (tmp_path / ".r.jsonl.new").symlink_to("victim")
    with ResultsFile(out) as results:
        results.rewrite(lambda _, row: {**row, "id": "new"})
    assert (tmp_path / "victim").read_text() == "theirs"
    assert {row["id"] for row in read(out)} == {"new"}
    assert not out.is_symlink()


def test_a_rewrite_that_breaks_off_leaves_the_old_rows_and_nothing_beside(tmp_path: Path) -> None:
    out = write(tmp_path / "r.jsonl", ROWS)

    def change(line: int, row: Any) -> Any:
        if line == 1:
            raise KeyboardInterrupt
        return None

    with ResultsFile(out) as results:
        with pytest.raises(KeyboardInterrupt):
            results.rewrite(change)
        results.append(ROWS[0])
    assert read(out) == [*ROWS, ROWS[0]]
    assert list(tmp_path.iterdir()) == [out]


def test_rewriting_keeps_who_may_read_and_where_a_link_leads(tmp_path: Path) -> None:
    real = write(tmp_path / "elsewhere.jsonl", ROWS)
    real.chmod(0o600)
    link = tmp_path / "r.jsonl"
    link.symlink_to(real.name)
    with ResultsFile(link) as results:
        results.rewrite(lambda line, row: row if line else None)
        results.append(ROWS[0])
    assert link.is_symlink()
    assert read(real) == [*ROWS[1:], ROWS[0]]
    assert real.stat().st_mode & 0o777 == 0o600


def test_the_longest_name(tmp_path: Path) -> None:
    out = write(tmp_path / ("\u20ac" * 83 + ".jsonl"), ROWS)  # 255 bytes
    with ResultsFile(out) as results:
        results.rewrite(lambda line, row: row if line else None)
    assert read(out) == ROWS[1:]


def test_a_full_disk_leaves_whole_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = write(tmp_path / "r.jsonl", ROWS[:1])
    write_really = os.write
    with ResultsFile(out) as results:
        monkeypatch.setattr("seats.batch.results.os.write", lambda handle, data: write_really(handle, data[:10]))
        with pytest.raises(SeatsError, match="make room"):
            results.append(ROWS[1])

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("seats.batch.results.os.write", full)
        with pytest.raises(SeatsError, match="No space left"):
            results.append(ROWS[1])
    assert read(out) == ROWS[:1]
