"""The vision encoder and products of a GPU otherwise than they are: what only a measurement can tell the worth of.

Milliseconds, medians; `gpu_profile.py` runs them all.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from seats.bench.rate import synchronise
from seats.models import fused
from seats.models import thinker as thinkers
from seats.models.presets import Preset
from seats.models.thinker import Thinker
from seats.selection import triton_kernels

PARTS = (4_096, 8_192, 16_384, 32_768, 65_536)
"""Patches at a time with which the vision encoder is tried: what is written by one step of a small part may still be in
the cache when the next reads it."""
_REPEATS = 10


def encoder_blocks(
    thinker: Thinker, patches: torch.Tensor, grid: tuple[int, int, int]
) -> dict[str, list[float]] | None:
    """The vision encoder with its blocks as they are, with the two products of their MLPs apart, and with all steps of
    a block apart: three rounds in turns. None where blocks are not fused.

    patches: `[T * Hp * Wp, C]`, on the device; grid: (T, Hp, Wp) in patches."""
    blocks = thinker.vision.blocks
    if not all("forward" in block.__dict__ for block in blocks):
        return None

    def encode() -> float:
        return 1e3 * time_once(lambda: thinker.encode_video(patches, grid), thinker.device)

    def products_apart() -> float:
        inner, fused._inner = fused._inner, lambda mlp, x: fused.gate(mlp.gate_proj(x), mlp.up_proj(x))
        try:
            return encode()
        finally:
            fused._inner = inner

    def steps_apart() -> float:
        forwards = [block.__dict__.pop("forward") for block in blocks]
        try:
            return encode()
        finally:
            for block, forward in zip(blocks, forwards, strict=True):
                block.forward = forward

    ways = (encode, products_apart, steps_apart)
    rounds = [[way() for way in ways] for _ in range(4)][1:]
    return {way.__name__: [one[i] for one in rounds] for i, way in enumerate(ways)}


def encoder_parts(thinker: Thinker, patches: torch.Tensor, grid: tuple[int, int, int]) -> list[dict[str, Any]]:
    """Milliseconds of the vision encoder, and the most memory beside the model's, by how many patches it takes at a
    time: three rounds in turns, the median and all three.

    patches: `[T * Hp * Wp, C]`, on the device; grid: (T, Hp, Wp) in patches."""
    device, usual = thinker.device, (thinkers.PATCHES_AT_ONCE, thinkers._GRIDS_KNOWN)
    taken: dict[int, list[float]] = {size: [] for size in PARTS}
    peak: dict[int, int] = {}
    thinkers._GRIDS_KNOWN = 2 * len(PARTS)  # or every size makes its tables anew, which a GPU waits for
    try:
        for warm in (False, True, True, True):
            for size in PARTS:
                thinkers.PATCHES_AT_ONCE = size
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(device)
                    before = torch.cuda.memory_allocated(device)
                seconds = time_once(lambda: thinker.encode_video(patches, grid), device)
                if device.type == "cuda":
                    peak[size] = torch.cuda.max_memory_allocated(device) - before
                if warm:
                    taken[size].append(1e3 * seconds)
    finally:
        thinkers.PATCHES_AT_ONCE, thinkers._GRIDS_KNOWN = usual
    return [
        {"patches": size, "ms": statistics.median(ms), "rounds_ms": ms, "peak_bytes": peak.get(size)}
        for size, ms in taken.items()
    ]


def gated_products(
    preset: Preset, lengths: dict[str, list[int]], device: torch.device, dtype: torch.dtype
) -> list[dict]:
    """The inner rows of a gated MLP: two products and a gate, and all in one kernel, by how many tiles are on their way
    and how many rows of them are worked on together. Empty where the kernel does not run.

    lengths: rows of a decoder layer ("text") and a vision block ("vision")."""
    if not triton_kernels.usable(torch.empty(0, device=device)):
        return []
    from seats.models import gated_product_triton as kernel

    told, usual = [], (kernel._STAGES, kernel._GROUP)
    for part, sizes in product_sizes(preset).items():
        out, width = sizes["gate"]
        gate, gate_bias = _weights(out, width, device, dtype)
        up, up_bias = _weights(out, width, device, dtype)
        for rows in lengths[part]:
            given = torch.randn(rows, width, device=device, dtype=dtype), gate, gate_bias, up, up_bias
            if not kernel.supports(given[0], gate, up):
                continue
            took = {"apart_ms": 1e3 * time_of(partial(_apart, *given), device)}
            try:
                for kernel._STAGES, kernel._GROUP in ((3, 8), (4, 8), (4, 16)):
                    name = f"{kernel._STAGES}_tiles_{kernel._GROUP}_rows_ms"
                    took[name] = 1e3 * time_of(partial(kernel.gated_product, *given), device)
            finally:
                kernel._STAGES, kernel._GROUP = usual
            told.append({"part": part, "rows": rows, **took})
    return told


def layouts(preset: Preset, lengths: dict[str, list[int]], device: torch.device, dtype: torch.dtype) -> list[dict]:
    """Milliseconds of products as they are and laid out otherwise, medians of ten: the sum with the residual stream
    inside the product that it follows, and one product for what several take from the same input.

    lengths: rows of a decoder layer ("text") and a vision block ("vision")."""
    config = preset.config()
    told = []
    for part, sizes in (("text", config.text_config), ("vision", config.vision_config)):
        width, inner = sizes.hidden_size, -(-sizes.intermediate_size // 8) * 8
        joined = {"gate, up": (2, inner)} | ({"q, k, v": (3, width)} if part == "vision" else {})
        for rows in lengths[part]:
            x = torch.randn(rows, width, device=device, dtype=dtype)
            for name, wide in (("o", width), ("down", inner)):
                y = torch.randn(rows, wide, device=device, dtype=dtype)
                weight, bias = _weights(width, wide, device, dtype)
                # Little is added, so that the sum stays finite however often it is done.
                runs = {
                    "apart": lambda x=x, y=y, weight=weight, bias=bias: x + F.linear(y, weight, bias),
                    "in one": lambda x=x, y=y, weight=weight: x.addmm_(y, weight.t(), alpha=1e-3),
                }
                told.append({"part": part, "rows": rows, "product": f"{name} + residual", **_each(runs, device)})
            for name, (count, out) in joined.items():
                weight, bias = _weights(count * out, width, device, dtype)
                ones = list(zip(weight.split(out), bias.split(out), strict=True))
                runs = {
                    "apart": lambda x=x, ones=ones: [F.linear(x, *one) for one in ones],
                    "in one": lambda x=x, weight=weight, bias=bias: F.linear(x, weight, bias),
                }
                told.append({"part": part, "rows": rows, "product": name, **_each(runs, device)})
    return told


def row_counts(preset: Preset, lengths: list[int], device: torch.device, dtype: torch.dtype) -> list[dict]:
    """Milliseconds of a decoder layer's products at these lengths and at multiples of 128 rows around them, by both of
    torch's libraries where there are two: medians of ten, None where a library cannot do it. A GPU computes in tiles,
    as many at a time as it has multiprocessors; where a few rows more begin a new round of tiles, two products may be
    faster than one."""
    libraries = ("cublas", "cublaslt") if device.type == "cuda" else (None,)
    told = []
    for length in lengths:
        around = sorted({length, *(128 * (length // 128 + more) for more in (-2, -1, 0, 1))} - {0, -128, -256})
        for name, (out, wide) in product_sizes(preset)["text"].items():
            weight = torch.randn(out, wide, device=device, dtype=dtype)
            for rows in around:
                x = torch.randn(rows, wide, device=device, dtype=dtype)
                for library in libraries:
                    ms = None
                    with _preferred(library), suppress(RuntimeError):
                        ms = 1e3 * time_of(lambda x=x, weight=weight: F.linear(x, weight), device)  # type: ignore[misc]
                    told.append({"near": length, "product": name, "rows": rows, "library": library, "ms": ms})
    return told


def product_sizes(preset: Preset) -> dict[str, dict[str, tuple[int, int]]]:
    """Output and input width of the products of a decoder layer and a vision block."""
    config = preset.config()
    text, vision = config.text_config, config.vision_config
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    queries, keys = text.num_attention_heads * head, text.num_key_value_heads * head
    return {
        "text": {
            "qkv": (queries + 2 * keys, text.hidden_size),
            "o": (text.hidden_size, queries),
            "gate": (text.intermediate_size, text.hidden_size),
            "down": (text.hidden_size, text.intermediate_size),
        },
        "vision": {
            "q": (vision.hidden_size, vision.hidden_size),
            "gate": (-(-vision.intermediate_size // 8) * 8, vision.hidden_size),
            "down": (vision.hidden_size, -(-vision.intermediate_size // 8) * 8),
        },
    }


def _apart(
    x: torch.Tensor, gate: torch.Tensor, gate_bias: torch.Tensor, up: torch.Tensor, up_bias: torch.Tensor
) -> torch.Tensor:
    return fused.gate(F.linear(x, gate, gate_bias), F.linear(x, up, up_bias))


def _weights(out: int, wide: int, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(out, wide, device=device, dtype=dtype), torch.randn(out, device=device, dtype=dtype)


@contextmanager
def _preferred(library: str | None) -> Iterator[None]:
    """Products by one of torch's libraries for CUDA; as ever for None."""
    if library:
        torch.backends.cuda.preferred_blas_library(library)
    try:
        yield
    finally:
        if library:
            torch.backends.cuda.preferred_blas_library("default")


def _each(runs: dict[str, Callable[[], Any]], device: torch.device) -> dict[str, float]:
    return {f"{name.replace(' ', '_')}_ms": 1e3 * time_of(run, device) for name, run in runs.items()}


def time_once(run: Callable[[], Any], device: torch.device) -> float:
    """Seconds until all of a run is done, what the host takes to begin and to notice the end included."""
    synchronise(device)
    began = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - began


def time_of(run: Callable[[], Any], device: torch.device) -> float:
    """Seconds of a run, median of ten after two more. On a GPU by its own clock, while it is busy before, so that
    nothing of the host counts, and with nothing in its cache, as weights are met by a model."""
    if device.type != "cuda":
        return statistics.median([time_once(run, device) for _ in range(_REPEATS + 2)][2:])
    other = torch.empty(2**30, dtype=torch.uint8, device=device)  # many times the cache; written in some 0.3 ms
    marks = []
    for _ in range(_REPEATS + 2):
        other.zero_()
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        run()
        ended.record()
        marks.append((began, ended))
    synchronise(device)
    return statistics.median([began.elapsed_time(ended) for began, ended in marks][2:]) / 1e3
