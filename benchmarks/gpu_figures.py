"""The figures that matter most of the records that `gpu.py` makes, a line for each part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Rows = Mapping[str, dict[str, Any]]
"""Of a document of `seats bench` or `seats profile`, by label, those that were measured."""


def figures(records: Mapping[str, dict[str, Any]]) -> list[str]:
    """Of the parts that are done, by name."""
    lines = []
    if fewer := [
        f"{name} ({kept})" for name, record in records.items() if (kept := record.get("kernels", "all")) != "all"
    ]:
        lines.append(f"with fewer Triton kernels: {', '.join(fewer)}")
    for name, record in records.items():
        if said := _told(name, record["result"] or {}):
            lines.append(f"{name}: {said}")
    return lines


def _told(name: str, result: dict[str, Any]) -> str:
    """What a part has shown, "" for nothing."""
    rows = {row["label"]: row for row in result.get("rows", ()) if row["error"] is None}
    ours = rows.get("seats 10%")
    if name in ("kernels", "choices"):
        return str(result["summary"])
    if name.endswith("-hour"):
        return _peaks(rows)
    if name.endswith("-profile"):
        return _longest(result["runs"]) if result.get("runs") else ""
    if ours is None:
        return ""
    if name.endswith("-tokens"):
        return _prefill(ours)
    if name.endswith("-frames"):
        return _vision(ours)
    return _first_token(ours) if name.endswith("-first-token") and ours.get("from_file_ms") else ""


def _prefill(ours: dict[str, Any]) -> str:
    speed, limits = ours["speedup"], ours["flops"]
    share = (ours.get("selection_share_of_full_prefill") or {}).get("median")
    return (
        f"at 10 % selection + prefill {times(speed['selection_and_prefill'])} times faster (limit "
        f"{limits['reduction']:.2f}), with saliency {times(speed['with_saliency'])}; "
        f"{times(speed['over_stock'])} times stock's prefill (limit {limits['reduction_over_stock']:.2f}); "
        f"saliency and selection take {'-' if share is None else f'{100 * share:.2f}'} % of the full prefill"
    )


def _vision(ours: dict[str, Any]) -> str:
    vision = ours["latency_ms"]["encode_video"]["median"]
    reached = (ours["rate_share"] or {}).get("vision_encoder")
    over = f"{1 / reached:.2f}" if reached else "-"
    return (
        f"vision encoder {vision:.0f} ms, {over} times its FLOPs at the measured rate; "
        f"stock code takes {times(ours['speedup']['vision_over_stock'])} times as long"
    )


def _first_token(ours: dict[str, Any]) -> str:
    whole = {step: spread["median"] for step, spread in ours["from_file_ms"].items()}
    steps = ("prepare", "encode_video", "encode_audio", "saliency", "selection", "prefill")
    told = ", ".join(f"{step} {(ours['latency_ms'][step] or {'median': 0})['median']:.0f}" for step in steps)
    return (
        f"first token {whole['first_token']:.0f} ms after the file is opened: reading "
        f"{whole['read']:.0f}, beside which {whole['hidden']:.0f} of encoding pass; alone, {told}"
    )


def _peaks(rows: Rows) -> str:
    peaks = (f"{label} {row['memory_bytes']['peak_device'] / 2**30:.1f} GiB" for label, row in rows.items())
    return f"peak memory {', '.join(peaks)}"


def _longest(runs: dict[str, dict[str, Any]]) -> str:
    said = (
        f"{label} {its['ms']:.1f} ms" + "".join(f" ({one['name'][:40]} most)" for one in its["kernels"][:1])
        for label, its in runs.items()
    )
    return f"on the device {', '.join(said)}"


def times(ratio: dict[str, float] | None) -> str:
    """A ratio with its spread; a dash where there is none."""
    return "-" if ratio is None else f"{ratio['median']:.2f} ({ratio['low']:.2f} … {ratio['high']:.2f})"
