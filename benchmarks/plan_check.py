"""Compare plans with real runs of seats-nano and of tiny random models of both families; prints one JSON document.

    python benchmarks/record.py plan-check -- python benchmarks/plan_check.py

Tokens and FLOPs are compared with what `ask --json` reports, weights with the parameters and buffers of the loaded
model, and the peak of activations and cache with the allocator's own count (`benchmarks.allocations`): on the CPU
every allocation that torch reports to its profiler, on CUDA (`--device cuda`) `max_memory_allocated`.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
QUESTION = "what is in the clip ?"


@dataclass(frozen=True)
class Case:
    """model: seats-nano, or the family of a tiny random one."""

    model: str
    clip: str
    method: str
    keep: float
    max_pixels: int | None = None
    max_frames: int | None = None
    end_s: float | None = None
    kv: str = "keep"


CASES = (
    Case("seats-nano", "ten-seconds.mp4", "full", 10.0),
    Case("seats-nano", "ten-seconds.mp4", "seats", 10.0),
    Case("seats-nano", "silent.mp4", "seats", 25.0, max_frames=6),
    Case("seats-nano", "simple.mp4", "random", 35.0, end_s=2.5),
    Case("qwen2.5-omni", "ten-seconds.mp4", "full", 10.0, max_pixels=120 * 28 * 28),
    Case("qwen2.5-omni", "sound-only.m4a", "seats", 25.0),
    Case("qwen2.5-omni", "crossing.mp4", "divprune", 35.0, max_pixels=60 * 28 * 28),
    Case("qwen3-omni", "ten-seconds.mp4", "seats", 25.0, max_pixels=120 * 28 * 28, kv="drop"),
    Case("qwen3-omni", "music.mp4", "fastv-om", 35.0, max_frames=8),
    Case("qwen3-omni", "simple.mp4", "visionzip-om", 35.0, max_pixels=120 * 28 * 28),
)


def check(case: Case, folder: Path, device: str = "cpu") -> dict[str, Any]:
    """Plan and run one case. folder: of the tiny checkpoints."""
    from benchmarks.allocations import allocations
    from seats.inference.answer import Question, answer
    from seats.inference.generate import Decoding
    from seats.media import load_clip
    from seats.models.checkpoint import find_checkpoint
    from seats.models.omni import load_model
    from seats.plan.clip import clip_facts
    from seats.plan.model import of_checkpoint
    from seats.plan.plan import Ask, make_plan

    checkpoint = find_checkpoint(case.model if case.model == "seats-nano" else str(folder / case.model))
    planned = of_checkpoint(checkpoint)
    model = load_model(checkpoint, device=device)
    path = ROOT / "samples" / case.clip
    ask = Ask(
        question=QUESTION,
        method=case.method,
        keep=case.keep,
        kv=case.kv,
        answer_tokens=4,
        device=device,
        dtype_bytes=model.thinker.dtype.itemsize,
        max_pixels=case.max_pixels,
        max_frames=case.max_frames,
        end_s=case.end_s,
    )
    clip = load_clip(path, sampling=ask.sampling(planned.sampling), end_s=case.end_s)
    question = Question(QUESTION, case.method, case.keep, kv=case.kv, decoding=Decoding(4))  # type: ignore[arg-type]
    answer(model, clip, question)  # what is only made once, such as filter banks, is no part of an answer
    gc.collect()  # what others left behind, freed meanwhile, would count as less memory taken
    with allocations(device) as taken:
        answered = answer(model, clip, question)
    steps = answered.trace.decoded_tokens  # an answer can end early; the plan is for the steps that were run
    plan = make_plan(planned, clip_facts(path), replace(ask, answer_tokens=steps + 1))
    module = model.thinker.module
    weights = sum(x.numel() * x.element_size() for x in (*module.parameters(), *module.buffers()))
    trace, ran = answered.trace, answered.flops.run
    real = [counts.total for counts in trace.layers]
    said = [tokens.total for tokens in plan.run.tokens.layers]
    return {
        "case": {key: value for key, value in case.__dict__.items() if value is not None},
        "tokens": {
            "planned": list(plan.full.tokens.layers[0].__dict__.values()),
            "real": [trace.full.text, trace.full.video, trace.full.audio],
            "pre_llm_planned": list(plan.run.tokens.pre_llm.__dict__.values()),
            "pre_llm_real": [trace.layers[0].text, trace.layers[0].video, trace.layers[0].audio],
            "later_layers_off_by": max(abs(a - b) for a, b in zip(real, said, strict=True)),
            "later_layers_promised_within": plan.run.tokens.slack,
        },
        "flops": {
            "full_planned": plan.full.flops.total,
            "full_real": answered.flops.full.total,
            "planned": plan.run.flops.total,
            "real": ran.total,
            "relative_error": plan.run.flops.total / ran.total - 1,
        },
        "memory_bytes": {
            "weights_planned": plan.weights_bytes,
            "weights_real": weights,
            "cache_planned": plan.run.memory.cache,
            "cache_real": answered.kv_cache_bytes,
            "activations_planned": plan.run.memory.activations,
            "activations_real": taken.peak,
            "peak_step": plan.run.memory.peak_step,
            "activations_error": plan.run.memory.activations / taken.peak - 1,
            "total_error": (weights + plan.run.memory.activations) / (weights + taken.peak) - 1,
        },
    }


def checked(folder: Path, device: str = "cpu") -> dict[str, Any]:
    """All cases, and how far plans and runs are apart."""
    from tests.checkpoints import save_tiny_checkpoint

    for family in {case.model for case in CASES} - {"seats-nano"}:
        if not (folder / family).exists():
            save_tiny_checkpoint(folder / family, family)
    found = [check(case, folder, device) for case in CASES]
    return {
        "device": device,
        "settings": len(found),
        "tokens_exact": all(
            one["tokens"]["planned"] == one["tokens"]["real"]
            and one["tokens"]["pre_llm_planned"] == one["tokens"]["pre_llm_real"]
            for one in found
        ),
        "later_layers_off_by_at_most": max(one["tokens"]["later_layers_off_by"] for one in found),
        "full_flops_exact": all(one["flops"]["full_planned"] == one["flops"]["full_real"] for one in found),
        "run_flops_worst_relative_error": max(abs(one["flops"]["relative_error"]) for one in found),
        "weights_exact": all(
            one["memory_bytes"]["weights_planned"] == one["memory_bytes"]["weights_real"] for one in found
        ),
        "activations_worst_error": max(abs(one["memory_bytes"]["activations_error"]) for one in found),
        "cases": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    with tempfile.TemporaryDirectory() as folder:
        json.dump(checked(Path(folder), device), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
