# ruff: noqa: RUF001  (a multiplication sign is meant)
"""The figures of an answer in words: what the page's cards and table say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from seats.media.sampling import frames_told
from seats.names import STEP_NAMES
from seats.text import printable
from seats.units import flops, milliseconds, times
from seats.view.token_map import TokenMap
from seats.view.words import clock, percent

_STEPS = (
    "decode_clip", "prepare", "encode_video", "encode_audio", "selection", "prefill", "first_token", "total",
)  # fmt: skip


def clip_line(seen: TokenMap) -> str:
    """What of the clip was seen and heard."""
    clip = seen.clip
    parts = [printable(clip.path.name)]
    used = clock(clip.end_s - clip.start_s)
    whole = clip.end_s - clip.start_s >= clip.duration_s - 0.05
    parts.append(used if whole else f"{used} of {clock(clip.duration_s)} from {clock(clip.start_s)}")
    if clip.video is not None:
        frames, _, height, width = clip.video.pixels.shape
        parts.append(f"{frames_told(frames, clip.video.fps, clip.video.still)}, {width}×{height}")
    else:
        parts.append("no pictures")
    parts.append(f"{clock(clip.audio.seconds)} of sound" if clip.audio is not None else "no sound")
    return " · ".join(parts)


def tiles(seen: TokenMap) -> list[tuple[str, str, str]]:
    """The three figures that matter most: (value, what it is, more about it)."""
    answer, trace = seen.answer, seen.answer.trace
    kept = " · ".join(f"{name}\u00a0{_whole(percent(trace.retention(name)))}" for name in seen.modalities())
    prefill = (answer.latency_ms["prefill"] or 0.0) + (answer.latency_ms["selection"] or 0.0)
    full, run = answer.flops.full, answer.flops.run
    if answer.method.name == "full":
        costs = (flops(run.total, "FLOPs"), "for the answer", "every token in every layer")
        speed = (milliseconds(prefill), "prefill", "")
    else:
        costs = (
            f"{times(answer.flops.reduction)} fewer",
            "FLOPs for the answer",
            f"{flops(run.total, 'FLOPs')} of {flops(full.total, 'FLOPs')}",
        )
        gain = answer.speedup
        speed = (
            milliseconds(prefill),
            "selection + prefill",
            f"{times(gain.prefill)} faster, measured"
            if gain.basis == "measured"
            else f"{times(answer.flops.llm_reduction)} fewer FLOPs there",
        )
    return [(percent(trace.retention("overall")), "of the clip’s tokens, layer average", kept), costs, speed]


def _whole(value: str) -> str:
    """A figure that no line break parts."""
    return value.replace(" ", "\u00a0")


def figures(seen: TokenMap) -> Iterator[tuple[str, str]]:
    """Rows of the table: what, and how much."""
    answer, trace = seen.answer, seen.answer.trace
    full, run = answer.flops.full, answer.flops.run
    thinker = answer.model.thinker
    dtype = str(thinker.dtype).removeprefix("torch.")
    yield "model", f"{PurePath(answer.model.name).name} · {dtype} · {thinker.device}"
    names = tuple(seen.modalities())
    for what, counts in (("tokens in the clip", trace.full), ("tokens entering the LLM", trace.pre_llm())):
        yield what, " · ".join(f"{getattr(counts, name):,} {name}" for name in names)
    yield "tokens of text", f"{trace.full.text:,}"
    kept = [f"{name} {percent(trace.retention(name))}" for name in (*names, "overall")]
    yield "retention, layer average", " · ".join(kept)
    yield "FLOPs", _of_full(run.total, full.total)
    yield "FLOPs, encoders", flops(run.vision_encoder + run.audio_encoder, "FLOPs")
    yield "FLOPs, selection + prefill", _of_full(run.after_encoders, full.after_encoders)
    for step in _STEPS:
        ms = answer.latency_ms[step]
        if ms is not None:
            yield f"time, {STEP_NAMES[step]}", milliseconds(ms)
    if answer.method.name != "full":
        gain = answer.speedup
        spread = "" if gain.spread is None else f" ({gain.spread[0]:.2f} to {gain.spread[1]:.2f})"
        yield "speed-up, selection + prefill", f"{times(gain.prefill)}{spread}, {gain.basis}"
    cache, peak = answer.kv_cache_bytes / 2**20, answer.peak_device_bytes / 2**20
    yield "memory", f"cache {cache:,.1f} MiB · peak {peak:,.0f} MiB"
    for note in (*answer.notes, *seen.notes):
        yield "note", note
    if answer.cut:
        yield "note", answer.cut


def _of_full(run: float, full: float) -> str:
    return flops(run, "FLOPs") + ("" if run == full else f" of {flops(full, 'FLOPs')} for full tokens")


def window_rows(seen: TokenMap) -> list[list[str]]:
    """The budget as a table: per window its seconds in the file, then per modality the tokens in it and left after
    each moment."""
    rows = []
    starts = seen.start + seen.window_starts
    for window in range(len(starts) - 1):
        row = [str(window + 1), f"{starts[window]:.1f}–{starts[window + 1]:.1f} s"]
        for tokens in seen.modalities().values():
            left = tokens.left[tokens.window == window]
            row += [f"{int((left >= moment).sum()):,}" for moment in range(len(seen.moments) + 1)]
        rows.append(row)
    return rows
