"""Where a GPU's time goes: kernels by name, and products of the sizes that matter alone. One JSON document.

    python benchmarks/gpu_profile.py --model qwen2.5-omni-7b

One prefill of full tokens, one of `seats` at 10 % and one pass of the vision encoder under torch's profiler, each after
a warm-up; then matrix products of a decoder layer and of a vision block at the lengths that they meet, a vision block's
attention in its windows with the kernel made for them and without, a decoder layer's attention by FlashAttention, as
prefills run it here, and by cuDNN, as torch may choose it; and what is not done yet because only a measurement can tell
whether it pays: other sizes of the parts in which a clip's patches are encoded, products laid out otherwise, and
products of some rows more or less.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from seats.bench.build import random_thinker
from seats.bench.measure import FULL
from seats.bench.presets import Preset, find_preset
from seats.bench.rate import matmul_rate, synchronise
from seats.bench.subject import Subject
from seats.bench.workload import media_load, token_load
from seats.keep import Setting
from seats.models import fused
from seats.models import thinker as thinkers
from seats.models.thinker import Thinker, grids_at_once
from seats.tokens.patches import patchify

KERNELS = 40
"""So many kernels of each run are told, those that took longest."""
PARTS = (4_096, 8_192, 16_384, 32_768, 65_536)
"""Patches at a time with which the vision encoder is tried: what is written by one step of a small part may still be in
the cache when the next reads it."""
_REPEATS = 10


def profiled(run: Callable[[], Any], device: torch.device) -> dict[str, Any]:
    """Kernels of one run, after another that is not looked at: calls and milliseconds on the device by name."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    run()
    synchronise(device)
    with profile(activities=activities) as taken:
        run()
        synchronise(device)
    if device.type == "cuda":  # operations count what they launch, which is there by itself, too
        found = [one for one in taken.key_averages() if one.device_type.name == "CUDA"]
        kernels = [{"name": one.key[:160], "calls": one.count, "ms": one.self_device_time_total / 1e3} for one in found]
    else:
        kernels = [{"name": e.key, "calls": e.count, "ms": e.self_cpu_time_total / 1e3} for e in taken.key_averages()]
    kernels.sort(key=lambda one: -one["ms"])
    return {"ms": sum(one["ms"] for one in kernels), "kernels": kernels[:KERNELS]}


def products(preset: Preset, lengths: dict[str, list[int]], device: torch.device, dtype: torch.dtype) -> list[dict]:
    """Rate of every matrix product of a decoder layer ("text") and a vision block ("vision") at these lengths, FLOPs a
    second (2 a multiply-add), median of ten."""
    sizes = _products(preset)
    told = []
    for part, named in sizes.items():
        for name, (out, wide) in named.items():
            weight = torch.randn(out, wide, device=device, dtype=dtype)
            for rows in lengths[part]:
                x = torch.randn(rows, wide, device=device, dtype=dtype)
                seconds = _seconds(lambda x=x, weight=weight: F.linear(x, weight), device)  # type: ignore[misc]
                rate = 2 * rows * out * wide / seconds
                told.append({"part": part, "product": name, "rows": rows, "out": out, "in": wide, "flops_per_s": rate})
    return told


def _products(preset: Preset) -> dict[str, dict[str, tuple[int, int]]]:
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


def window_attention(thinker: Thinker, grid: tuple[int, int, int]) -> dict[str, list[float]] | None:
    """Milliseconds that the first vision block's attention, its products included, takes with the kernel for short
    windows and with a rotation before an attention of any lengths, in turns: medians of ten. None where the windows are
    whole pictures.

    grid: (T, Hp, Wp) in patches."""
    encoder, device = thinker.vision, thinker.device
    tables = thinker.family.grid_tables(encoder, grid, device).encoder
    if "cu_window_seqlens" not in tables:
        return None
    attention = encoder.blocks[0].attn
    tokens, dim = math.prod(grid), encoder.config.hidden_size // encoder.config.num_heads
    x = torch.randn(tokens, encoder.config.hidden_size, device=device, dtype=encoder.dtype)
    angle = torch.rand(tokens, dim // 2, device=device).repeat(1, 2)
    given = x, tables["cu_window_seqlens"], (angle.cos(), angle.sin()), tables["max_window_seqlen"]

    def without_kernel() -> None:
        kernel, fused._window_kernel = fused._window_kernel, lambda *_: None  # type: ignore[assignment]
        try:
            fused._vision_attention(attention, *given)
        finally:
            fused._window_kernel = kernel

    runs = {"one_kernel": lambda: fused._vision_attention(attention, *given), "rotated_before": without_kernel}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    with torch.inference_mode():
        for _ in range(3):
            for name, run in runs.items():
                taken[name].append(1e3 * _seconds(run, device))
    return taken


def prompt_attention(preset: Preset, lengths: list[int], device: torch.device, dtype: torch.dtype) -> list[dict]:
    """Milliseconds of causal attention in a decoder layer by length: of the first call with that length, which may make
    a plan, and the median of ten more; None where a backend cannot do it."""
    text = preset.config().text_config
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    told = []
    for length in lengths:
        q = torch.randn(1, text.num_attention_heads, length, head, device=device, dtype=dtype)
        k, v = (torch.randn(1, text.num_key_value_heads, length, head, device=device, dtype=dtype) for _ in range(2))

        def run(q: torch.Tensor = q, k: torch.Tensor = k, v: torch.Tensor = v) -> None:
            F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

        for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION):
            first = median = None
            with sdpa_kernel(backend), suppress(RuntimeError):
                synchronise(device)
                began = time.perf_counter()
                run()
                synchronise(device)
                first = 1e3 * (time.perf_counter() - began)
                median = 1e3 * _seconds(run, device)
            told.append({"tokens": length, "backend": backend.name, "first_ms": first, "ms": median})
    return told


