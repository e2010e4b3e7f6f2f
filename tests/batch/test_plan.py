"""Resuming: which rows stand, which change, which go, and what is asked again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seats.batch.jobs import Asked, Job
from seats.batch.plan import Plan, make_plan
from seats.batch.results import ResultsFile
from seats.batch.rows import Row, to_line
from seats.media import content
from tests.batch.made import make_row


class Folder:
    """Clips of a few bytes, a results file, and one question per clip with the clip's name as id."""

    def __init__(self, path: Path) -> None:
        self.path, self.out = path, path / "r.jsonl"

    def clip(self, name: str, content: str) -> str:
        (self.path / name).write_text(content)
        return str(self.path / name)

    def job(self, name: str, *asked: Asked) -> Job:
        return Job(str(self.path / name), asked or (Asked(name, "what ?"),))

    def row(self, name: str, **more: Any) -> Row:
        return make_row(self.path / name, **{"id": name, **more})

    def write(self, *rows: Row) -> None:
        self.out.write_bytes(b"".join(map(to_line, rows)))

    def plan(self, *jobs: Job, retry_failed: bool = False) -> tuple[Plan, list[Row]]:
        """The plan and the rows that it leaves."""
        with ResultsFile(self.out) as results:
            plan = make_plan(jobs, results.entries(), "s", retry_failed=retry_failed)
            if plan.rewrites:
                results.rewrite(plan.change)
            lines = self.out.read_bytes().splitlines()
        return plan, [json.loads(line) for line in lines]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    for name in "abc":
        made.clip(f"{name}.mp4", f"content of {name}")
    return made


def test_nothing_done_yet(folder: Folder) -> None:
    jobs = [folder.job("a.mp4"), folder.job("b.mp4")]
    plan, rows = folder.plan(*jobs)
    assert (plan.pending, plan.done, plan.failed, rows) == (jobs, 0, 0, [])
    assert make_plan(iter(jobs), iter([]), "s", retry_failed=False).pending == jobs


def test_done_rows_stand(folder: Folder) -> None:
    folder.write(folder.row("a.mp4"), folder.row("b.mp4", ok=False))
    before = folder.out.read_bytes()
    plan, _ = folder.plan(folder.job("a.mp4"), folder.job("b.mp4"), folder.job("c.mp4"))
    assert (plan.pending, plan.done, plan.failed) == ([folder.job("c.mp4")], 1, 1)
    assert folder.out.read_bytes() == before


def test_failures_are_asked_again_only_when_told(folder: Folder) -> None:
    folder.write(folder.row("a.mp4"), folder.row("b.mp4", ok=False))
    plan, rows = folder.plan(folder.job("a.mp4"), folder.job("b.mp4"), retry_failed=True)
    assert plan.pending == [folder.job("b.mp4")]
    assert [row["id"] for row in rows] == ["a.mp4"]


@pytest.mark.parametrize("noted", [True, False])
def test_a_changed_clip_is_asked_again_and_its_row_goes(folder: Folder, noted: bool) -> None:
    rows = [folder.row("a.mp4"), folder.row("b.mp4")]
    for row in rows:
        row["content"]["stat"] = content.stat_of(row["clip"]["path"]) if noted else None
    folder.write(*rows)
    folder.clip("a.mp4", "CONTENT of a")
    plan, rows = folder.plan(folder.job("a.mp4"), folder.job("b.mp4"))
    assert plan.pending == [folder.job("a.mp4")]
    assert [row["id"] for row in rows] == ["b.mp4"]


def test_a_renamed_clip_keeps_its_row_under_its_new_name(folder: Folder) -> None:
    folder.write(folder.row("a.mp4"), folder.row("b.mp4", ok=False))
    (folder.path / "a.mp4").rename(folder.path / "z.mp4")
    (folder.path / "b.mp4").rename(folder.path / "y.mp4")
    plan, rows = folder.plan(folder.job("y.mp4"), folder.job("z.mp4"))
    assert (plan.pending, plan.done, plan.failed) == ([], 1, 1)
    assert {(row["id"], row["status"]) for row in rows} == {("z.mp4", "ok"), ("y.mp4", "error")}
    assert rows[0]["clip"]["path"] == str(folder.path / "z.mp4")
    assert rows[1]["clip"] == str(folder.path / "y.mp4")


