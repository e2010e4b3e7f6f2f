"""What the rows of an evaluation say, setting by setting."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seats.evaluation.qa import ALL, UNTYPED, QAItem
from seats.evaluation.rows import Row
from seats.evaluation.run import Evaluation, Plan
from seats.evaluation.settings import Asking
from seats.evaluation.statistics import Accuracy, Comparison, compare
from seats.keep import FULL, Setting
from seats.units import counted


@dataclass(frozen=True)
class Wrong:
    """A question answered wrong. given: the answer."""

    item: QAItem
    given: str


@dataclass(frozen=True)
class SettingResult:
    """What a setting did with all questions.

    asked = answered + unserved + failed. unserved: questions about clips that the method can't serve; unserved_clips:
    how many clips those are. reason: why a setting, or most of what is unserved, can't be served, or what is wrong with
    a method that can't be set up; "" otherwise.
    accuracy: on the answered questions, per type in the order of the names, and of all under "all"; empty without any.
    versus_full: None for full itself, without it, and where no question was answered by both. llm_flops: median, from
    the encoders' output to the first answer token. llm_flops_share: of what all tokens would cost, over all questions
    together. prefill_ms: median of selection + prefill, without reading the saliency. video, audio, overall: mean
    retention over the questions whose clip has it, averaged over the layers, in [0, 1]. method: its settings.
    """

    setting: Setting
    asked: int
    answered: int = 0
    unserved: int = 0
    unserved_clips: int = 0
    failed: int = 0
    reason: str = ""
    accuracy: dict[str, Accuracy] = field(default_factory=dict)
    versus_full: Comparison | None = None
    llm_flops: float | None = None
    llm_flops_share: float | None = None
    prefill_ms: float | None = None
    video: float | None = None
    audio: float | None = None
    overall: float | None = None
    method: dict[str, Any] = field(default_factory=dict)
    wrong: tuple[Wrong, ...] = ()

    @property
    def reached(self) -> bool:
        """Whether it answered anything."""
        return self.answered > 0

    @property
    def unreachable(self) -> bool:
        """Whether the method could serve no clip at all, or none that didn't fail."""
        return not self.answered and self.unserved > 0

    @property
    def partial(self) -> bool:
        """Whether its figures are of a part of the questions only."""
        return 0 < self.answered < self.asked


@dataclass(frozen=True)
class Results:
    """An evaluation's outcome. asking: how questions were asked. clips: how many. types: questions of each type, the
    total under "all"."""

    benchmark: str
    model: str
    asking: Asking
    questions: int
    clips: int
    types: dict[str, int]
    settings: tuple[SettingResult, ...]

    @property
    def size(self) -> str:
        """How much was asked, in words."""
        return f"{counted(self.questions, 'question')} about {counted(self.clips, 'clip')}"

    def full(self) -> SettingResult | None:
        """Of full tokens, None if they weren't asked for or answered nothing."""
        return next((r for r in self.settings if r.setting == FULL and r.reached), None)


def results(
    benchmark: str, model: str, evaluation: Evaluation, plan: Plan, rows: Mapping[tuple[str, str], Row]
) -> Results:
    """Put rows together. Answers are judged again, by the set as it is now. Every question must have a row for every
    setting that is set up."""
    full = _of_full(evaluation, plan, rows)
    return Results(
        benchmark=benchmark,
        model=model,
        asking=evaluation.asking,
        questions=len(plan.questions),
        clips=len({clip for _, _, clip in plan.questions}),
        types=_types(item.type for item, _, _ in plan.questions),
        settings=tuple(_setting(setting, evaluation, plan, rows, full) for setting in evaluation.compared.settings),
    )


def _setting(
    setting: Setting,
    evaluation: Evaluation,
    plan: Plan,
    rows: Mapping[tuple[str, str], Row],
    full: Mapping[str, str],
) -> SettingResult:
    asked = len(plan.questions)
    if setting in evaluation.compared.broken:
        return SettingResult(setting, asked, failed=asked, reason=evaluation.compared.broken[setting])
    if setting in evaluation.compared.unreachable:
        reason = evaluation.compared.unreachable[setting]
        clips = len({clip for _, _, clip in plan.questions})
        return SettingResult(setting, asked, unserved=asked, unserved_clips=clips, reason=reason)
    digest = evaluation.digests[setting]
    mine = [(item, clip, rows[question, digest]) for item, question, clip in plan.questions]
    unserved = [(clip, row.reason) for _, clip, row in mine if row.status == "unreachable"]
    answered = [(item, clip, row, item.is_right(row.answer)) for item, clip, row in mine if row.status == "answered"]
    done = [row for _, _, row, _ in answered]
    both = [
        (right, item.is_right(full[row.question]), clip) for item, clip, row, right in answered if row.question in full
    ]
    comparable = both and setting != FULL
    cost = sum(row.llm_flops_full or 0.0 for row in done)
    return SettingResult(
        setting=setting,
        asked=len(mine),
        answered=len(answered),
        unserved=len(unserved),
        unserved_clips=len({clip for clip, _ in unserved}),
        failed=len(mine) - len(answered) - len(unserved),
        reason=Counter(reason for _, reason in unserved).most_common(1)[0][0] if unserved else "",
        accuracy=_by_type([(item.type, clip, right) for item, clip, _, right in answered]),
        versus_full=compare(*(list(column) for column in zip(*both, strict=True))) if comparable else None,
        llm_flops=_median(row.llm_flops for row in done),
        llm_flops_share=sum(row.llm_flops or 0.0 for row in done) / cost if cost else None,
        prefill_ms=_median(row.prefill_ms and row.prefill_ms + (row.selection_ms or 0.0) for row in done),
        video=_mean(row.video for row in done),
        audio=_mean(row.audio for row in done),
        overall=_mean(row.overall for row in done),
        method=evaluation.compared.methods[setting].settings(),
        wrong=tuple(Wrong(item, row.answer) for item, _, row, right in answered if not right),
    )


def _of_full(evaluation: Evaluation, plan: Plan, rows: Mapping[tuple[str, str], Row]) -> dict[str, str]:
    """By question digest, what was answered with full tokens. Equal questions, which may have other right answers in a
    set, share one."""
    digest = evaluation.digests.get(FULL)
    if digest is None:
        return {}
    found = (rows[question, digest] for _, question, _ in plan.questions)
    return {row.question: row.answer for row in found if row.status == "answered"}


def _by_type(answers: Sequence[tuple[str, str, bool]]) -> dict[str, Accuracy]:
    """answers: type, clip, and whether it is right."""
    groups: dict[str, list[tuple[bool, str]]] = {}
    for name, clip, right in answers:
        groups.setdefault(name or UNTYPED, []).append((right, clip))
        groups.setdefault(ALL, []).append((right, clip))
    return {name: Accuracy.of([r for r, _ in groups[name]], [c for _, c in groups[name]]) for name in _ordered(groups)}


def _types(names: Iterable[str]) -> dict[str, int]:
    counts = Counter(name or UNTYPED for name in names)
    counts[ALL] = counts.total()
    return {name: counts[name] for name in _ordered(counts)}


def _ordered(names: Iterable[str]) -> list[str]:
    names = list(names)
    return [*sorted(name for name in names if name != ALL), *(name for name in names if name == ALL)]


def _median(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return statistics.median(found) if found else None


def _mean(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return statistics.fmean(found) if found else None
