"""An `Answer` as the JSON document that `ask --json` and results files hold (schema `seats.answer/1`)."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

from seats.costs.flops import PARTS
from seats.inference.answer import Answer
from seats.text import printable

SCHEMA = "seats.answer/1"


def answer_json(answer: Answer) -> dict[str, Any]:
    """Plain values only; times in ms, sizes in bytes, FLOPs as 2 x multiply-adds, retention as shares in [0, 1]."""
    clip, trace, flops = answer.clip, answer.trace, answer.flops
    thinker = answer.model.thinker
    return {
        "schema": SCHEMA,
        "clip": {
            "path": printable(str(clip.path)),
            "start_s": clip.start_s,
            "end_s": clip.end_s,
            "duration_s": clip.duration_s,
            "video": clip.video
            and {
                "frames": clip.video.pixels.shape[0],
                "fps": clip.video.fps,
                "width": clip.video.pixels.shape[3],
                "height": clip.video.pixels.shape[2],
                "source_width": clip.video.source_width,
                "source_height": clip.video.source_height,
            },
            "audio": clip.audio and {"seconds": clip.audio.seconds, "sample_rate": clip.audio.sample_rate},
        },
        "question": answer.question.text,
        "answer": answer.text,
        "thoughts": answer.thoughts,
        "finish_reason": answer.finish_reason,
        "model": {
            "name": answer.model.name,
            "dtype": str(thinker.dtype).removeprefix("torch."),
            "device": str(thinker.device),
            "attention": thinker.text.config._attn_implementation,
        },
        "method": {**answer.method.settings(), "kv": answer.question.kv},
        "tokens": {
            "text": trace.full.text,
            **{name: _modality(answer, name) for name in ("video", "audio")},
        },
        "retention": {name: trace.retention(name) for name in ("video", "audio", "overall")},
        "flops": {
            "full": flops.full.total,
            "run": flops.run.total,
            "reduction": flops.reduction,
            "llm_reduction": flops.llm_reduction,
            "parts": {part: getattr(flops.run, part) for part in PARTS},
            "parts_full": {part: getattr(flops.full, part) for part in PARTS},
            "paper_macs": {"full": flops.paper_full_macs, "run": flops.paper_run_macs},
        },
        "latency_ms": answer.latency_ms,
        "speedup": {
            "prefill": answer.speedup.prefill,
            "first_token": answer.speedup.first_token,
            "basis": answer.speedup.basis,
            "spread": answer.speedup.spread,
        },
        "memory_bytes": {"peak_device": answer.peak_device_bytes, "kv_cache": answer.kv_cache_bytes},
        "time_scale": answer.time_scale,
        "notes": list(answer.notes),
        "seed": answer.question.decoding.seed,
        "versions": {
            "seats": version("seats"),
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "av")},
        },
    }


def _modality(answer: Answer, name: str) -> dict[str, Any]:
    trace = answer.trace
    return {
        "full": getattr(trace.full, name),
        "pre_llm": getattr(trace.pre_llm(), name),
        "per_layer": [getattr(counts, name) for counts in trace.layers],
    }
