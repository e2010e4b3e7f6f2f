"""Where a GPU's time goes: kernels by name, and products of the sizes that matter alone. One JSON document.

    python benchmarks/gpu_profile.py --model qwen2.5-omni-7b

One prefill of full tokens, one of `seats` at 10 % and one pass of the vision encoder under torch's profiler, each after
a warm-up; then matrix products of a decoder layer and of a vision block at the lengths that they meet, a vision block's
attention in its windows with the kernel made for them and without, the vision encoder with its blocks as they are and
less fused, attention in a decoder layer and in whole pictures by FlashAttention, as runs have it here, and by cuDNN, as
torch may choose it; and what is not done yet because only a measurement can tell whether it pays: other sizes of the
parts in which a clip's patches are encoded, products laid out otherwise, a gated MLP's inner rows made by one kernel in
decoder layers too, and products of some rows more or less. What fails is null, and "failed" says why.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.gpu_layouts import (
    encoder_blocks,
    encoder_parts,
    gated_products,
    layouts,
    product_sizes,
    row_counts,
    time_of,
)
from seats.bench.build import random_thinker
from seats.bench.rate import matmul_rate, synchronise
from seats.bench.subject import Subject
from seats.bench.workload import media_load, token_load
from seats.keep import FULL, Setting
from seats.models import fused
from seats.models.presets import Preset, find_preset
from seats.models.thinker import Thinker, grids_at_once
from seats.models.window_attention import windowed_attention
from seats.tokens.patches import patchify

KERNELS = 40
"""So many kernels of each run are told, those that took longest."""


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
    sizes = product_sizes(preset)
    told = []
    for part, named in sizes.items():
        for name, (out, wide) in named.items():
            weight = torch.randn(out, wide, device=device, dtype=dtype)
            for rows in lengths[part]:
                x = torch.randn(rows, wide, device=device, dtype=dtype)
                seconds = time_of(lambda x=x, weight=weight: F.linear(x, weight), device)  # type: ignore[misc]
                rate = 2 * rows * out * wide / seconds
                told.append({"part": part, "product": name, "rows": rows, "out": out, "in": wide, "flops_per_s": rate})
    return told


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
                taken[name].append(1e3 * time_of(run, device))
    return taken


def grid_attention(preset: Preset, grids: int, area: int, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Milliseconds of attention within whole pictures of `area` patches, as in the vision blocks that have no windows:
    by the kernel for any lengths that they use, and of pictures of one size by FlashAttention and cuDNN: medians of
    ten, None where a backend cannot do it."""
    vision = preset.config().vision_config
    shape = grids, area, vision.num_heads, vision.hidden_size // vision.num_heads
    q, k, v = (torch.randn(*shape, device=device, dtype=dtype) for _ in range(3))
    cu = torch.arange(0, grids * area + 1, area, dtype=torch.int32, device=device)
    flat = [x.flatten(0, 1).transpose(0, 1)[None] for x in (q, k, v)]

    def any_lengths() -> None:
        windowed_attention(None, *flat, None, cu_seq_lens_q=cu, max_length_q=area)  # type: ignore[arg-type]

    def one_size() -> torch.Tensor:
        return F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))

    took: dict[str, Any] = {"grids": grids, "patches": area, "any_lengths_ms": 1e3 * time_of(any_lengths, device)}
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION):
        took[f"{backend.name.lower()}_ms"] = None
        with sdpa_kernel(backend), suppress(RuntimeError):
            took[f"{backend.name.lower()}_ms"] = 1e3 * time_of(one_size, device)
    return took


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
                median = 1e3 * time_of(run, device)
            told.append({"tokens": length, "backend": backend.name, "first_ms": first, "ms": median})
    return told


def tried(measurements: dict[str, Callable[[], Any]], limit_s: float) -> dict[str, Any]:
    """What each gives, None for one that fails, and under "failed" why: the others are not to be lost with it. limit_s:
    none begins later."""
    until = time.monotonic() + limit_s
    told: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for name, measure in measurements.items():
        told[name] = None
        if time.monotonic() > until:
            failed[name] = "no time left"
            continue
        try:
            told[name] = measure()
        except Exception as error:
            traceback.print_exc()
            failed[name] = f"{type(error).__name__}: {error}"
    return {**told, "failed": failed}


def measured(
    preset: Preset, device: torch.device, tokens: list[int], frames: int, size: list[int], limit_s: float
) -> dict[str, Any]:
    """The document. tokens: video, audio and text of the prompt; frames, size: of the clip, size in pixels."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    thinker = random_thinker(preset, device, dtype)
    prompt = Subject(thinker, preset, token_load(preset, *tokens))
    seats = Setting("seats", 10.0)
    lengths = sorted({counts.total for counts in prompt.run(seats).trace.layers} | {sum(tokens)})  # type: ignore[union-attr]
    clip = Subject(thinker, preset, media_load(preset, frames, *size, frames / 2))
    assert clip._pixels is not None
    patches, grid = patchify(clip._pixels, clip._patch_spec, thinker.vision.dtype)
    area = grid[1] * grid[2]
    grids = min(grid[0], grids_at_once(area, ()))
    rows = {"text": lengths, "vision": [grids * area]}

    def runs() -> dict[str, Any]:
        each = {setting.label: partial(prompt.run, setting) for setting in (FULL, seats)}
        each["vision encoder"] = partial(thinker.encode_video, patches, grid)
        return {label: profiled(run, device) for label, run in each.items()}

    measurements: dict[str, Callable[[], Any]] = {
        "matmul_flops_per_s": lambda: matmul_rate(device, dtype),
        "runs": runs,
        "products": lambda: products(preset, rows, device, dtype),
        "window_attention_ms": lambda: window_attention(thinker, (grids, *grid[1:])),
        "encoder_blocks_ms": lambda: encoder_blocks(thinker, patches, grid),
        "grid_attention": lambda: grid_attention(preset, grids, area, device, dtype),
        "gated_products": lambda: gated_products(preset, rows, device, dtype),
        "encoder_parts": lambda: encoder_parts(thinker, patches, grid),
        "layouts": lambda: layouts(preset, rows, device, dtype),
        "row_counts": lambda: row_counts(preset, lengths[:-1], device, dtype),
        "prompt_attention": lambda: prompt_attention(preset, [*lengths, 4 * lengths[-1]], device, dtype),
    }
    return {"model": preset.name, "torch": torch.__version__, **tried(measurements, limit_s)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="qwen2.5-omni-7b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tokens", default="8600+3000+150", help="video, audio and text of the prompt")
    parser.add_argument("--frames", type=int, default=128)
    parser.add_argument("--size", default="854x480")
    parser.add_argument("--time-limit", type=float, default=math.inf, help="seconds after which no measurement begins")
    said = parser.parse_args()
    tokens, size = ([int(part) for part in text.split(mark)] for text, mark in ((said.tokens, "+"), (said.size, "x")))
    preset, device = find_preset(said.model), torch.device(said.device)
    document = measured(preset, device, tokens, said.frames, size, said.time_limit)
    print(json.dumps(document))
    if document["failed"]:
        sys.exit(f"not measured: {', '.join(document['failed'])}")


if __name__ == "__main__":
    main()
