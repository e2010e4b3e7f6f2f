"""From results files to the report over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seats.report.collect import GroupCollector
from seats.report.compare import Outcomes, PairTable, compare, digest
from seats.report.configuration import Configuration, labels
from seats.report.failures import FailureCollector
from seats.report.results import Faults, Results, ResultsError
from seats.report.rows import Answered, Row
from seats.report.summary import Against, Comparison, FileReport, Missing, Report, Unread
from seats.text import quoted

_MOST_GROUPS = 40
_MOST_NOTES = 20
_REST = Configuration({"name": "various models"}, {"name": "various methods"})


def report(
    path: Path,
    against: Path | None = None,
    *,
    slowest: int = 10,
    on_row: Callable[[str, int], None] = lambda _path, _line: None,
) -> Report:
    """The report over a results file, as `seats batch` writes them, and its comparison with another.

    The files are read as streams; of each row some 400 bytes of numbers are in memory at most, 1,000 with `against`.
    slowest: how many of the slowest rows to name. on_row: called with the file and the line now and then. Raises
    ResultsError for files that cannot be read or hold no results.
    """
    if against is None:
        return Report(_Reader(path, slowest, paired=False, on_row=on_row).read())
    for each in (path, against):
        # Differing answers are looked up after the files were read.
        if each.exists() and not each.is_dir() and not each.is_file():
            raise ResultsError(f"{each} can be read only once; a comparison needs a file")
    ours, theirs = (_Reader(each, slowest, paired=True, on_row=on_row) for each in (path, against))
    file, other = ours.read(), theirs.read()
    return Report(file, _against(ours, file, theirs, other))


@dataclass
class _Gathered:
    collector: GroupCollector
    pairs: PairTable


class _Reader:
    """Reads one file and keeps what comparing needs beside its report."""

    def __init__(self, path: Path, slowest: int, paired: bool, on_row: Callable[[str, int], None]) -> None:
        self.path, self.slowest, self.paired = path, slowest, paired
        self.results = Results(path, lambda line: on_row(str(path), line))
        self.groups: dict[str, _Gathered] = {}
        self.outcomes = Outcomes(set(), [])
        self._settings: dict[str, str] = {}
        self._missing: dict[str, list[int]] = {}
        self._notes: Counter[str] = Counter()
        self._ids: set[int] = set()
        self._repeated = 0

    def read(self) -> FileReport:
        failures = FailureCollector()
        for row in self.results:
            self._see(row)
            if isinstance(row.outcome, Answered):
                self._take(row, row.outcome)
            else:
                failures.add(row, row.outcome)
        groups = list(self.groups.values())
        named = labels([group.collector.configuration for group in groups])
        return FileReport(
            path=quoted(str(self.path)),
            ok=sum(group.collector.rows for group in groups),
            failed=failures.count,
            repeated=self._repeated,
            unread=_unread(self.results.faults),
            missing=tuple(Missing(name, rows, first) for name, (rows, first) in self._missing.items()),
            groups=tuple(group.collector.group(label) for group, label in zip(groups, named, strict=True)),
            failures=failures.causes(),
            notes=dict(self._notes.most_common()),
        )

    def _see(self, row: Row) -> None:
        if self.paired:
            self.outcomes.add(row)
        if row.id:
            key = digest(row.id, row.question, row.settings)
            self._repeated += key in self._ids
            self._ids.add(key)

    def _take(self, row: Row, answered: Answered) -> None:
        for name in answered.missing:
            seen = self._missing.setdefault(name, [0, row.line])
            seen[0] += 1
        for note in answered.notes[:_MOST_NOTES]:
            said = quoted(note, 200)
            self._notes[said if said in self._notes or len(self._notes) < _MOST_NOTES else "other notes"] += 1
        group = self._group(row, answered)
        group.collector.add(row, answered)
        if self.paired:
            group.pairs.add(row, answered)

    def _group(self, row: Row, answered: Answered) -> _Gathered:
        configuration = Configuration.of(row, answered)
        key = configuration.key
        if key not in self.groups:
            if len(self.groups) >= _MOST_GROUPS:
                configuration, key = _REST, _REST.key
            self.groups.setdefault(key, _Gathered(GroupCollector(configuration, self.slowest), PairTable()))
        return self.groups[key]


def _unread(faults: Faults) -> Unread:
    return Unread(
        broken=faults.broken,
        broken_lines=tuple(faults.broken_lines),
        foreign=faults.foreign,
        foreign_lines=tuple(faults.foreign_lines),
        schemas=dict(faults.schemas.most_common()),
        half_written_last_line=faults.half_written,
    )


def _against(ours: _Reader, file: FileReport, theirs: _Reader, other: FileReport) -> Against:
    """Each group of the file against the other file's only group, or the one of the same configuration, or the only one
    of the same model and method."""
    labels_there = {key: group.label for key, group in zip(theirs.groups, other.groups, strict=True)}
    only = next(iter(theirs.groups)) if len(theirs.groups) == 1 else None
    several = Counter(group.collector.configuration.model_and_method for group in theirs.groups.values())
    alike = {group.collector.configuration.model_and_method: key for key, group in theirs.groups.items()}
    unpaired: list[str] = []
    used: set[str] = set()
    comparisons: list[Comparison] = []
    for (key, mine), group in zip(ours.groups.items(), file.groups, strict=True):
        match = only or key
        same = mine.collector.configuration.model_and_method
        if match not in theirs.groups and several[same] == 1:
            match = alike[same]
        if match not in theirs.groups:
            unpaired.append(group.label)
            continue
        used.add(match)
        there = theirs.groups[match].pairs
        comparisons.append(compare(group.label, mine.pairs, ours.path, labels_there[match], there, theirs.path))
    unpaired += [label for key, label in labels_there.items() if key not in used]
    return Against(
        file=other,
        comparisons=tuple(comparisons),
        failed_only_here=ours.outcomes.failed_only_here(theirs.outcomes),
        failed_only_there=theirs.outcomes.failed_only_here(ours.outcomes),
        unpaired=tuple(unpaired),
    )
