"""`seats bench`: speed at a model's real dimensions, with random weights."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch

from seats.bench.build import parameters, random_thinker
from seats.bench.measure import alternate, counted, own_shares
from seats.bench.rate import matmul_rate
from seats.bench.report import machine_json, rows_json
from seats.bench.subject import Subject
from seats.bench.workload import Load
from seats.inference.engine import KvPolicy
from seats.keep import Setting
from seats.models.presets import Preset
from seats.shortage import shortage

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
    limit_s: float = math.inf,
    announce: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure `settings`, the first of which is full tokens, in alternation; a document of schema `seats.bench/1`.

    rounds: counted ones, after `warmups`. new_tokens: decoding steps timed in each run. limit_s: no round begins later.
    announce: told what is being done. Raises OutOfMemoryError where the weights or the prompt do not fit; a setting
    that does not is told in its row.
    """
    weights = parameters(preset)
    announce(f"making {preset.name}: {weights / 1e6:,.0f} million random weights on {device}")
    thinker = random_thinker(preset, device, dtype, seed)
    less = "--frames, --size or --seconds" if load.encoders else "--tokens"
    with shortage(f"the prompt does not fit into {device}: lower {less}"):
        subject = Subject(thinker, preset, load, kv=kv, new_tokens=new_tokens, seed=seed)
    rates = []

    def on_round() -> None:
        rates.append(matmul_rate(device, dtype))  # each time: a GPU that has worked for a while may run slower

    rows = alternate(settings, subject.run, rounds, warmups, on_round, limit_s, announce)
    rate = statistics.median(rates) if rates else None
    return {
        "schema": SCHEMA,
        "model": {"name": preset.name, "parameters": weights, "weight_bytes": weights * dtype.itemsize},
        "machine": machine_json(thinker, rate),
        "workload": {**subject.settings, "keep": own_shares(settings)},
        "rounds": counted(rows),
        "warmups": warmups,
        "seed": seed,
        "rows": rows_json(rows, rate, load.encoders),
    }
