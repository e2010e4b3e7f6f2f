"""What a worker must know, in plain values that travel to other processes and machines, and their digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from seats.keep import code_digest
from seats.media import FrameSampling
from seats.models.checkpoint import Checkpoint
from seats.models.fingerprint import fingerprint
from seats.plan.limit import Limit

DECODE_TIMEOUT_S = 600.0
DECODE_MEMORY = 4 * 2**30


@dataclass(frozen=True)
class ModelSettings:
    """As for `load_model`. threads: for its CPU work, None for torch's own choice."""

    checkpoint: Checkpoint
    device: str = "auto"
    dtype: str = "auto"
    quantize: str | None = None
    threads: int | None = None


@dataclass(frozen=True)
class ClipSettings:
    """As for `load_clip`. timeout_s, memory_bytes: limits of reading one clip; memory is counted above what the idle
    decoder needs. limit: of the device's memory, for which frames and pixels of a clip are lowered."""

    sampling: FrameSampling
    start_s: float | None = None
    end_s: float | None = None
    use_video: bool = True
    use_audio: bool = True
    timeout_s: float = DECODE_TIMEOUT_S
    memory_bytes: int = DECODE_MEMORY
    limit: Limit | None = None

    def smaller(self, frames: int, pixels: int) -> ClipSettings:
        """About a quarter of the video tokens of a clip that had `frames` frames of `pixels` pixels: half of both, of
        frames in whole pairs, at least one."""
        few, small = max(2, frames // 4 * 2), max(1, pixels // 2)
        return replace(self, sampling=self.sampling.changed(max_frames=few, max_pixels=small))


@dataclass(frozen=True)
class AnswerSettings:
    """As for `Question` and `Decoding`, without the text."""

    method: str = "seats"
    keep: float = 10.0
    keep_video: float | None = None
    keep_audio: float | None = None
    kv: str = "keep"
    system: str | None = None
    max_new_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0
    compare: bool = False


@dataclass(frozen=True)
class Setup:
    """Everything a worker needs. decoders: processes that decode the next clips. digest: of what answers depend on.
    debug: whether tracebacks of errors that nobody foresaw go to standard error."""

    model: ModelSettings
    clip: ClipSettings
    answer: AnswerSettings
    digest: str
    decoders: int = 1
    debug: bool = False

    @classmethod
    def of(cls, model: ModelSettings, clip: ClipSettings, answer: AnswerSettings, decoders: int = 1) -> Setup:
        """With the digest. Reads the checkpoint's files; raises ModelError if weights are missing."""
        return cls(model, clip, answer, digest_of(model, clip, answer), decoders)


def digest_of(model: ModelSettings, clip: ClipSettings, answer: AnswerSettings) -> str:
    """Digest, hexadecimal, of all that an answer depends on beside clip and question.

    Not in it: the model's name (its files count), the device, and limits on the time and memory of reading a clip. Of
    another package's method its code is.
    """
    answering = asdict(answer)
    if answer.method == "full":  # retention means nothing to it
        answering |= {"keep": None, "keep_video": None, "keep_audio": None}
    reading = asdict(clip)
    del reading["timeout_s"], reading["memory_bytes"], reading["limit"]
    if clip.limit is not None:
        reading["max_vram"] = clip.limit.limit_bytes
    said = [fingerprint(model.checkpoint), model.dtype, model.quantize, reading, answering]
    if code := code_digest(answer.method):
        said.append(code)
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def question_of(settings: AnswerSettings, text: str) -> Any:
    """The library's `Question`. Imports torch. Raises SettingsError."""
    from seats.inference.answer import Question
    from seats.inference.generate import Decoding

    return Question(
        text=text,
        method=settings.method,
        keep=settings.keep,
        keep_video=settings.keep_video,
        keep_audio=settings.keep_audio,
        kv=settings.kv,  # type: ignore[arg-type]
        system=settings.system,
        decoding=Decoding(settings.max_new_tokens, settings.temperature, settings.seed),
        compare=settings.compare,
    )


def planned_ask(setup: Setup, device: str) -> Any:
    """The `seats.plan.plan.Ask` of a question, without its text. device: "cpu", "cuda" or "mps"."""
    from seats.plan.limit import foreseeable
    from seats.plan.model import of_checkpoint
    from seats.plan.plan import Ask
    from seats.plan.weights import dtype_bytes

    model, clip, answer = setup.model, setup.clip, setup.answer
    return Ask(
        system=answer.system,
        method=foreseeable(answer.method),
        keep=answer.keep,
        keep_video=answer.keep_video,
        keep_audio=answer.keep_audio,
        kv=answer.kv,
        answer_tokens=answer.max_new_tokens,
        device=device,
        dtype_bytes=dtype_bytes(of_checkpoint(model.checkpoint), device, model.dtype),
        quantize=model.quantize,
        start_s=clip.start_s,
        end_s=clip.end_s,
        compare=answer.compare,
    )
