"""What a report says, as plain data: everything that the terminal, the JSON document and the page show."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from seats.evaluation.statistics import few_clips
from seats.report.spread import Histogram, Spread

SCHEMA = "seats.report/1"

PARTS_OF_TOTAL = (
    "decode_clip",
    "prepare",
    "encode_video",
    "encode_audio",
    "selection",
    "prefill",
    "other",
    "generation",
)
"""Steps that add up to the total, or to more where a clip was encoded while it was read. other: what of the time to the
first token is in none of them; generation: all that comes after the first token."""


@dataclass(frozen=True)
class Step:
    """ms: over the rows that have the step. share: of the total time of all rows."""

    ms: Spread
    share: float | None


@dataclass(frozen=True)
class Stage:
    """Tokens alive at a stage, summed over the rows, and their share of those in the clips."""

    name: str
    tokens: int
    share: float


@dataclass(frozen=True)
class Retention:
    """average: over the layers, per row. stages: in the clip, before the LLM, entering each layer."""

    average: Spread | None
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Cost:
    """FLOPs of one part with full tokens and as run; reduction: the ratio of the sums, None where nothing was run."""

    full: Spread | None
    run: Spread | None
    reduction: float | None


@dataclass(frozen=True)
class Flops:
    """total and parts over all rows; per_row: the reduction of each."""

    total: Cost
    parts: dict[str, Cost]
    per_row: Spread | None


@dataclass(frozen=True)
class Rate:
    """Tokens a second. overall: all tokens over all the time they took. per_row: of each row."""

    overall: float
    per_row: Spread


@dataclass(frozen=True)
class Speedup:
    """Full tokens over this method, of rows whose figures have one basis (measured or estimated). prefill, first_token:
    ratios of single rows. prefill_in_all, first_token_in_all: of the rows' times together; of several questions about a
    clip only the first pays for reading it, for the encoders and for the saliency."""

    rows: int
    prefill: Spread | None
    first_token: Spread | None
    prefill_in_all: float | None
    first_token_in_all: float | None


@dataclass(frozen=True)
class Share:
    """right of total answers about `clips` clips, and the 95 % interval of the share, which allows for questions of one
    clip being alike."""

    right: int
    total: int
    share: float
    interval_95: tuple[float, float]
    clips: int

    @property
    def caution(self) -> str:
        """What is to be said of the interval where there are few clips, "" otherwise."""
        return few_clips(self.total, self.clips)


@dataclass(frozen=True)
class SlowRow:
    """One of the rows that took longest. steps: ms by name, of `PARTS_OF_TOTAL`."""

    line: int
    id: str
    clip: str
    question: str
    total_ms: float
    steps: dict[str, float]


@dataclass(frozen=True)
class Group:
    """All rows of one configuration. retried: those made with a smaller budget after the device's memory ran out.
    shared: those whose clip had been read and encoded for an earlier row, but whose FLOPs count the encoders.
    accuracy: over the rows whose right answer is known, None if there are none."""

    label: str
    short_label: str
    model: dict[str, Any]
    method: dict[str, Any]
    rows: int
    retried: int
    shared: int
    accuracy: Share | None
    finish_reasons: dict[str, int]
    latency: dict[str, Step]
    histogram: Histogram | None
    retention: dict[str, Retention]
    flops: Flops
    rates: dict[str, Rate]
    speedup: dict[str, Speedup]
    peak_bytes: Spread | None
    slowest: tuple[SlowRow, ...]


@dataclass(frozen=True)
class Example:
    """A row that shows what a failure looks like."""

    line: int
    id: str
    clip: str
    question: str
    message: str


@dataclass(frozen=True)
class Cause:
    """Failures of one type whose messages differ only in names and numbers."""

    type: str
    message: str
    count: int
    share: float
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Missing:
    """A field that rows should have and have not."""

    field: str
    rows: int
    first_line: int


@dataclass(frozen=True)
class Unread:
    """Lines that are no rows: counts and the first line numbers. schemas: of JSON objects of another kind."""

    broken: int = 0
    broken_lines: tuple[int, ...] = ()
    foreign: int = 0
    foreign_lines: tuple[int, ...] = ()
    schemas: dict[str, int] = field(default_factory=dict)
    half_written_last_line: bool = False


@dataclass(frozen=True)
class FileReport:
    """One results file. repeated: rows whose id, question and settings an earlier row had; they are counted like the
    others."""

    path: str
    ok: int
    failed: int
    repeated: int
    unread: Unread
    missing: tuple[Missing, ...]
    groups: tuple[Group, ...]
    failures: tuple[Cause, ...]
    notes: dict[str, int]


@dataclass(frozen=True)
class Ratio:
    """Medians over the pairs in both files; ratio: against's over ours, so above 1 ours needs less. per_pair: the same
    ratio of each pair."""

    pairs: int
    median: float
    median_against: float
    ratio: float
    per_pair: Spread


@dataclass(frozen=True)
class Difference:
    """A question that the files answer differently."""

    line: int
    line_against: int
    clip: str
    question: str
    answer: str
    answer_against: str


@dataclass(frozen=True)
class Comparison:
    """One group of the file against one of the other: the questions about the same part of the same clip.

    paired_by: "path"; "content" where no path is in both files; "file name" where no content is either.
    """

    label: str
    label_against: str
    paired_by: str
    pairs: int
    only_here: int
    only_there: int
    latency: dict[str, Ratio]
    flops: Ratio | None
    same_answers: int
    different_answers: int
    examples: tuple[Difference, ...]


@dataclass(frozen=True)
class Against:
    """Comparison with another results file. failed_*: questions answered in one file and failed in the other. unpaired:
    labels of groups that no group of the other file goes with."""

    file: FileReport
    comparisons: tuple[Comparison, ...]
    failed_only_here: int
    failed_only_there: int
    unpaired: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """The report over a results file, and the comparison with another where there is one."""

    file: FileReport
    against: Against | None = None

    def document(self) -> dict[str, Any]:
        """Schema seats.report/1: plain values; times in ms, sizes in bytes, FLOPs as 2 x multiply-adds."""
        return {"schema": SCHEMA, **asdict(self)}
