"""A plan as the JSON document of `seats plan --json` (schema `seats.plan/1`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from seats.plan.clip import ClipFacts
from seats.plan.plan import Plan, Run
from seats.plan.search import Suggestion, reserve_for
from seats.text import printable

SCHEMA = "seats.plan/1"


@dataclass(frozen=True)
class Room:
    """Memory that a plan must fit into. source: where the number comes from, for people."""

    limit_bytes: int
    source: str


def plan_json(
    plan: Plan, clip: ClipFacts, room: Room, fitting: tuple[bool, bool], changes: Sequence[Suggestion]
) -> dict[str, Any]:
    """Plain values only. fitting: whether the run (with `compare` full tokens too), and whether full tokens,
    fit into the room; changes: if not.

    After the first drop `total_per_layer` is right within `later_within` tokens; how video and sound share them depends
    on the clip, so that `per_layer` can be further off.
    """
    ask, part, model, kept = plan.ask, plan.part, plan.model, plan.run.tokens
    video = None
    if part.frames:
        video = {"frames": part.frames, "fps": part.fps, "width": part.width, "height": part.height}
    return {
        "schema": SCHEMA,
        "clip": {
            "path": printable(str(clip.path)),
            "duration_s": part.duration_s,
            "start_s": part.start_s,
            "end_s": part.end_s,
            "video": video,
            "audio": {"seconds": part.sound_s} if part.samples else None,
            "exact": part.exact,
        },
        "question": ask.question,
        "model": {
            "name": model.name,
            "family": model.family.name,
            "layers": model.num_layers,
            "parameters": plan.weights.parameters,
            "dtype_bytes": ask.dtype_bytes,
            "quantize": ask.quantize,
            "device": ask.device,
            "from": "config.json" if model.checkpoint is not None else "published dimensions",
        },
        "method": {
            "name": ask.method,
            "keep_percent": ask.keep,
            "video": plan.retention[0],
            "audio": plan.retention[1],
            "kv": ask.kv,
        },
        "tokens": {
            "text": kept.layers[0].text,
            "text_counted": plan.text_exact,
            "windows": plan.windows,
            **{
                name: {
                    "full": getattr(plan.full.tokens.layers[0], name),
                    "pre_llm": getattr(kept.pre_llm, name),
                    "per_layer": [getattr(tokens, name) for tokens in kept.layers],
                }
                for name in ("video", "audio")
            },
            "total_per_layer": [tokens.total for tokens in kept.layers],
            "pre_llm_exact": kept.exact,
            "later_within": kept.slack,
        },
        "flops": {
            "full": plan.full.flops.total,
            "run": plan.run.flops.total,
            "reduction": plan.flops_reduction,
            "llm_reduction": plan.llm_reduction,
            "parts": asdict(plan.run.flops),
            "parts_full": asdict(plan.full.flops),
            "answer_tokens": ask.answer_tokens,
        },
        "memory_bytes": {
            "weights": plan.weights_bytes,
            "full": _memory(plan, plan.full),
            "run": _memory(plan, plan.run),
        },
        "fit": {
            "limit_bytes": room.limit_bytes,
            "from": room.source,
            "reserve_bytes": reserve_for(ask.device),
            "run": fitting[0],
            "full": fitting[1],
            "suggestions": [
                {"flags": change.flags, "without": list(change.without), "total_bytes": change.plan.needed_bytes}
                for change in changes
            ],
        },
        "notes": list(plan.notes),
    }


def _memory(plan: Plan, run: Run) -> dict[str, Any]:
    memory = run.memory
    return {
        "steps": memory.steps,
        "peak_step": memory.peak_step,
        "activations": memory.activations,
        "clip": memory.clip,
        "kv_cache": memory.cache,
        "kv_cache_end": memory.cache_end,
        "total": plan.weights_bytes + memory.peak,
    }
