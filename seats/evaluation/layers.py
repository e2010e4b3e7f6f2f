"""How long the decoder needs the clip: accuracy when video, audio or both are removed after each layer.

This is the layer-dependence analysis of SEATS (arXiv 2605.20035). Every removal is a method of its own, so that it runs
through the same prefill, cache and `generate()` as any other, and its answers are rows like those of `seats eval`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from seats.errors import SeatsError, SettingsError
from seats.evaluation.rows import Row
from seats.evaluation.run import ClipWork, Evaluation, Load, Plan, answer_clip
from seats.evaluation.settings import Compared
from seats.evaluation.statistics import Accuracy, Interval, paired_interval
from seats.keep import FULL, Setting
from seats.methods import AfterLayer, BeforeLLM, Full, Method, ModelShape, Retention, Selection
from seats.models import compat
from seats.models.omni import OmniModel
from seats.models.thinker import Thinker
from seats.tokens.layout import Modality, TokenLayout

WHAT = {"video": (Modality.VIDEO,), "audio": (Modality.AUDIO,), "both": (Modality.VIDEO, Modality.AUDIO)}
"""What a curve removes."""


@dataclass(frozen=True)
class Removal(Method):
    """All tokens of some modalities go at once. Not in the registry: it measures a model, it doesn't serve a user.

    what: "video", "audio" or "both". layer: after which decoder layer (1-based), 0 for before the LLM.
    """

    what: str
    layer: int

    name: ClassVar[str] = "removal"
    source: ClassVar[str] = "arXiv 2605.20035, layer-dependence analysis"

    @classmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> Removal:
        raise SettingsError("removal has no retention to aim at: use seats analyze")

    @property
    def layers(self) -> tuple[int, ...]:
        return (self.layer,) if self.layer else ()

    def before_llm(self, state: BeforeLLM) -> Selection | None:
        return self._without(state.layout) if self.layer == 0 else None

    def after_layer(self, state: AfterLayer) -> Selection:
        return self._without(state.layout)

    def _without(self, layout: TokenLayout) -> Selection:
        keep = torch.ones(len(layout), dtype=torch.bool, device=layout.modality.device)
        for modality in WHAT[self.what]:
            keep &= ~layout.is_modality(modality)
        return Selection(keep)


@dataclass(frozen=True)
class Removals:
    """Which removals are measured. num_layers: of the decoder, L. layers: after which ones, ascending from 0 and below
    L: after the last layer there is nothing left to remove anything from, so L stands for full tokens."""

    num_layers: int
    layers: tuple[int, ...]

    @classmethod
    def every(cls, num_layers: int, step: int = 1) -> Removals:
        """After every `step`-th layer, from 0 on, and after the last but one. step: >= 1."""
        return cls(num_layers, tuple(sorted({*range(0, num_layers, step), num_layers - 1})))

    @staticmethod
    def setting(what: str, layer: int) -> Setting:
        """The name under which a removal's rows are kept."""
        return Setting(f"without {what} after layer {layer}", None)

    def compared(self) -> Compared:
        """Full tokens first, then from the last layer to the first, so that `shared_prefill` serves all of them."""
        methods: dict[Setting, Method] = {FULL: Full()}
        for layer in reversed(self.layers):
            methods |= {self.setting(what, layer): Removal(what, layer) for what in WHAT}
        return Compared(tuple(methods), methods, {})


@dataclass(frozen=True)
class Point:
    """One removal. layer: after which, L for full tokens. loss: of accuracy against full tokens on the same questions,
    positive where removing costs something, with its 95 % interval."""

    layer: int
    accuracy: Accuracy
    loss: float
    loss_interval: Interval


@dataclass(frozen=True)
class Dependence:
    """The curves of a model on a question set.

    asked: questions of the set. failed: those without an answer under some removal, which are in no curve. clips: of
    each question in the curves. right: per `WHAT` and layer 0 … L, whether each of these questions was answered right.
    """

    num_layers: int
    asked: int
    failed: int
    clips: tuple[str, ...]
    right: dict[str, dict[int, tuple[bool, ...]]]

    @property
    def full(self) -> Accuracy:
        """Of full tokens."""
        return Accuracy.of(self.right["both"][self.num_layers], self.clips)

    def curve(self, what: str) -> tuple[Point, ...]:
        """Points of a curve by layer, the last one full tokens."""
        full = self.right[what][self.num_layers]
        points = []
        for layer, right in self.right[what].items():
            loss = (sum(full) - sum(right)) / len(full)
            interval = (0.0, 0.0) if layer == self.num_layers else paired_interval(full, right, self.clips)
            points.append(Point(layer, Accuracy.of(right, self.clips), loss, interval))
        return tuple(points)


