"""One question through the patched prefill and stock `generate()`."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.generation import logits_process
from transformers.generation.streamers import TextStreamer

from seats.checks import check_number, check_whole, set_checked
from seats.costs.timers import StepTimer
from seats.devices import moved, usual_device
from seats.errors import ModelError, SettingsError
from seats.inference.attach import attach
from seats.inference.encode import Prompt
from seats.inference.engine import Attachment, KvPolicy
from seats.inference.thoughts import BEGIN, part_thoughts
from seats.inference.trace import Trace
from seats.methods.base import Method
from seats.models.omni import OmniModel
from seats.shortage import lacks_memory, shortage_told

_COLDEST = 1e-3  # scores are divided by it, and must not overflow
_MARK_TOKENS = 16  # of the prompt's end, that hold `<think>` if it is there, whatever a tokenizer makes of it
_sampling = RLock()
"""Held while an answer is sampled: stock code draws from torch's own generator, of which there is one for all threads,
and another model's draws or seed in between would make another answer of the same seed."""


@dataclass(frozen=True)
class Decoding:
    """How the answer is generated.

    max_new_tokens: >= 1. temperature: 0, or from 0.001 on; 0 takes the token with the highest score, which the
    checkpoint's generation_config.json may have changed (by a repetition penalty, say). seed: of the sampling, and of
    methods that draw tokens; in [0, 2**63). Raises SettingsError for a value of another type or outside its range.
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        set_checked(self, check_whole, "max_new_tokens", "seed")
        set_checked(self, check_number, "temperature")
        if self.max_new_tokens < 1:
            raise SettingsError(f"max_new_tokens is {self.max_new_tokens}; an answer needs at least 1")
        if not (self.temperature == 0 or (math.isfinite(self.temperature) and self.temperature >= _COLDEST)):
            raise SettingsError(f"temperature is {self.temperature:g}; it must be 0, or {_COLDEST:g} or more")
        if not 0 <= self.seed < 2**63:
            raise SettingsError(f"seed is {self.seed}; it must be at least 0 and below 2**63")


@dataclass(frozen=True, eq=False)
class Generation:
    """text: the answer. thoughts: what a thinking model wrote before it, None for others. ids: tokens of both.
    finish_reason: "stop" or "length". first_token_ms: from the start of the prefill. first_token_at: when it came, on
    the clock of `time.perf_counter`. per_token_ms: mean of the tokens after the first, None if there were none."""

    text: str
    thoughts: str | None
    ids: tuple[int, ...]
    finish_reason: str
    trace: Trace
    first_token_ms: float
    first_token_at: float
    per_token_ms: float | None


@usual_device()
def generate(
    model: OmniModel,
    prompt: Prompt,
    method: Method,
    decoding: Decoding,
    timer: StepTimer,
    kv: KvPolicy = "keep",
    on_text: Callable[[str], None] = lambda _: None,
) -> Generation:
    """Answer a prompt. on_text gets the pieces of the answer as they come. Raises OutOfMemoryError, and ModelError
    where numbers overflow and for a generation_config.json that cannot be used."""
    thinker = model.thinker
    ids = moved(prompt.sequence.ids, thinker.device)[None]
    positions = moved(prompt.sequence.positions, thinker.device)
    order = torch.arange(ids.shape[1], device=thinker.device, dtype=positions.dtype)
    stops = _stop_ids(model)
    config = GenerationConfig(
        max_new_tokens=decoding.max_new_tokens,
        do_sample=decoding.temperature > 0,
        temperature=float(decoding.temperature) or None,  # stock code takes no whole number
        eos_token_id=stops or None,
        pad_token_id=model.tokenizer.pad_token_id,
        use_cache=True,
    )
    thinking = model.tokenizer.decode(prompt.sequence.ids[-_MARK_TOKENS:]).rstrip().endswith(BEGIN)
    streamer = _Streamer(model.tokenizer, thinking, on_text)
    with (
        _seeded(decoding),
        shortage_told(f"{ids.shape[1]} tokens do", thinker.device),
        attach(thinker, method, kv=kv, prepared=prompt.prepared, timer=timer) as attached,
    ):
        start = time.perf_counter()
        with _settings_told(model.name, attached):
            out = thinker.module.generate(
                input_ids=ids,
                inputs_embeds=prompt.embeds[None],
                attention_mask=torch.ones_like(ids),
                position_ids=torch.cat([order[None], positions])[:, None],
                generation_config=config,
                streamer=streamer,
                tokenizer=model.tokenizer,  # for stop strings
            )
    new = tuple(out[0, ids.shape[1] :].tolist())
    attached.check_finite()  # of an answer of one token, nothing else has
    thoughts, text = part_thoughts(model.tokenizer.decode(new, skip_special_tokens=True), thinking)
    times = streamer.times
    per_token = 1e3 * (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else None
    assert attached.trace is not None  # generate() ran the prefill
    # On MPS stock code looks only a step later whether the answer has ended, and takes back what that one made.
    attached.trace.decoded_tokens = len(new) - 1
    return Generation(
        text=text.strip(),
        thoughts=thoughts,
        ids=new,
        finish_reason="stop" if len(new) < decoding.max_new_tokens or new[-1] in stops else "length",
        trace=attached.trace,
        first_token_ms=1e3 * (times[0] - start),
        first_token_at=times[0],
        per_token_ms=per_token,
    )


@contextmanager
def _settings_told(name: str, attached: Attachment) -> Iterator[None]:
    """Raise ModelError where `generate()` fails over what the generation_config.json of the model `name` says."""
    try:
        yield
    except Exception as error:
        # Before anything of ours has run, stock code looks at its settings, and these are the checkpoint's.
        at_first = isinstance(error, (TypeError, ValueError)) and attached.trace is None
        if lacks_memory(error) or not (at_first or _in_settings(error)):
            raise
        said = " ".join(f"{type(error).__name__} {error}".split())[:200]  # it may quote what it cannot use
        raise ModelError(
            f"{name} cannot generate as its generation_config.json says: {said}: correct that file"
        ) from error


def _in_settings(error: Exception) -> bool:
    """Whether an error arose where stock code changes scores, or prepares to, as a checkpoint says."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__") == logits_process.__name__ for frame, _ in frames)


