"""`seats profile`: a real model on a real clip, methods against full tokens."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from seats.bench.measure import Run, Spread, alternate, counted, own_shares, told_of
from seats.bench.rate import matmul_rate, synchronise
from seats.bench.report import STEPS, machine_json, rows_json, spread_json
from seats.costs.flops import flops_report
from seats.costs.memory import kv_cache_bytes, peak_device_bytes, reset_peak_device_bytes
from seats.costs.timers import StepTimer
from seats.inference.answer import Question
from seats.inference.encode import build_prompt, encode_clip
from seats.inference.generate import generate
from seats.keep import Setting
from seats.media import Clip, ReadingClip
from seats.models.omni import OmniModel
from seats.text import printable

SCHEMA = "seats.profile/1"


def profile(
    model: OmniModel,
    clip: Clip,
    question: Question,
    settings: Sequence[Setting],
    *,
    rounds: int,
    warmups: int,
    decode_ms: float | None = None,
    limit_s: float = math.inf,
    read: Callable[[], ReadingClip] | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Answer `question` with every setting, the first of which is full tokens, in alternation; a document of schema
    `seats.profile/1`.

    question: its method and retention are replaced by each setting's. rounds: counted ones, after `warmups`.
    decode_ms: time the clip took to decode, which is done once. limit_s: no round begins later. read: begins to read
    the clip again; given, the way from the file to the first token is measured too. A setting that does not fit, or
    that its method refuses, is told in its row. Raises MediaError for a clip too short for a token.
    """
    rates = []
    began = time.monotonic()

    def on_round() -> None:
        rates.append(matmul_rate(model.thinker.device, model.thinker.dtype))  # a GPU that has worked may run slower

    def run(setting: Setting) -> Run:
        return _run(model, clip, _asked(question, setting))

    rows = alternate(settings, run, rounds, warmups, on_round, limit_s, announce)
    rate = statistics.median(rates) if rates else None
    told = rows_json(rows, rate, encoders=True)
    if read is not None:
        announce("from the file")
        for row, made in zip(rows, told, strict=True):
            if row.done:
                try:
                    made["from_file_ms"] = _from_file(
                        model, read, _asked(question, row.setting), counted(rows), began + limit_s
                    )
                except Exception as error:  # what was measured before is not to be lost
                    made["from_file_ms"] = None
                    made["from_file_error"], trace = told_of(error)
                    if trace is not None:
                        made["traceback"] = trace
    return {
        "schema": SCHEMA,
        "model": {"name": model.name},
        "machine": machine_json(model.thinker, rate),
        "clip": _clip_json(clip, decode_ms),
        "question": question.text,
        "system": question.system,
        "keep": own_shares(settings),
        "kv": question.kv,
        "rounds": counted(rows),
        "warmups": warmups,
        "seed": question.decoding.seed,
        "rows": told,
    }


def _clip_json(clip: Clip, decode_ms: float | None) -> dict[str, Any]:
    return {
        "path": printable(str(clip.path)),
        "start_s": clip.start_s,
        "end_s": clip.end_s,
        "frames": clip.video and clip.video.pixels.shape[0],
        "size": clip.video and list(clip.video.pixels.shape[:1:-1]),
        "audio_s": clip.audio and clip.audio.seconds,
        "decode_ms": decode_ms,
        "notes": list(clip.notes),
    }


def _from_file(
    model: OmniModel, read: Callable[[], ReadingClip], asked: Question, rounds: int, until: float
) -> dict[str, dict[str, float] | None]:
    """From the opening of the file to the first token, the model loaded, on the host's clock: `first_token`; of that
    `read`, and `hidden`, how much of preparing and encoding passed beside reading. One more round is not counted.
    until: on the clock of `time.monotonic`; no round begins later, but the first that counts."""
    method = asked.method_for(model.shape)
    found: dict[str, list[float]] = {"first_token": [], "read": [], "hidden": []}
    for number in range(rounds + 1):
        if number > 1 and time.monotonic() > until:
            break
        timer = StepTimer(model.thinker.device)
        synchronise(model.thinker.device)
        began = time.perf_counter()
        clip = read()
        encoded = encode_clip(model, clip, [method.wants], timer)
        with timer.step("prepare"):
            prompt = build_prompt(model, encoded, asked.text, asked.system, asked.decoding.max_new_tokens, method.wants)
        made = generate(model, prompt, method, asked.decoding, timer, asked.kv)
        first, read_ms = 1e3 * (made.first_token_at - began), 1e3 * clip.seconds
        worked = sum(timer.ms().get(step, 0.0) for step in STEPS)
        found["first_token"].append(first)
        found["read"].append(read_ms)
        found["hidden"].append(max(0.0, read_ms + worked - first))
    return {name: spread_json(Spread.of(values[1:])) for name, values in found.items()}


def _asked(question: Question, setting: Setting) -> Question:
    keep = question.keep if setting.keep is None else setting.keep
    own_video, own_audio = setting.keep_video, setting.keep_audio
    return replace(question, method=setting.method, keep=keep, keep_video=own_video, keep_audio=own_audio)


def _run(model: OmniModel, clip: Clip, question: Question) -> Run:
    """One answer, from the decoded clip on."""
    thinker = model.thinker
    method = question.method_for(model.shape)
    timer = StepTimer(thinker.device)
    reset_peak_device_bytes(thinker.device)
    synchronise(thinker.device)
    began = time.perf_counter()
    encoded = encode_clip(model, clip, [method.wants], timer)
    with timer.step("prepare"):
        reserve = question.decoding.max_new_tokens
        prompt = build_prompt(model, encoded, question.text, question.system, reserve, method.wants)
    synchronise(thinker.device)
    ready = time.perf_counter()
    made = generate(model, prompt, method, question.decoding, timer, question.kv)
    steps = timer.ms()
    return Run(
        steps_ms=steps,
        prefill_ms=steps["prefill"] + steps.get("selection", 0.0),
        first_token_ms=1e3 * (ready - began) + made.first_token_ms,
        per_token_ms=made.per_token_ms,
        peak_bytes=peak_device_bytes(thinker.device),
        kv_cache_bytes=kv_cache_bytes(thinker.config, made.trace.cache_tokens, thinker.dtype.itemsize),
        trace=made.trace,
        flops=flops_report(thinker.config, made.trace, encoded.workload, method.wants, thinker.family),
    )
