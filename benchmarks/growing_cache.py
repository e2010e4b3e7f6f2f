"""Time of a token of the answer with room left in the cache and as in stock code, which copies all keys and values for
each one; prints one JSON document.

    python benchmarks/record.py growing-cache -- python benchmarks/growing_cache.py
    python benchmarks/growing_cache.py --seconds 5 --rounds 1        a quick look

The built-in model writes 64 tokens about clips of `linearity.py`, with full tokens and with `seats` at 10 %, both ways
in alternation in one process, after a round that does not count. Ratios are within rounds: median, lowest and highest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import seats
from benchmarks.linearity import QUESTION, make_clip
from seats.allocator import keep_freed_memory
from seats.costs.timers import StepTimer
from seats.inference import engine, generate
from seats.inference.encode import EncodedClip, build_prompt, encode_clip
from seats.methods.base import Method
from seats.models.omni import OmniModel

NEW = generate.Decoding(max_new_tokens=64)
SECONDS = (10.0, 60.0, 160.0, 600.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    said = parser.parse_args()
    keep_freed_memory()  # as the commands do: stock code frees the whole cache for each token
    model = seats.load_model(seats.find_checkpoint("seats-nano"), device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            row
            for seconds in said.seconds or SECONDS
            for row in measured(model, make_clip(Path(folder) / f"{seconds:g}.mp4", seconds), seconds, said.rounds)
        ]
    print(json.dumps({"rows": rows}))


def measured(model: OmniModel, path: Path, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """A clip with full tokens and with `seats`: milliseconds a token of all rounds, and how many times as long stock
    code takes."""
    clip = seats.load_clip(path, sampling=model.sampling)
    rows = []
    for name in ("full", "seats"):
        method = seats.Question(QUESTION, method=name).method_for(model.shape)
        encoded = encode_clip(model, clip, [method.wants], StepTimer())
        made = [
            {"room": per_token(model, encoded, method, True), "stock": per_token(model, encoded, method, False)}
            for _ in range(rounds + 1)
        ][1:]
        ratios = [one["stock"] / one["room"] for one in made]
        rows.append(
            {
                "clip_s": seconds,
                "method": name,
                "times_as_long_in_stock_code": {
                    "median": statistics.median(ratios),
                    "low": min(ratios),
                    "high": max(ratios),
                },
                "rounds_ms": made,
            }
        )
    return rows


def per_token(model: OmniModel, encoded: EncodedClip, method: Method, room: bool) -> float:
    """Milliseconds a token after the first."""
    prompt = build_prompt(model, encoded, QUESTION, None, NEW.max_new_tokens, method.wants)
    config = model.thinker.module.generation_config
    with (
        patch.object(engine, "let_grow", engine.let_grow if room else lambda cache: None),
        patch.object(generate, "_stop_ids", lambda model: []),
        patch.object(config, "eos_token_id", None),
    ):
        made = generate.generate(model, prompt, method, NEW, StepTimer())
    assert made.per_token_ms is not None
    assert len(made.ids) == NEW.max_new_tokens
    return made.per_token_ms


if __name__ == "__main__":
    main()