def answer_without(model: OmniModel, evaluation: Evaluation, work: ClipWork, load: Load) -> Iterator[Row]:
    """Rows of one clip, decoded and encoded once; the layers before a removal run once a question. load: decodes."""
    with shared_prefill(model.thinker):
        yield from answer_clip(model, evaluation, work, load)


def dependence(
    removals: Removals, evaluation: Evaluation, plan: Plan, rows: Mapping[tuple[str, str], Row]
) -> Dependence:
    """Put rows together; every question must have one for every removal. Answers are judged by the set as it is now.

    Raises SeatsError, with why the first one failed, if no question was answered under all removals.
    """
    clips: list[str] = []
    why = ""
    right: dict[str, dict[int, list[bool]]] = {
        what: {layer: [] for layer in (*removals.layers, removals.num_layers)} for what in WHAT
    }
    for item, question, clip in plan.questions:
        said = {setting: rows[question, digest] for setting, digest in evaluation.digests.items()}
        unanswered = [row.reason for row in said.values() if row.status != "answered"]
        if unanswered:
            why = why or unanswered[0]
            continue
        clips.append(clip)
        for what, curve in right.items():
            for layer, answers in curve.items():
                setting = FULL if layer == removals.num_layers else removals.setting(what, layer)
                answers.append(item.is_right(said[setting].answer))
    if not clips:
        raise SeatsError(f"no question was answered under every removal; the first: {why}")
    return Dependence(
        num_layers=removals.num_layers,
        asked=len(plan.questions),
        failed=len(plan.questions) - len(clips),
        clips=tuple(clips),
        right={what: {layer: tuple(values) for layer, values in curve.items()} for what, curve in right.items()},
    )


@contextmanager
def shared_prefill(thinker: Thinker) -> Iterator[None]:
    """While open, a decoder layer that is given what it was given before answers from memory, cache entries included.

    The first prompt that reaches layer 1 is remembered, layer by layer, until another one does; so runs on one prompt
    that differ only after layer k run the layers up to k once. What is given is compared in full, so that nothing
    depends on the order of the runs. Memory: twice the hidden states of every layer, and the cache once more.
    """
    memory: list[_Remembered | None] = [None] * len(thinker.layers)
    replaced = []
    for index, layer in enumerate(thinker.layers):
        replaced.append((layer, layer.__dict__.get("forward")))
        layer.forward = _remembering(layer.forward, index, memory)
    try:
        yield
    finally:
        for layer, own in replaced:
            if own is None:
                del layer.forward
            else:
                layer.forward = own


@dataclass(frozen=True, eq=False)
class _Remembered:
    """Of one layer: what came in (hidden states `[1, S, D]`, rotary tables `[1, S, d]`) and went out, and what it put
    into its cache, `[1, heads, S, d]`."""

    given: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    made: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor


def _remembering(forward: Any, index: int, memory: list[_Remembered | None]) -> Any:
    def remembering(hidden: torch.Tensor, *, position_embeddings: Any, **more: Any) -> Any:
        def run() -> Any:
            return forward(hidden, position_embeddings=position_embeddings, **more)

        cache = compat.cache_of(more)
        if cache is None or cache.get_seq_length(index):
            return run()  # not a prefill
        given = (hidden, *position_embeddings)
        known = memory[index]
        if known is not None and all(map(torch.equal, known.given, given)):
            cache.update(known.keys, known.values, index)
            return known.made.clone()  # the caller may write into it
        if index == 0:
            memory[:] = [None] * len(memory)
        if memory[index] is not None:
            return run()
        given = (hidden.clone(), *position_embeddings)
        output = run()
        cached = cache.layers[index]
        memory[index] = _Remembered(given, output.clone(), cached.keys, cached.values)
        return output

    return remembering