def encoder_parts(thinker: Thinker, patches: torch.Tensor, grid: tuple[int, int, int]) -> list[dict[str, Any]]:
    """Milliseconds of the vision encoder, and the most memory beside the model's, by how many patches it takes at a
    time: three rounds in turns, the median and all three.

    patches: `[T * Hp * Wp, C]`, on the device; grid: (T, Hp, Wp) in patches."""
    device, usual = thinker.device, thinkers.PATCHES_AT_ONCE
    taken: dict[int, list[float]] = {size: [] for size in PARTS}
    peak: dict[int, int] = {}
    try:
        for warm in (False, True, True, True):
            for size in PARTS:
                thinkers.PATCHES_AT_ONCE = size
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(device)
                    before = torch.cuda.memory_allocated(device)
                seconds = _once(lambda: thinker.encode_video(patches, grid), device)
                if device.type == "cuda":
                    peak[size] = torch.cuda.max_memory_allocated(device) - before
                if warm:
                    taken[size].append(1e3 * seconds)
    finally:
        thinkers.PATCHES_AT_ONCE = usual
    return [
        {"patches": size, "ms": statistics.median(ms), "rounds_ms": ms, "peak_bytes": peak.get(size)}
        for size, ms in taken.items()
    ]


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
    torch's libraries where there are two: medians of ten. A GPU computes in tiles, as many at a time as it has
    multiprocessors; where a few rows more begin a new round of tiles, two products may be faster than one."""
    libraries = ("cublas", "cublaslt") if device.type == "cuda" else (None,)
    told = []
    for length in lengths:
        around = sorted({length, *(128 * (length // 128 + more) for more in (-2, -1, 0, 1))} - {0, -128, -256})
        for name, (out, wide) in _products(preset)["text"].items():
            weight = torch.randn(out, wide, device=device, dtype=dtype)
            for rows in around:
                x = torch.randn(rows, wide, device=device, dtype=dtype)
                for library in libraries:
                    if library:
                        torch.backends.cuda.preferred_blas_library(library)
                    ms = 1e3 * _seconds(lambda x=x, weight=weight: F.linear(x, weight), device)  # type: ignore[misc]
                    told.append({"near": length, "product": name, "rows": rows, "library": library, "ms": ms})
    if device.type == "cuda":
        torch.backends.cuda.preferred_blas_library("default")
    return told


def _weights(out: int, wide: int, device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(out, wide, device=device, dtype=dtype), torch.randn(out, device=device, dtype=dtype)


def _each(runs: dict[str, Callable[[], Any]], device: torch.device) -> dict[str, float]:
    return {f"{name.replace(' ', '_')}_ms": 1e3 * _seconds(run, device) for name, run in runs.items()}


def _once(run: Callable[[], Any], device: torch.device) -> float:
    synchronise(device)
    began = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - began


def _seconds(run: Callable[[], Any], device: torch.device) -> float:
    return statistics.median([_once(run, device) for _ in range(_REPEATS + 2)][2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-omni-7b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tokens", default="8600+3000+150", help="video, audio and text of the prompt")
    parser.add_argument("--frames", type=int, default=128)
    parser.add_argument("--size", default="854x480")
    said = parser.parse_args()
    device, preset = torch.device(said.device), find_preset(said.model)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    video, audio, text = (int(part) for part in said.tokens.split("+"))
    width, height = (int(side) for side in said.size.split("x"))
    thinker = random_thinker(preset, device, dtype)
    prompt = Subject(thinker, preset, token_load(preset, video, audio, text))
    seats = Setting("seats", 10.0)
    lengths = sorted({counts.total for counts in prompt.run(seats).trace.layers} | {video + audio + text})  # type: ignore[union-attr]
    runs = {setting.label: profiled(lambda s=setting: prompt.run(s), device) for setting in (FULL, seats)}  # type: ignore[misc]
    clip = Subject(thinker, preset, media_load(preset, said.frames, width, height, said.frames / 2))
    assert clip.load.grid is not None
    grids, high, wide = clip.load.grid
    assert clip._pixels is not None
    patches, grid = patchify(clip._pixels, clip._patch_spec, thinker.vision.dtype)
    runs["vision encoder"] = profiled(lambda: thinker.encode_video(patches, grid), device)
    part = min(grids, grids_at_once(high * wide, ())) * high * wide
    print(
        json.dumps(
            {
                "model": preset.name,
                "torch": torch.__version__,
                "matmul_flops_per_s": matmul_rate(device, dtype),
                "runs": runs,
                "products": products(preset, {"text": lengths, "vision": [part]}, device, dtype),
                "window_attention_ms": window_attention(thinker, (part // (high * wide), high, wide)),
                "encoder_parts": encoder_parts(thinker, patches, grid),
                "layouts": layouts(preset, {"text": lengths, "vision": [part]}, device, dtype),
                "row_counts": row_counts(preset, [one for one in lengths if one < max(lengths)], device, dtype),
                "prompt_attention": prompt_attention(preset, [*lengths, 4 * max(lengths)], device, dtype),
            }
        )
    )


if __name__ == "__main__":
    main()
