"""`seats bench`: speed at a model's real dimensions, with random weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from seats.bench.build import parameters, random_thinker
from seats.bench.measure import Setting, alternate
from seats.bench.presets import Preset
from seats.bench.rate import matmul_rate
from seats.bench.report import machine_json, rows_json
from seats.bench.subject import Subject
from seats.bench.workload import Load
from seats.inference.attach import KvPolicy

SCHEMA = "seats.bench/1"


def bench(
    preset: Preset,
    load: Load,
    settings: Sequence[Setting],
    *,
    device: torch.device,
    dtype: torch.dtype,
    rounds: int,
    warmups: int,
    new_tokens: int,
    kv: KvPolicy = "keep",
    seed: int = 0,
    announce: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure `settings`, the first of which is full tokens, in alternation; a document of schema `seats.bench/1`.

    rounds: counted ones, after `warmups`. new_tokens: decoding steps timed in each run. announce: told what is being
    done. Raises OutOfMemoryError where the weights do not fit; a setting that does not fit is told in its row.
    """
    announce(f"making {preset.name}")
    thinker = random_thinker(preset, device, dtype, seed)
    rate = matmul_rate(device, dtype)
    subject = Subject(thinker, preset, load, kv=kv, new_tokens=new_tokens, seed=seed)
    rows = alternate(
        settings, subject.run, rounds, warmups, lambda done, total: announce(f"round {done + 1} of {total}")
    )
    weights = parameters(preset)
    return {
        "schema": SCHEMA,
        "model": {"name": preset.name, "parameters": weights, "weight_bytes": weights * dtype.itemsize},
        "machine": machine_json(thinker, rate),
        "workload": subject.settings,
        "rounds": rounds,
        "warmups": warmups,
        "seed": seed,
        "rows": rows_json(rows, rate, load.encoders),
    }
