"""Measured rows as plain values, the same for `seats bench` and `seats profile`."""

from __future__ import annotations

import platform
import re
import statistics
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from seats.bench.measure import STOCK, Row, Run, Spread, ratios, spread
from seats.costs.flops import PARTS
from seats.models.thinker import Thinker
from seats.tokens.counts import Counts

STEPS = ("prepare", "encode_video", "encode_audio", "saliency", "selection", "prefill")


def rows_json(rows: list[Row], rate: float | None, encoders: bool) -> list[dict[str, Any]]:
    """Every row with its times, FLOPs and ratios against full tokens and stock code.

    rate: measured FLOPs a second of the device, for shares of it. encoders: whether they ran, so that their FLOPs
    count. Times in ms, each as median, low and high of the rounds; ratios are paired by round.
    """
    full = rows[0]
    stock = next((row for row in rows if row.setting.method == STOCK), None)
    return [_row(row, full, stock, rate, encoders) for row in rows]


def machine_json(thinker: Thinker, rate: float | None) -> dict[str, Any]:
    """The device, what it can do, and the versions of what ran on it."""
    cuda = thinker.device.type == "cuda"
    return {
        "device": str(thinker.device),
        "name": torch.cuda.get_device_name(thinker.device) if cuda else _processor(),
        "dtype": str(thinker.dtype).removeprefix("torch."),
        "attention": thinker.text.config._attn_implementation,
        "threads": None if cuda else torch.get_num_threads(),
        "matmul_flops_per_s": rate,
        "versions": {name: _version(name) for name in ("seats", "torch", "transformers", "triton")},
        "python": platform.python_version(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:  # benchmarks also run from a checkout
        return None


def _row(row: Row, full: Row, stock: Row | None, rate: float | None, encoders: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "label": row.setting.label,
        "method": row.setting.method,
        "keep_percent": row.setting.keep,
        "error": row.error,
    }
    if row.traceback is not None:
        made["traceback"] = row.traceback
    if not row.done:
        return made
    last = row.runs[-1]
    made["tokens"] = _tokens(last)
    made["latency_ms"] = {
        **{name: spread_json(spread(row, lambda run, name=name: run.steps_ms.get(name))) for name in STEPS},  # type: ignore[misc]
        "selection_and_prefill": spread_json(spread(row, lambda run: run.prefill_ms)),
        "first_token": spread_json(spread(row, lambda run: run.first_token_ms)),
        "per_output_token": spread_json(spread(row, lambda run: run.per_token_ms)),
    }
    made["speedup"] = {
        "selection_and_prefill": spread_json(ratios(full, row, lambda run: run.prefill_ms)),
        "with_saliency": spread_json(ratios(full, row, _with_saliency)),
        "first_token": spread_json(ratios(full, row, lambda run: run.first_token_ms)),
        "per_output_token": spread_json(ratios(full, row, lambda run: run.per_token_ms)),
        "over_stock": spread_json(ratios(stock, row, lambda run: run.prefill_ms)) if stock else None,
        "vision_over_stock": spread_json(ratios(stock, row, _vision)) if stock else None,
    }
    if full.done:
        whole = statistics.median(run.prefill_ms for run in full.runs)
        made["selection_share_of_full_prefill"] = spread_json(spread(row, lambda run: _selecting(run) / whole))
    made["memory_bytes"] = {
        "peak_device": max(run.peak_bytes for run in row.runs),
        "kv_cache": last.kv_cache_bytes,
    }
    if last.flops is not None:
        made["flops"] = _flops(last, encoders)
        made["rate_share"] = _shares(row, rate) if rate else None
    return made


def _with_saliency(run: Run) -> float:
    return run.prefill_ms + run.steps_ms.get("saliency", 0.0)


def _vision(run: Run) -> float | None:
    return run.steps_ms.get("encode_video")


def _selecting(run: Run) -> float:
    return run.steps_ms.get("saliency", 0.0) + run.steps_ms.get("selection", 0.0)


def _tokens(run: Run) -> dict[str, Any] | None:
    if run.trace is None:
        return None

    def plain(counts: Counts) -> list[int]:
        return [counts.text, counts.video, counts.audio]

    return {
        "order": ["text", "video", "audio"],
        "full": plain(run.trace.full),
        "per_layer": [plain(counts) for counts in run.trace.layers],
        "cached": list(run.trace.cache_tokens),
        "retention": {name: run.trace.retention(name) for name in ("video", "audio", "overall")},
    }


def _flops(run: Run, encoders: bool) -> dict[str, Any]:
    assert run.flops is not None
    assert run.trace is not None
    full = run.flops.full
    stock = full.after_encoders + (run.trace.full.total - 1) * full.lm_head  # stock code's head sees every position
    return {
        "parts": {
            name: getattr(run.flops.run, name) if encoders or not name.endswith("_encoder") else None for name in PARTS
        },
        "selection_and_prefill": run.flops.run.after_encoders,
        "reduction": run.flops.llm_reduction,
        "reduction_over_stock": stock / run.flops.run.after_encoders,
        "paper_macs": run.flops.paper_run_macs,
    }


def _shares(row: Row, rate: float) -> dict[str, Any]:
    """Share of the measured rate that the matrix work of a step reached, at the step's median time.

    Decoding is left out: it is bound by memory."""

    def share(flops: float, ms: Spread | None) -> float | None:
        return flops / (rate * ms.median / 1e3) if ms and ms.median else None

    flops = row.runs[-1].flops
    assert flops is not None

    def step(name: str) -> Spread | None:
        return spread(row, lambda run: run.steps_ms.get(name))

    return {
        "vision_encoder": share(flops.run.vision_encoder, step("encode_video")),
        "audio_encoder": share(flops.run.audio_encoder, step("encode_audio")),
        "prefill": share(flops.run.llm_prefill, step("prefill")),
        "selection_and_prefill": share(flops.run.after_encoders, spread(row, lambda run: run.prefill_ms)),
    }


def spread_json(value: Spread | None) -> dict[str, float] | None:
    """Median, low and high."""
    return None if value is None else asdict(value)
