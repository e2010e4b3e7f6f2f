"""Question in, answer out, with everything that was measured on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from seats.checks import check_flag, check_kind, check_number, check_text, set_checked
from seats.costs.flops import FlopsReport, flops_report
from seats.costs.memory import kv_cache_bytes, peak_device_bytes, reset_peak_device_bytes
from seats.costs.timers import StepTimer
from seats.errors import OutOfMemoryError, SettingsError
from seats.inference.encode import EncodedClip, build_prompt, encode_clip
from seats.inference.engine import KvPolicy, check_kv
from seats.inference.generate import Decoding, Generation, generate
from seats.inference.speedup import Speedup, estimated_speedup, measured_speedup, warm_saliency_ms
from seats.inference.trace import Trace
from seats.inference.turns import turn_of
from seats.keep import method_label, off_target, shares
from seats.media import Clip, ReadingClip
from seats.methods import Full, Method, ModelShape, retention_for, set_up
from seats.models.omni import OmniModel, Turn
from seats.shortage import shortage_told
from seats.units import counted


@dataclass(frozen=True)
class Question:
    """One question and how to answer it.

    method: name in the registry. keep: percent of tokens, in (0, 100], as `--keep`; the pair it stands for depends on
    the model. keep_video, keep_audio: in (0, 1], overrule it. kv: "keep" or "drop", whether early layers keep the cache
    of tokens dropped later. system: system prompt, None for the model's own. compare: also measure full tokens, unless
    they are what is asked for. history: earlier questions about the clip with their answers, oldest first, which the
    prompt begins with. Raises SettingsError for a value of another type; that the method and the shares can be had is
    looked at when it is asked.
    """

    text: str
    method: str = "seats"
    keep: float = 10.0
    keep_video: float | None = None
    keep_audio: float | None = None
    kv: KvPolicy = "keep"
    system: str | None = None
    decoding: Decoding = field(default_factory=Decoding)
    compare: bool = False
    history: tuple[Turn, ...] = ()

    def __post_init__(self) -> None:
        check_text("the question", self.text)
        check_text("method", self.method)
        check_kv(self.kv)
        check_flag("compare", self.compare)
        own = [name for name in ("keep_video", "keep_audio") if getattr(self, name) is not None]
        set_checked(self, check_number, "keep", *own)
        if self.system is not None:
            check_text("the system prompt", self.system)
        check_kind("decoding", self.decoding, Decoding, "a seats.Decoding")
        check_kind("history", self.history, (tuple, list), "a tuple of seats.Turn")
        for turn in self.history:
            check_kind("a part of history", turn, Turn, "a seats.Turn")
        object.__setattr__(self, "history", tuple(self.history))

    def method_for(self, shape: ModelShape) -> Method:
        """The method set up for a model. Raises SeatsError as `seats.methods.set_up` does."""
        retention = retention_for(shape.family, self.keep, self.keep_video, self.keep_audio)
        return set_up(self.method, shape, retention, self.decoding.seed)


@dataclass(frozen=True, eq=False)
class Answer:
    """Answer and report; `report.answer_json` writes it out.

    thoughts: what a thinking model wrote before the answer, None for others. finish_reason: "stop", or "length" where
    it was cut after `question.decoding.max_new_tokens`. trace: tokens of each modality in every decoder layer, and
    where they left. flops: by part, two per multiply-add. latency_ms: by step, milliseconds, None where a step has no
    meaning (docs/json.md lists the steps). speedup: against full tokens. peak_device_bytes: since the question was put
    or, where several share their clip's encoding, since that began; on a CPU of the process. kv_cache_bytes: at the end
    of the prefill. time_scale: factor in (0, 1] by which times were compressed, 1 where the clip fits the model's
    range. notes: remarks that a user should see.
    """

    question: Question
    text: str
    thoughts: str | None
    finish_reason: str
    clip: Clip
    model: OmniModel
    method: Method
    trace: Trace
    flops: FlopsReport
    latency_ms: dict[str, float | None]
    speedup: Speedup
    peak_device_bytes: int
    kv_cache_bytes: int
    time_scale: float
    notes: tuple[str, ...]

    @property
    def label(self) -> str:
        """The method with its target, as in "seats 10%"."""
        asked = self.question
        return method_label(self.method.name, asked.keep, asked.keep_video, asked.keep_audio)

    @property
    def cut(self) -> str | None:
        """That the answer was cut, in words; None where it was not."""
        if self.finish_reason != "length":
            return None
        limit = counted(self.question.decoding.max_new_tokens, "token")
        if self.thoughts is not None and not self.text:
            return f"the model was still thinking after {limit}, so there is no answer"
        return f"the answer was cut after {limit}"


def answer(
    model: OmniModel,
    clip: Clip | ReadingClip,
    question: Question | str,
    *,
    decode_ms: float | None = None,
    on_text: Callable[[str], None] = lambda _: None,
    on_end: Callable[[], None] = lambda: None,
) -> Answer:
    """Answer one question about a decoded clip, or one that is being read (`read_clip`).

    question: text alone stands for a `Question` with the defaults. decode_ms: time the clip took to decode, for the
    report; one that is being read knows it itself. on_text: gets the answer's pieces as they come. on_end: is called
    after the last one, before anything else is measured. Threads that ask the same model wait for one another. Raises
    SeatsError.
    """
    check_asked(model, clip)
    asked = as_question(question)
    with turn_of(model):
        since = time.perf_counter()
        timer = StepTimer(model.thinker.device)
        reset_peak_device_bytes(model.thinker.device)
        method = asked.method_for(model.shape)
        encoded = encode_clip(model, clip, [method.wants], timer)
        if isinstance(clip, ReadingClip):
            decode_ms, since = 1e3 * clip.seconds, max(since, clip.ended)
        return answer_encoded(
            model, encoded, asked, timer, decode_ms=decode_ms, since=since, on_text=on_text, on_end=on_end
        )


def check_asked(model: Any, clip: Any) -> None:
    """Raise SettingsError for what is no model or no clip."""
    check_kind("the model", model, OmniModel, "what seats.load_model gives")
    check_kind("the clip", clip, (Clip, ReadingClip), "what seats.load_clip or seats.read_clip gives")


def as_question(question: Any) -> Question:
    """A question, or one of its text alone. Raises SettingsError for anything else, and for one without words."""
    asked = Question(question) if isinstance(question, str) else question
    check_kind("the question", asked, Question, "a seats.Question or text")
    if not asked.text.strip():
        raise SettingsError("the question is empty")
    return asked


def answer_encoded(
    model: OmniModel,
    encoded: EncodedClip,
    question: Question,
    timer: StepTimer,
    *,
    decode_ms: float | None = None,
    since: float | None = None,
    on_text: Callable[[str], None] = lambda _: None,
    on_end: Callable[[], None] = lambda: None,
    running: Method | None = None,
    compared: Method | None = None,
) -> Answer:
    """Answer a question about a clip that was encoded before, with what its method wants of the encoders.

    since: when the clip had been read, or encoding began if that was later, on the clock of `time.perf_counter`; None
    where it was encoded at another time. running: what takes the method's place in the model, for callers who wrap it;
    the report names the method itself. compared: what takes it where full tokens are measured beside it.
    """
    method = question.method_for(model.shape)
    with timer.step("prepare"), shortage_told("the clip's prompt does", model.thinker.device):
        reserve = question.decoding.max_new_tokens
        prompt = build_prompt(model, encoded, question.text, question.system, reserve, method.wants, question.history)
    made = generate(model, prompt, running or method, question.decoding, timer, question.kv, on_text)
    on_end()
    peak = peak_device_bytes(model.thinker.device)  # before full tokens are measured beside it
    config = model.thinker.config
    flops = flops_report(config, made.trace, encoded.workload, method.wants, model.thinker.family)
    steps = timer.ms()
    if not (method.wants.of_video or method.wants.of_audio):
        steps.pop("saliency", None)  # it was read for others
    latency = _latency(steps, made, decode_ms, since)
    speedup = estimated_speedup(flops, latency)
    unmeasured: tuple[str, ...] = ()
    if isinstance(method, Full):
        speedup = Speedup(1.0, 1.0, "estimated")
    elif question.compare:
        try:
            saliency_ms = steps.get("saliency", 0.0)
            if steps.get("encode_video") or steps.get("encode_audio"):
                saliency_ms = warm_saliency_ms(model, encoded.clip, method)
            speedup = measured_speedup(model, prompt, compared or method, question.kv, latency, saliency_ms)
        except OutOfMemoryError:  # most likely of full tokens
            unmeasured = (f"not enough memory on {model.thinker.device} to measure the speed-up, so it is estimated",)
    cache_tokens = made.trace.cache_tokens
    return Answer(
        question=question,
        text=made.text,
        thoughts=made.thoughts,
        finish_reason=made.finish_reason,
        clip=encoded.clip,
        model=model,
        method=method,
        trace=made.trace,
        flops=flops,
        latency_ms=latency,
        speedup=speedup,
        peak_device_bytes=peak,
        kv_cache_bytes=kv_cache_bytes(config, cache_tokens, model.thinker.dtype.itemsize),
        time_scale=prompt.sequence.time_scale,
        notes=(
            *encoded.clip.notes,
            *encoded.notes,
            *_time_note(prompt.sequence.time_scale, question.decoding),
            *_target_note(question, model, made.trace),
            *unmeasured,
        ),
    )


def _target_note(question: Question, model: OmniModel, trace: Trace) -> tuple[str, ...]:
    video, audio = trace.full.video, trace.full.audio
    pair = shares(model.shape.family, question.keep, question.keep_video, question.keep_audio)
    return off_target(question.method, (trace.retention("overall") or 0.0) * (video + audio), video, audio, pair)


def _time_note(scale: float, decoding: Decoding) -> tuple[str, ...]:
    if scale == 1.0:
        return ()
    room = f"the clip, with room for an answer of {decoding.max_new_tokens:,} tokens,"
    return (f"{room} is longer than the model's time range: times were compressed to {100 * scale:.0f} %",)


def _latency(
    steps: dict[str, float], made: Generation, decode_ms: float | None, since: float | None
) -> dict[str, float | None]:
    """Milliseconds per step. selection: saliency too. first_token: reading, and all that came after it until then; the
    sum of the steps where `since` does not say when that began. The model's loading is left out."""
    decode_ms = None if decode_ms is None else float(decode_ms)
    saliency = steps.get("saliency", 0.0)
    if since is None:
        encoding = saliency + sum(steps.get(name, 0.0) for name in ("prepare", "encode_video", "encode_audio"))
        after_reading = encoding + made.first_token_ms
    else:
        after_reading = 1e3 * (made.first_token_at - since)
    first = (decode_ms or 0.0) + after_reading
    rest = (made.per_token_ms or 0.0) * (len(made.ids) - 1)
    return {
        "decode_clip": decode_ms,
        "prepare": steps.get("prepare", 0.0),
        "encode_video": steps.get("encode_video"),
        "encode_audio": steps.get("encode_audio"),
        "selection": saliency + steps.get("selection", 0.0),
        "prefill": steps["prefill"],
        "first_token": first,
        "per_output_token": made.per_token_ms,
        "total": first + rest,
    }
