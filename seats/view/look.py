"""Answer questions about a clip and keep what pages and figures show of its tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from seats.costs.timers import StepTimer
from seats.errors import SettingsError
from seats.inference.answer import Answer, Question, answer_encoded
from seats.inference.conversation import Conversation
from seats.inference.encode import EncodedClip, build_prompt, encode_clip
from seats.inference.generate import generate
from seats.media import Clip
from seats.methods import Method, ModelShape, Retention
from seats.methods.base import AfterLayer, Selection, Wrapper
from seats.methods.seats import Seats
from seats.models.omni import OmniModel
from seats.models.signals import EncoderWants
from seats.view.token_map import TokenMap, map_tokens, scored_by_method

_SALIENCY = Seats.wants
"""Saliency shown for tokens of which the method itself reads none: Stage I's."""


def look(
    model: OmniModel,
    clip: Clip,
    questions: Sequence[Question],
    *,
    decode_ms: float | None = None,
    on_answer: Callable[[Answer], None] = lambda _: None,
) -> list[TokenMap]:
    """Answer each question (usually one question with several methods) and map its tokens.

    The clip is encoded once. decode_ms: time it took to decode, for the report. on_answer: is called after each
    answer. Raises SeatsError.
    """
    methods = [question.method_for(model.shape) for question in questions]
    timer = StepTimer(model.thinker.device)
    encoded = encode_clip(model, clip, {*(method.wants for method in methods), _SALIENCY}, timer)
    steps = timer.ms()
    if len(questions) > 1:  # or the first of those that are compared would pay for what a first prefill costs
        for question in questions:
            once = replace(question, decoding=replace(question.decoding, max_new_tokens=1))
            answer_encoded(model, encoded, once, StepTimer(model.thinker.device))
    maps = []
    for question in questions:
        own = StepTimer(model.thinker.device)
        for name, ms in steps.items():
            own.add(name, ms)
        maps.append(look_encoded(model, encoded, question, own, decode_ms=decode_ms))
        on_answer(maps[-1].answer)
    return maps


def look_encoded(
    model: OmniModel, encoded: EncodedClip, question: Question, timer: StepTimer, *, decode_ms: float | None = None
) -> TokenMap:
    """The same for a clip that was encoded before, with what the question's method wants of the encoders.

    Where the method reads no relevance, a second prefill reads it, after the answer's costs are taken.
    """
    return look_answered(model, encoded, answer_encoded(model, encoded, question, timer, decode_ms=decode_ms))


def look_answered(model: OmniModel, encoded: EncodedClip, answer: Answer) -> TokenMap:
    """The same for an answer that was made before, from this encoded clip."""
    notes: list[str] = []
    saliency = _saliency(encoded, answer.method.wants, notes)
    scores = scored_by_method(answer.trace)
    if not scores:
        scores = _watched_relevance(model, encoded, answer.question, answer.method)
        notes.append(f"{answer.method.name} does not read relevance: it was read in a second pass, for display")
    return map_tokens(answer, saliency, scores, tuple(notes))


def look_back(conversation: Conversation) -> TokenMap:
    """Map the tokens of a conversation's last answer. Raises SettingsError before the first."""
    if conversation.last is None:
        raise SettingsError("nothing to show yet: ask a question first")
    encoded = conversation.encoded_with(_SALIENCY)
    return look_answered(conversation.model, encoded, conversation.last)


def _saliency(encoded: EncodedClip, wants: EncoderWants, notes: list[str]) -> dict[str, np.ndarray]:
    """Per modality, as the method reads it, else as Stage I does if the clip was encoded with that."""
    found, foreign = {}, []
    for name, features in (("video", encoded.video), ("audio", encoded.audio)):
        if features is None:
            continue
        for each in (wants, _SALIENCY):
            signals = features.signals.get(each)
            if signals is not None and signals.saliency is not None:
                found[name] = signals.saliency.float().cpu().numpy()
                if each != wants:
                    foreign.append(name)
                break
    if foreign:
        notes.append(f"the method reads no saliency of {' and '.join(foreign)}: that of SEATS' Stage I is shown")
    return found


@dataclass(frozen=True)
class _Watched(Wrapper):
    """A method as it is, its relevance read after more layers. scores: origins and scores by layer."""

    extra: tuple[int, ...]
    scores: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, compare=False)

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(sorted({*self.inner.layers, *self.extra}))

    def after_layer(self, state: AfterLayer) -> Selection | None:
        if state.layer in self.extra:
            self.scores[state.layer] = (state.layout.origin.cpu().numpy(), state.relevance().float().cpu().numpy())
        return self.inner.after_layer(state) if state.layer in self.inner.layers else None


def _watched_relevance(
    model: OmniModel, encoded: EncodedClip, question: Question, method: Method
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    watched = _Watched(method, _layers_to_watch(model.shape))
    reserve = question.decoding.max_new_tokens
    prompt = build_prompt(model, encoded, question.text, question.system, reserve, method.wants, question.history)
    decoding = replace(question.decoding, max_new_tokens=1, temperature=0.0)
    generate(model, prompt, watched, decoding, StepTimer(model.thinker.device), question.kv)
    return watched.scores


def _layers_to_watch(shape: ModelShape) -> tuple[int, ...]:
    """Those after which SEATS drops tokens in this model, or the middle one."""
    try:
        dropping = Seats.for_model(shape, Retention(0.1, 0.1), 0).drop_layers
    except SettingsError:  # too few layers for its stages
        dropping = ()
    return dropping or (max(1, shape.num_layers // 2),)