def test_clips_that_swapped_names(folder: Folder) -> None:
    folder.write(folder.row("a.mp4"), folder.row("b.mp4"))
    (folder.path / "a.mp4").rename(folder.path / "t")
    (folder.path / "b.mp4").rename(folder.path / "a.mp4")
    (folder.path / "t").rename(folder.path / "b.mp4")
    plan, rows = folder.plan(folder.job("a.mp4"), folder.job("b.mp4"))
    assert not plan.pending
    assert [row["id"] for row in rows] == ["b.mp4", "a.mp4"]


def test_a_copy_has_a_row_of_its_own(folder: Folder) -> None:
    folder.write(folder.row("a.mp4"))
    folder.clip("copy.mp4", "content of a")
    plan, rows = folder.plan(folder.job("a.mp4"), folder.job("copy.mp4"))
    assert plan.pending == [folder.job("copy.mp4")]
    assert [row["id"] for row in rows] == ["a.mp4"]


def test_a_copy_leaves_the_row_of_a_clip_that_is_still_there(folder: Folder) -> None:
    """Also where this batch does not ask about that clip."""
    folder.write(folder.row("a.mp4"))
    before = folder.out.read_bytes()
    folder.clip("copy.mp4", "content of a")
    plan, _ = folder.plan(folder.job("copy.mp4"))
    assert plan.pending == [folder.job("copy.mp4")]
    assert folder.out.read_bytes() == before


def test_a_path_written_in_another_way_is_the_same_clip(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.path)
    jobs = [Job(f"{name}.mp4", (Asked(f"{name}.mp4", "what ?"),)) for name in ("a", "b", "gone")]
    folder.write(
        make_row("a.mp4", id="a.mp4"),
        make_row("b.mp4", id="b.mp4", ok=False),
        make_row("gone.mp4", id="gone.mp4", ok=False),
    )
    plan, rows = folder.plan(*(folder.job(f"{name}.mp4") for name in ("a", "b", "gone")))
    assert (plan.pending, plan.done, plan.failed) == ([], 1, 2)
    assert [row["clip"]["path"] if row["status"] == "ok" else row["clip"] for row in rows] == [
        str(folder.path / f"{name}.mp4") for name in ("a", "b", "gone")
    ]
    again, rows = folder.plan(*jobs)
    assert (again.pending, again.done, len(rows)) == ([], 1, 3)


def test_a_clip_listed_in_two_ways_has_two_rows_each_time(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.path)
    folder.write(folder.row("a.mp4"), make_row("a.mp4", id="a.mp4"))
    plan, rows = folder.plan(folder.job("a.mp4"), Job("a.mp4", (Asked("a.mp4", "what ?"),)))
    assert (plan.pending, plan.done, len(rows), plan.drop) == ([], 2, 2, set())


def test_an_unreadable_clip_has_one_row_from_wherever_it_is_asked(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.path)
    (folder.path / "in").mkdir()
    (folder.path / "in" / "loop.mp4").symlink_to("loop.mp4")
    folder.write(make_row("in/loop.mp4", id="loop.mp4", ok=False), folder.row("x.mp4", id="x.mp4", ok=False))
    monkeypatch.chdir(folder.path / "in")
    job = Job("loop.mp4", (Asked("loop.mp4", "what ?"),))
    plan, rows = folder.plan(job)
    assert plan.pending == [job]
    assert [row["id"] for row in rows] == ["x.mp4"]


def test_other_settings_and_questions_are_left_alone(folder: Folder) -> None:
    kept = [folder.row("a.mp4", settings="other"), folder.row("a.mp4", question="who ?")]
    folder.write(*kept)
    folder.clip("a.mp4", "CONTENT of a")
    plan, rows = folder.plan(folder.job("a.mp4"), retry_failed=True)
    assert plan.pending == [folder.job("a.mp4")]
    assert rows == kept


def test_several_questions_about_a_clip(folder: Folder) -> None:
    first, second, third = Asked("1", "what ?"), Asked("2", "who ?", "me"), Asked("3", "what ?")
    folder.write(folder.row("a.mp4", id="1"), folder.row("a.mp4", id="0", question="who ?"))
    plan, rows = folder.plan(folder.job("a.mp4", first, second, third))
    assert plan.pending == [folder.job("a.mp4", third)]
    assert [(row["id"], row.get("expected"), row.get("right")) for row in rows] == [
        ("1", None, None),
        ("2", "me", False),
    ]


