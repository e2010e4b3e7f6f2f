"""What is still to do: the jobs against the rows that a results file already has.

A row stands for a clip's content, a question and the settings. So a renamed clip keeps its row, which gets the new
name, as does one whose path is written in another way; a clip with new content under an old name is asked again, and
the old content's row goes; two copies of a clip have a row each. Contents are only read where the file system's word
is not enough (see `seats.media.content`).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from seats.batch.jobs import Asked, Job
from seats.batch.results import Entry
from seats.batch.rows import Row, with_asked, with_content, with_path
from seats.errors import MediaError
from seats.media.container import check_file
from seats.media.content import Content, content_of, stat_of


@dataclass(frozen=True)
class Adopted:
    """What a row that stays must say from now on."""

    path: str
    asked: Asked
    content: Content | None


@dataclass
class Plan:
    """pending: what to do. done, failed: questions that have a row already, answered or not. drop: lines that go.
    adopt: lines that change."""

    pending: list[Job] = field(default_factory=list)
    done: int = 0
    failed: int = 0
    drop: set[int] = field(default_factory=set)
    adopt: dict[int, Adopted] = field(default_factory=dict)

    @property
    def rewrites(self) -> bool:
        return bool(self.drop or self.adopt)

    def change(self, line: int, row: Row) -> Row | None:
        """For `ResultsFile.rewrite`."""
        if line in self.drop:
            return None
        new = self.adopt.get(line)
        if new is None:
            return row
        row = with_asked(with_path(row, new.path), new.asked)
        return row if new.content is None else with_content(row, new.content.as_json())


def make_plan(jobs: Iterable[Job], entries: Iterable[Entry], settings: str, *, retry_failed: bool) -> Plan:
    """Compare jobs with rows. settings: digest; rows of other settings are left alone. retry_failed: ask again what
    failed before."""
    by_path: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.settings == settings:
            by_path[entry.path].append(entry)
    jobs = list(jobs)
    spelled = _otherwise_spelled(jobs, by_path)
    matcher = _Matcher(retry_failed)
    free: list[Entry] = []
    for job in jobs:
        rows = by_path.pop(job.clip, []) + spelled.pop(os.path.abspath(job.clip), [])
        mine, others, content = _of_content(job.clip, rows)
        matcher.match(job, mine, content)
        matcher.outdated(job, others)
        free += others
    free += [entry for path, mine in spelled.items() for entry in mine if not os.path.lexists(path)]
    return matcher.finish(free)


def _otherwise_spelled(jobs: list[Job], by_path: dict[str, list[Entry]]) -> dict[str, list[Entry]]:
    """Rows of paths that no job has as they are written, by their absolute path; they are taken out of `by_path`."""
    wanted = {job.clip for job in jobs}
    spelled: dict[str, list[Entry]] = defaultdict(list)
    for path in [path for path in by_path if path not in wanted]:
        spelled[os.path.abspath(path)] += by_path.pop(path)
    return spelled


def _of_content(path: str, rows: list[Entry]) -> tuple[list[Entry], list[Entry], Content | None]:
    """A clip's rows that are of the content it has now, those that are not, and the content if it had to be read.

    All count where the clip cannot be read now: there is nothing better to be had.
    """
    if not rows:
        return [], [], None
    now = stat_of(path)
    hashed = next((row.content for row in rows if row.stat is not None and row.stat == now), None)
    content = None
    if hashed is None:
        try:
            if all(row.content is None for row in rows):
                check_file(Path(path))
                return [], rows, None  # could not be read then, and can now
            content = content_of(path)
            hashed = content.hash
        except MediaError:
            return rows, [], None
    return (
        [row for row in rows if row.content == hashed],
        [row for row in rows if row.content != hashed],
        content,
    )


class _Matcher:
    def __init__(self, retry_failed: bool) -> None:
        self._retry = retry_failed
        self._plan = Plan()

    def match(self, job: Job, mine: list[Entry], content: Content | None) -> None:
        """Give each of a job's questions its row among those of its content; what has none is pending."""
        left: dict[str, list[Entry]] = defaultdict(list)
        for row in mine:
            left[row.question].append(row)
        pending = []
        for asked in job.asked:
            same = left[asked.question]
            entry = next((e for e in same if e.id == asked.id), same[0] if same else None)
            if entry is not None:
                same.remove(entry)
            if entry is None or not self._take(entry, job.clip, asked, content):
                pending.append(asked)
        if pending:
            self._plan.pending.append(replace(job, asked=tuple(pending)))

    def outdated(self, job: Job, mine: list[Entry]) -> None:
        """Rows of a content that the clip no longer has, and whose questions are asked again."""
        questions = {asked.question for asked in job.asked}
        self._plan.drop |= {entry.line for entry in mine if entry.question in questions}

    def finish(self, free: list[Entry]) -> Plan:
        """Let clips without a row have those of clips that are gone, if their content is the same."""
        by_content: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in free:
            if entry.content is not None:
                by_content[entry.content, entry.question].append(entry)
        sizes = {entry.bytes for mine in by_content.values() for entry in mine}
        pending, self._plan.pending = self._plan.pending, []
        for job in pending:
            content = _content_if_size(job.clip, sizes)
            if content is None:
                self._plan.pending.append(job)
                continue
            mine = []
            for asked in job.asked:
                if found := by_content[content.hash, asked.question]:
                    mine.append(found.pop(0))
            self._plan.drop -= {entry.line for entry in mine}
            self.match(job, mine, content)
        self._drop_unread(free)
        return self._plan

    def _drop_unread(self, free: list[Entry]) -> None:
        """Rows of clips that could not be read and are gone, where the same question comes from another folder now: a
        relative path says nothing there."""
        unread = {(entry.id, entry.question): entry.line for entry in free if entry.content is None}
        for job in self._plan.pending:
            self._plan.drop |= {unread[key] for asked in job.asked if (key := (asked.id, asked.question)) in unread}

    def _take(self, entry: Entry, path: str, asked: Asked, content: Content | None) -> bool:
        """Count a row for a question; False if it is to be asked again."""
        plan = self._plan
        if not entry.ok and self._retry:
            plan.drop.add(entry.line)
            return False
        plan.done += entry.ok
        plan.failed += not entry.ok
        says_so = (entry.path, entry.id, entry.expected) == (path, asked.id, asked.expected)
        fresh = content is not None and content.stat not in (None, entry.stat)
        if not says_so or fresh:
            plan.adopt[entry.line] = Adopted(path, asked, content)
        return True


def _content_if_size(path: str, sizes: set[int | None]) -> Content | None:
    """The clip's content, read only if its size is among `sizes`."""
    if not sizes:
        return None
    try:
        if os.stat(path).st_size not in sizes:
            return None
        return content_of(path)
    except (MediaError, OSError, ValueError):
        return None
