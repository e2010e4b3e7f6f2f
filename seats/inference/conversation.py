"""Question after question about one clip, which is encoded once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from seats.costs.memory import reset_peak_device_bytes
from seats.costs.timers import StepTimer
from seats.devices import usual_device
from seats.errors import SettingsError
from seats.inference.answer import Answer, Question, answer_encoded, as_question, check_asked
from seats.inference.encode import EncodedClip, encode_clip
from seats.inference.refusals import check_selection
from seats.inference.stream import AnswerStream
from seats.inference.turns import turn_of
from seats.media import Clip
from seats.methods import Method
from seats.methods.base import BeforeLLM, Selection, Wrapper
from seats.models.omni import OmniModel, Turn
from seats.models.signals import EncoderWants
from seats.shortage import shortage_told
from seats.tokens.layout import Modality, TokenLayout, positions_of


class Conversation:
    """Questions about a decoded clip, each with settings of its own.

    The first question runs the encoders. Later ones use their outputs, and the choice before the LLM too where the
    method is the same and that choice does not depend on the text. An answer is the one that a new conversation would
    give with the same `turns`.

    clip: decoded (of `read_clip` its `result()`). decode_ms: time that took, told in the first answer's report; None
    where it is not known, as reports then say. The report of a later answer says 0 for decoding, and for encoding
    unless pictures were encoded again (`encoded_with`), and like every report gives the FLOPs of the question asked
    alone. history: whether earlier questions and answers are part of the prompt; None for what suits the model
    (`OmniModel.single_turn`).

        conversation = Conversation(model, clip)
        print(conversation.ask("Who is speaking?").text)
        print(conversation.ask("And what is she wearing?").text)
    """

    def __init__(
        self, model: OmniModel, clip: Clip, *, decode_ms: float | None = None, history: bool | None = None
    ) -> None:
        check_asked(model, clip)
        self.model, self.clip = model, clip
        self.history = not model.single_turn if history is None else history
        self.last: Answer | None = None
        """The latest answer, None before the first and after a reset."""
        self._turns: list[Turn] = []
        self._decode_ms = decode_ms
        self._encoder_ms: dict[str, float] = {}
        self._encoded: EncodedClip | None = None
        self._caught: tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]] = ({}, {})
        self._once: _ChosenOnce | None = None

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What the next prompt begins with."""
        return tuple(self._turns)

    def ask(
        self,
        question: Question | str,
        *,
        on_text: Callable[[str], None] = lambda _: None,
        on_end: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Answer the next question.

        question: its `history` is this conversation's and must be empty. on_text, on_end: as for `seats.answer`.
        Raises SeatsError; a question that is not answered, or is interrupted, is not part of the conversation.
        """
        with turn_of(self.model):
            return self._ask(as_question(question), on_text, on_end)

    def _ask(self, asked: Question, on_text: Callable[[str], None], on_end: Callable[[], None]) -> Answer:
        if asked.history:
            raise SettingsError("a conversation keeps the history itself: ask a question without one")
        asked = replace(asked, history=self.turns)
        method = asked.method_for(self.model.shape)
        timer = StepTimer(self.model.thinker.device)
        reset_peak_device_bytes(self.model.thinker.device)
        with shortage_told("the question and the clip do", self.model.thinker.device):
            encoded = self.encoded_with(method.wants, timer)
            for step, ms in self._encoder_ms.items():
                timer.add(step, ms)
            running = self._running(method)
            reused = isinstance(running, _ChosenOnce) and bool(running.made)
            made = answer_encoded(
                self.model,
                encoded,
                asked,
                timer,
                decode_ms=self._decode_ms,
                on_text=on_text,
                on_end=on_end,
                running=running,
                compared=running if reused else method,
            )
        if self.history and (made.text or made.thoughts is None):  # else the thoughts took all its tokens
            self._turns.append(Turn(asked.text, made.text))
        self.last = made
        self._decode_ms = None if self._decode_ms is None else 0.0
        self._encoder_ms = {step: 0.0 for step in self._encoder_ms if step != "prepare"}
        return made

    def stream(self, question: Question | str) -> AnswerStream:
        """`ask` for asyncio."""
        return AnswerStream(lambda give: self.ask(question, on_text=give), self.model)

    def reset(self) -> None:
        """Forget the questions and answers; the clip stays encoded."""
        self._turns.clear()
        self.last = None

    @usual_device()
    def encoded_with(self, wants: EncoderWants, timer: StepTimer | None = None) -> EncodedClip:
        """The encoded clip with what `wants` asks for. The encoders run if they have not; what they did not hand out
        then is made of what was caught as they ran, which is the step "saliency" of `timer` then. Of pictures encoded
        in parts nothing is caught: they are encoded once more, which `timer` gets by its steps."""
        thinker = self.model.thinker
        if self._encoded is None:
            own = StepTimer(thinker.device)
            with thinker.vision_probe() as vision, thinker.audio_probe() as audio:
                self._encoded = encode_clip(self.model, self.clip, [wants], own)
            if vision and len(vision["cos"]) < math.prod(self._encoded.grid or ()):
                vision.clear()  # encoded in parts, only the last of which was caught: all would be gigabytes
            self._caught, self._encoder_ms = (vision, audio), own.ms()
        timer = timer or StepTimer(thinker.device)
        encoded, (vision, audio) = self._encoded, self._caught
        video = encoded.video if wants.of_video else None
        if video is not None and wants not in video.signals and not vision:  # rather encoded once more than held
            again = encode_clip(self.model, replace(encoded.clip, audio=None), [wants], timer)
            assert again.video is not None
            video.signals[wants] = again.video.signals[wants]
        with torch.inference_mode(), timer.step("saliency"):
            if video is not None and encoded.grid and wants not in video.signals:
                video.signals[wants] = thinker.vision_signals(vision, encoded.grid, wants)
            if encoded.audio is not None and wants.of_audio and wants not in encoded.audio.signals:
                encoded.audio.signals[wants] = thinker.audio_signals(audio, wants)
        return encoded

    def _running(self, method: Method) -> Method:
        """What runs for a method: what chose for it before, if that may choose the same again."""
        if method.reads_text_before_llm:
            return method
        if self._once is None or not _same_settings(self._once.inner, method):
            self._once = _ChosenOnce(method)
        return self._once


def _same_settings(one: Method, other: Method) -> bool:
    """Whether all attributes of two methods of one class are equal, dataclass fields or not."""
    if type(one) is not type(other):
        return False
    try:
        return bool(one.__getstate__() == other.__getstate__())  # slots are part of it, too
    except Exception:  # tensors among them cannot be compared so; to choose anew is never wrong
        return False


@dataclass(frozen=True)
class _ChosenOnce(Wrapper):
    """A method whose choice before the LLM is made for the first prompt about a clip and holds for the next ones.

    made: empty before the first prompt, then the choice among the clip's `N` tokens (mask `[N]`, embeddings `[N, D]`).
    """

    made: list[Selection | None] = field(default_factory=list, compare=False)

    def before_llm(self, state: BeforeLLM) -> Selection | None:
        if not self.made:
            chosen = self.inner.before_llm(state)
            check_selection(chosen, self.inner, state.embeds)  # as the engine does, but before it is kept
            self.made.append(None if chosen is None else _of_clip(chosen, state.layout))
            return chosen
        return None if self.made[0] is None else _among(self.made[0], state)


def _clip_tokens(layout: TokenLayout) -> torch.Tensor:
    """Positions int64 `[N]` of the video and audio tokens."""
    counts = layout.counts()
    return positions_of(~layout.is_modality(Modality.TEXT), counts.video + counts.audio)


def _of_clip(chosen: Selection, layout: TokenLayout) -> Selection:
    """A choice among all tokens of a prompt, as one among those of its clip."""
    where = _clip_tokens(layout)
    return replace(
        chosen, keep=chosen.keep[where], embeds=None if chosen.embeds is None else chosen.embeds[where].clone()
    )


def _among(chosen: Selection, state: BeforeLLM) -> Selection:
    """A choice among the tokens of a clip, as one among all tokens of a prompt about it."""
    where = _clip_tokens(state.layout)
    keep = torch.ones(len(state.layout), dtype=torch.bool, device=chosen.keep.device)
    keep[where] = chosen.keep
    embeds = None
    if chosen.embeds is not None:
        embeds = state.embeds.to(chosen.embeds.dtype, copy=True)
        embeds[where] = chosen.embeds
    counts = None if chosen.counts is None else replace(chosen.counts, text=state.layout.counts().text)
    return replace(chosen, keep=keep, embeds=embeds, counts=counts)