def test_of_a_question_asked_twice_each_id_keeps_its_row(folder: Folder) -> None:
    folder.write(folder.row("a.mp4", id="1"), folder.row("a.mp4", id="2"))
    before = folder.out.read_bytes()
    plan, _ = folder.plan(folder.job("a.mp4", Asked("2", "what ?"), Asked("1", "what ?")))
    assert (plan.pending, plan.done) == ([], 2)
    assert folder.out.read_bytes() == before


def test_an_unreadable_clip_stays_failed_until_it_can_be_read(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(folder.row("gone.mp4", ok=False))
    job = folder.job("gone.mp4")
    assert folder.plan(job)[0].failed == 1
    folder.clip("gone.mp4", "here it is")
    # not read to its end for that: it may be one of thousands on a disk that was away
    monkeypatch.setattr("seats.batch.plan.content_of", lambda path: pytest.fail(f"{path} was read"))
    plan, rows = folder.plan(job)
    assert (plan.pending, rows) == ([job], [])


def test_an_answer_stands_when_its_clip_cannot_be_read_now(folder: Folder) -> None:
    folder.write(folder.row("a.mp4"))
    (folder.path / "a.mp4").unlink()
    plan, rows = folder.plan(folder.job("a.mp4"))
    assert (plan.done, plan.pending, len(rows)) == (1, [], 1)


def test_contents_are_read_only_where_they_must(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [folder.row(f"{name}.mp4") for name in "abc"]
    for row in rows:  # as if the clips had been old when they were asked about
        row["content"]["stat"] = content.stat_of(row["clip"]["path"])
    folder.write(*rows)
    read: list[str] = []
    content_of = content.content_of
    monkeypatch.setattr("seats.batch.plan.content_of", lambda path: read.append(path) or content_of(path))
    jobs = [folder.job(f"{name}.mp4") for name in "abc"]
    assert folder.plan(*jobs)[0].done == 3
    assert read == []
    folder.clip("new.mp4", "another length")
    (folder.path / "b.mp4").rename(folder.path / "d.mp4")
    plan, _ = folder.plan(jobs[0], jobs[2], folder.job("d.mp4"), folder.job("new.mp4"))
    assert read == [str(folder.path / "d.mp4")]
    assert plan.pending == [folder.job("new.mp4")]


def test_what_was_read_is_noted_for_the_next_time(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(folder.row("a.mp4"))
    later = content.time.time() + 10
    monkeypatch.setattr("seats.media.content.time.time", lambda: later)
    _, rows = folder.plan(folder.job("a.mp4"))
    assert rows[0]["content"]["stat"] == content.stat_of(rows[0]["clip"]["path"])


def test_a_right_answer_that_was_changed_is_noted_in_the_row(folder: Folder) -> None:
    folder.write(folder.row("a.mp4", expected="a ring"), folder.row("b.mp4", expected="a ring", ok=False))
    plan, rows = folder.plan(*(folder.job(name, Asked(name, "what ?", "a disc")) for name in ("a.mp4", "b.mp4")))
    assert (plan.pending, plan.done, plan.failed) == ([], 1, 1)
    assert [(row["expected"], row.get("right")) for row in rows] == [("a disc", False), ("a disc", None)]


def test_answers_about_two_contents_stand_when_the_clip_cannot_be_read_now(folder: Folder) -> None:
    older = folder.row("a.mp4", id="1")
    folder.clip("a.mp4", "CONTENT of a")
    folder.write(older, folder.row("a.mp4", id="2", question="who ?"))
    (folder.path / "a.mp4").unlink()
    plan, rows = folder.plan(folder.job("a.mp4", Asked("1", "what ?"), Asked("2", "who ?")))
    assert (plan.done, plan.pending, len(rows)) == (2, [], 2)


def test_a_name_that_no_file_can_have_is_pending_like_any_other(folder: Folder) -> None:
    folder.write(folder.row("a.mp4"))
    (folder.path / "a.mp4").unlink()
    job = folder.job("a\0.mp4")
    assert folder.plan(job)[0].pending == [job]
