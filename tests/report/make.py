"""Results files with known numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PARTS = ("vision_encoder", "audio_encoder", "selection", "llm_prefill", "lm_head", "llm_decode")


def ok_row(number: int = 0, *, scale: float = 1.0, length: int = 5, **changes: Any) -> dict[str, Any]:
    """A row whose total is 1000 ms times `scale`; its answer has `length` tokens. changes: top-level keys."""
    each = 25.0 * scale
    first = 1000.0 * scale - each * (length - 1)
    steps = {
        "decode_clip": 200.0 * scale,
        "prepare": 50.0 * scale,
        "encode_video": 300.0 * scale,
        "encode_audio": 100.0 * scale,
        "selection": 20.0 * scale,
        "prefill": 80.0 * scale,
    }
    run = dict(zip(PARTS, (100.0, 50.0, 10.0, 40.0, 1.0, 9.0), strict=True))
    full = dict(zip(PARTS, (100.0, 50.0, 0.0, 400.0, 1.0, 9.0), strict=True))
    row: dict[str, Any] = {
        "id": f"row-{number}",
        "status": "ok",
        "schema": "seats.answer/1",
        "clip": {"path": f"clips/{number}.mp4", "start_s": 0.0, "end_s": 4.0, "duration_s": 4.0},
        "question": "Which shape is red?",
        "answer": "circle",
        "finish_reason": "stop",
        "model": {"name": "seats-nano", "dtype": "float32", "device": "cpu", "attention": "sdpa"},
        "method": {"name": "seats", "video": 0.06, "audio": 0.35, "kv": "keep"},
        "tokens": {
            "text": 20,
            "video": {"full": 200, "pre_llm": 20, "per_layer": [20, 10, 0, 0]},
            "audio": {"full": 100, "pre_llm": 50, "per_layer": [50, 40, 30, 0]},
        },
        "retention": {"video": 0.0375, "audio": 0.3, "overall": 0.125},
        "flops": {"full": 560.0, "run": 210.0, "reduction": 560 / 210, "parts": run, "parts_full": full},
        "latency_ms": {**steps, "first_token": first, "per_output_token": each, "total": 1000.0 * scale},
        "speedup": {"prefill": 4.0, "first_token": 2.0, "basis": "estimated", "spread": None},
        "memory_bytes": {"peak_device": 1 << 30, "kv_cache": 1000},
        "notes": [],
        "seed": 0,
    }
    return row | changes


def full_row(number: int = 0, *, scale: float = 2.0, **changes: Any) -> dict[str, Any]:
    """The same question answered with full tokens."""
    row = ok_row(number, scale=scale)
    row["method"] = {"name": "full", "kv": "keep"}
    row["flops"] = {**row["flops"], "run": 560.0, "parts": row["flops"]["parts_full"]}
    return row | changes


def error_row(number: int = 0, message: str = "", kind: str = "MediaError", **changes: Any) -> dict[str, Any]:
    """A row of a clip that failed."""
    clip = f"clips/{number}.mp4"
    error = {"type": kind, "message": message or f"{clip}: cut off after {number} s"}
    row = {"id": f"row-{number}", "clip": clip, "question": "Which shape is red?", "status": "error", "error": error}
    return row | changes


def write(path: Path, *rows: dict[str, Any] | str) -> Path:
    """The rows as lines of the file; a text is written as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows]
    path.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
    return path
