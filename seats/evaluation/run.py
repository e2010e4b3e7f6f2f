"""Questions of a set through the real pipeline: files on disk, decoding, encoders, prompt, generated answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from seats.costs.timers import StepTimer
from seats.errors import SeatsError
from seats.evaluation.qa import QAItem, same_answer
from seats.evaluation.statistics import Accuracy
from seats.inference.answer import Answer, Question, answer_encoded
from seats.inference.encode import EncodedClip, encode_clip
from seats.media import Clip
from seats.methods import method_class
from seats.models.omni import OmniModel


@dataclass(frozen=True)
class Setting:
    """One way of answering: a method at a retention. keep: percent, None for `full`."""

    method: str
    keep: float | None

    @property
    def label(self) -> str:
        return self.method if self.keep is None else f"{self.method} {self.keep:g}%"


@dataclass(frozen=True)
class Outcome:
    """One question answered, or not: error says why. report: None if it failed."""

    item: QAItem
    setting: Setting
    right: bool
    report: Answer | None
    error: str = ""


def evaluate(
    model: OmniModel,
    items: Iterable[QAItem],
    settings: list[Setting],
    question: Question,
    load: Callable[[Path], Clip],
) -> Iterator[Outcome]:
    """Answer every question under every setting; a clip is decoded and encoded once for all of them.

    items: questions of one clip must follow each other. question: its text, method and keep are replaced. load:
    decodes a clip. A clip or question that fails gives outcomes with an error, and counts as wrong.
    """
    for path, group in groupby(items, key=lambda item: item.clip):
        mine = list(group)
        try:
            encoded = _encode(model, load(path), settings, question)
        except SeatsError as error:
            yield from (Outcome(item, setting, False, None, str(error)) for item in mine for setting in settings)
            continue
        for item in mine:
            for setting in settings:
                yield _answer(model, encoded, item, setting, question)


def _encode(model: OmniModel, clip: Clip, settings: list[Setting], question: Question) -> EncodedClip:
    wants = {method_class(setting.method).wants for setting in settings}
    return encode_clip(model, clip, wants, StepTimer(model.thinker.device))


def _answer(model: OmniModel, encoded: EncodedClip, item: QAItem, setting: Setting, question: Question) -> Outcome:
    try:
        asked = _as_question(question, item.question, setting)
        report = answer_encoded(model, encoded, asked, StepTimer(model.thinker.device))
    except SeatsError as error:
        return Outcome(item, setting, False, None, str(error))
    return Outcome(item, setting, same_answer(report.text, item.answer), report)


def _as_question(question: Question, text: str, setting: Setting) -> Question:
    keep = question.keep if setting.keep is None else setting.keep
    return replace(question, text=text, method=setting.method, keep=keep)


def accuracy_by_type(outcomes: Iterable[Outcome]) -> dict[str, Accuracy]:
    """Accuracy per question type, in the order of the names, and of all under "all"."""
    right: dict[str, int] = {}
    total: dict[str, int] = {}
    for outcome in outcomes:
        for name in (outcome.item.type or "untyped", "all"):
            right[name] = right.get(name, 0) + outcome.right
            total[name] = total.get(name, 0) + 1
    names = [*sorted(name for name in total if name != "all"), "all"]
    return {name: Accuracy(right[name], total[name]) for name in names if name in total}
