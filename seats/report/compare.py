"""Two results files side by side: the same questions about the same clips, paired."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePath
from statistics import median

from seats.report.results import row_at
from seats.report.rows import Answered, Row
from seats.report.spread import Values
from seats.report.summary import Comparison, Difference, Ratio
from seats.text import quoted

COMPARED = (
    "decode_clip",
    "prepare",
    "encode_video",
    "encode_audio",
    "prefill",
    "selection_and_prefill",
    "first_token",
    "per_output_token",
    "total",
)
"""Selection alone would be compared with nothing where the other file holds full tokens."""
_EXAMPLES = 20
_NONE = 0


class PairTable:
    """What pairing needs of a group's rows: about 200 bytes a row. Texts stay in the file, known by their offsets.

    Digests have eight bytes, so that among a million rows two of different texts are alike once in 40 million files.
    """

    def __init__(self) -> None:
        self.keys = {name: array("Q") for name in ("path", "content", "file name")}
        self.contents, self.answers, self.offsets = array("Q"), array("Q"), array("Q")
        self.lines = array("Q")
        self.numbers = {name: array("d") for name in (*COMPARED, "flops")}

    def add(self, row: Row, answered: Answered) -> None:
        """Remember a row."""
        part = [f"{seconds:.3f}" if seconds is not None else "" for seconds in (answered.start_s, answered.end_s)]
        named = {"path": row.clip, "content": row.content, "file name": PurePath(row.clip).name}
        for name, clip in named.items():
            self.keys[name].append(digest(clip, row.question, *part) if clip else _NONE)
        self.contents.append(digest(row.content) if row.content else _NONE)
        self.answers.append(digest(answered.answer.strip()))
        self.offsets.append(row.offset)
        self.lines.append(row.line)
        latency = answered.latency
        prefill, selection = latency["prefill"], latency["selection"]
        both = None if prefill is None else prefill + (selection or 0.0)
        for name in COMPARED:
            self.numbers[name].append((both if name == "selection_and_prefill" else latency[name]) or 0.0)
        self.numbers["flops"].append(answered.flops_run or 0.0)


@dataclass
class Outcomes:
    """Which questions of a file were answered, and which failed, by digests of clip and question."""

    answered: set[int]
    failed: list[tuple[int, ...]]

    def add(self, row: Row) -> None:
        """Remember a row's outcome."""
        found = tuple(digest(clip, row.question) for clip in (row.clip, row.content) if clip)
        if isinstance(row.outcome, Answered):
            self.answered.update(found)
        else:
            self.failed.append(found)

    def failed_only_here(self, other: Outcomes) -> int:
        """How many failed here, in every row, and were answered there."""
        there = other.answered - self.answered
        return sum(any(key in there for key in keys) for keys in self.failed)


def digest(*texts: str) -> int:
    """Eight bytes that stand for the texts; never 0."""
    made = blake2b(digest_size=8)
    for text in texts:
        made.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return int.from_bytes(made.digest(), "big") or 1


def compare(
    label: str, ours: PairTable, path: Path, label_against: str, theirs: PairTable, path_against: Path
) -> Comparison:
    """The comparison of two groups. path, path_against: their files, from which differing answers are read again.

    Raises ResultsError if a file changed since its rows were read.
    """
    paired_by, pairs = _pairs(ours, theirs)
    latency = {}
    for name in COMPARED:
        ratio = _ratio(ours.numbers[name], theirs.numbers[name], pairs)
        if ratio is not None:
            latency[name] = ratio
    different = [(i, j) for i, j in pairs if ours.answers[i] != theirs.answers[j]]
    return Comparison(
        label=label,
        label_against=label_against,
        paired_by=paired_by,
        pairs=len(pairs),
        only_here=max(0, _different(ours, paired_by) - len(pairs)),
        only_there=max(0, _different(theirs, paired_by) - len(pairs)),
        latency=latency,
        flops=_ratio(ours.numbers["flops"], theirs.numbers["flops"], pairs),
        same_answers=len(pairs) - len(different),
        different_answers=len(different),
        examples=tuple(_differences(ours, path, theirs, path_against, different[:_EXAMPLES])),
    )


def _different(table: PairTable, paired_by: str) -> int:
    """Answers of a table, those of the same clip, by what says so, and question once."""
    keys = table.keys[paired_by]
    return len({key for key in keys if key}) + sum(not key for key in keys)


def _pairs(ours: PairTable, theirs: PairTable) -> tuple[str, list[tuple[int, int]]]:
    """Indices of rows that go together, by the first of path, content and file name by which any do.

    By path and file name only where the contents, if both are known, are the same; by file name only where it is
    unique in both files. Of rows with the same key the last counts, as it was made last.
    """
    for name in ("path", "content", "file name"):
        mine, others = ({key: i for i, key in enumerate(table.keys[name]) if key} for table in (ours, theirs))
        if name == "file name":
            for table, index in ((ours, mine), (theirs, others)):
                for key, count in Counter(table.keys[name]).items():
                    if count > 1:
                        index.pop(key, None)
        pairs = [(i, others[key]) for key, i in mine.items() if key in others]
        known = [(i, j) for i, j in pairs if _NONE in (ours.contents[i], theirs.contents[j])]
        alike = [(i, j) for i, j in pairs if ours.contents[i] == theirs.contents[j] != _NONE]
        if known or alike:
            return name, sorted(known + alike)
    return "path", []


def _ratio(ours: Sequence[float], theirs: Sequence[float], pairs: list[tuple[int, int]]) -> Ratio | None:
    """Over the pairs in which both have the number."""
    both = [(ours[i], theirs[j]) for i, j in pairs if ours[i] > 0 and theirs[j] > 0]
    if not both:
        return None
    each = Values()
    for mine, other in both:
        each.add(other / mine)
    spread = each.spread()
    middle, middle_against = (median(column) for column in zip(*both, strict=True))
    assert spread is not None
    return Ratio(len(both), middle, middle_against, middle_against / middle, spread)


def _differences(
    ours: PairTable, path: Path, theirs: PairTable, path_against: Path, pairs: list[tuple[int, int]]
) -> Iterator[Difference]:
    with path.open("rb") as file, path_against.open("rb") as file_against:
        for i, j in pairs:
            row, other = row_at(file, ours.offsets[i]), row_at(file_against, theirs.offsets[j])
            answers = [quoted(one.outcome.answer if isinstance(one.outcome, Answered) else "") for one in (row, other)]
            yield Difference(
                line=ours.lines[i],
                line_against=theirs.lines[j],
                clip=quoted(row.clip),
                question=quoted(row.question),
                answer=answers[0],
                answer_against=answers[1],
            )