@contextmanager
def _seeded(decoding: Decoding) -> Iterator[None]:
    """Where an answer is sampled, the seed's draws and nobody else's while the context is open."""
    if decoding.temperature == 0:
        yield
        return
    with _sampling:
        torch.manual_seed(decoding.seed)
        yield


def _stop_ids(model: OmniModel) -> list[int]:
    """Ids that end an answer: what the checkpoint says, the tokenizer's end token and the end of a chat turn."""
    said: Any = model.thinker.module.generation_config.eos_token_id
    ids = set(said if isinstance(said, list) else [said])
    ids |= {model.tokenizer.eos_token_id, model.tokenizer.get_vocab().get("<|im_end|>")}
    return sorted(i for i in ids if i is not None)


class _Streamer(TextStreamer):
    """Hands on the answer's text as soon as it is final, and notes when each token came."""

    def __init__(self, tokenizer: Any, thinking: bool, on_text: Callable[[str], None]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.on_text = on_text
        self._thinking = thinking
        self._written, self._given = "", 0
        self.times: list[float] = []
        self._prompt_seen = False

    def put(self, value: torch.Tensor) -> None:
        if self._prompt_seen:
            self.times.append(time.perf_counter())
        self._prompt_seen = True
        super().put(value)

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self._written += text
        _, answer = part_thoughts(self._written, self._thinking, whole=stream_end)
        if len(answer) > self._given:
            self.on_text(answer[self._given :])
            self._given = len(answer)
