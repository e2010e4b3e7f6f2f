"""`seats profile`: a real model on a real clip, methods against full tokens."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from seats.bench.measure import Run, Setting, alternate, counted
from seats.bench.rate import matmul_rate, synchronise
from seats.bench.report import machine_json, rows_json
from seats.costs.flops import flops_report
from seats.costs.memory import kv_cache_bytes, peak_device_bytes
from seats.costs.timers import StepTimer
from seats.errors import MediaError
from seats.inference.answer import Question
from seats.inference.encode import EncodedClip, build_prompt
from seats.inference.generate import generate
from seats.media import Clip
from seats.models.omni import OmniModel
from seats.models.signals import EncoderWants
from seats.tokens import log_mel, mel_frames, patchify

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
    announce: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Answer `question` with every setting, the first of which is full tokens, in alternation; a document of schema
    `seats.profile/1`.

    question: its method and retention are replaced by each setting's. rounds: counted ones, after `warmups`.
    decode_ms: time the clip took to decode, which is done once. limit_s: no round begins later. A setting that does
    not fit, or that its method refuses, is told in its row. Raises MediaError for a clip too short for a token.
    """
    rates = []

    def on_round(done: int, total: int) -> None:
        announce(f"round {done + 1} of {total}")
        rates.append(matmul_rate(model.thinker.device, model.thinker.dtype))  # a GPU that has worked may run slower

    rows = alternate(
        settings, lambda setting: _run(model, clip, _asked(question, setting)), rounds, warmups, on_round, limit_s
    )
    rate = statistics.median(rates)
    return {
        "schema": SCHEMA,
        "model": {"name": model.name},
        "machine": machine_json(model.thinker, rate),
        "clip": {
            "path": str(clip.path),
            "start_s": clip.start_s,
            "end_s": clip.end_s,
            "frames": clip.video and clip.video.pixels.shape[0],
            "size": clip.video and list(clip.video.pixels.shape[:1:-1]),
            "audio_s": clip.audio and clip.audio.seconds,
            "decode_ms": decode_ms,
            "notes": list(clip.notes),
        },
        "question": question.text,
        "kv": question.kv,
        "rounds": counted(rows),
        "warmups": warmups,
        "seed": question.decoding.seed,
        "rows": rows_json(rows, rate, encoders=True),
    }


def _asked(question: Question, setting: Setting) -> Question:
    keep = question.keep if setting.keep is None else setting.keep
    return replace(question, method=setting.method, keep=keep)


def _run(model: OmniModel, clip: Clip, question: Question) -> Run:
    """One answer, from the decoded clip on."""
    thinker = model.thinker
    method = question.method_for(model.shape)
    timer = StepTimer(thinker.device)
    if thinker.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(thinker.device)
    synchronise(thinker.device)
    began = time.perf_counter()
    encoded = _encode(model, clip, method.wants, timer)
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


def _encode(model: OmniModel, clip: Clip, wants: EncoderWants, timer: StepTimer) -> EncodedClip:
    thinker = model.thinker
    video = audio = grid = None
    frames = 0
    if clip.video is not None:
        with timer.step("prepare"):
            pixels = clip.video.pixels.to(thinker.device)
            patches, grid = patchify(pixels, model.patches, thinker.vision.dtype)
            del pixels
        video = thinker.encode_video(patches, grid, wants, step=timer.step)
        del patches
    if clip.audio is not None:
        frames = mel_frames(len(clip.audio.waveform), model.mel)
        if thinker.family.audio_tokens(frames, thinker.config):
            with timer.step("prepare"):
                mel = log_mel(clip.audio.waveform, model.mel)
            audio = thinker.encode_audio(mel, wants, step=timer.step)
        else:
            frames = 0
    if video is None and audio is None:
        raise MediaError(f"{clip.path}: nothing to look at or listen to in the part asked about")
    seconds = model.patches.temporal_patch_size / clip.video.fps if clip.video is not None else 1.0
    return EncodedClip(clip, video, audio, grid, frames, seconds)
