"""Write the tables of README.md, of docs/ and of the model's card from the recorded measurements.

    python benchmarks/tables.py            writes them anew between their marks
    python benchmarks/tables.py --check    exits 1 if a table is not what the records say

A table stands between `<!-- table: NAME -->` and `<!-- end of table -->`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.gpu import FAILED, FOLDER, KEEPS, MODELS, ROOT, read_record
from benchmarks.gpu_figures import figures, times

DOCUMENTS = tuple(
    ROOT / name for name in ("README.md", "docs/methods.md", "docs/speed.md", "seats/nano/weights/README.md")
)
MARK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)

CONTROLS = {
    "none": "full",
    "no_picture": "no picture",
    "no_sound": "no sound",
    "blind": "neither",
    "guess": "guessed from the wording",
}
FAMILIES = ("all", "picture", "sound", "cross", "descriptions", "choices")
ASKED = {
    "a_after": "next sound",
    "a_before": "sound before",
    "a_count": "how many times",
    "a_first": "first sound",
    "a_is_there": "is there a …",
    "a_last": "last sound",
    "a_order": "is … heard before …",
    "a_second": "sound at second n",
    "a_when": "at which second is … heard",
    "d_clip": "list of everything seen and heard",
    "d_shapes": "list of all shapes",
    "d_sounds": "list of all sounds",
    "v_after": "what appears next after …",
    "v_before": "what appears last before …",
    "v_colour": "what colour is …",
    "v_count": "how many shapes",
    "v_first": "first shape",
    "v_is_there": "is there a …",
    "v_last": "last shape",
    "v_order": "does … appear before …",
    "v_second": "what is where at second n",
    "v_shape": "which shape is …",
    "v_side": "left or right of the post",
    "v_when": "at which second does … appear",
    "x_order": "does … appear before sound …",
    "x_shape_as": "what appears as … is heard",
    "x_shape_side": "what is left or right of the post when … is heard",
    "x_shape_while": "what is visible when … is heard",
    "x_sound_as": "sound as … appears",
    "x_sound_while": "sound while … is visible",
    "x_visible": "is … visible when … is heard",
}


def record(name: str) -> dict[str, Any]:
    """The result in a recorded measurement."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["result"]


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def table(rows: list[list[str]]) -> str:
    head, *rest = rows
    lines = [head, ["---"] * len(head), *rest]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def accuracy() -> str:
    """Accuracy of every method at every retention, with the interval of its difference from full tokens, and what it
    keeps where that is a tenth more than what `seats` keeps of the same clips; of `seats` and `seats+` also with the
    cache cut as in the published code."""
    found = record("methods-seats-nano")
    keeps = sorted({r["keep_percent"] for r in found["results"] if r["keep_percent"] is not None}, reverse=True)
    methods = list(dict.fromkeys(r["method"] for r in found["results"]))
    cells = {(r["method"], r["keep_percent"]): r for r in found["results"]}
    rows = [["% right", *(f"{keep:g} %" for keep in keeps)]]
    dropping = {(r["method"], r["keep_percent"]): r for r in record("kv-drop-seats-nano")["results"]}
    for method in methods:
        if (method, None) in cells:
            rows.append([f"`{method}`", *[_right(cells[method, None])] * len(keeps)])
        else:
            rows.append([f"`{method}`", *(_right(cells[method, keep], cells["seats", keep]) for keep in keeps)])
        if method in ("seats", "seats+"):  # the only ones to which it makes a difference
            rows.append([f"`{method}`, `--kv drop`", *(_right(dropping[method, keep]) for keep in keeps)])
    return table(rows)


def _right(result: dict[str, Any], beside: dict[str, Any] | None = None) -> str:
    """beside: a result that met the target on all clips."""
    if result["status"] == "unreachable":
        return "-"
    share = percent(result["accuracy"]["all"]["share"])
    if result["versus_full"] is None:
        return share
    low, high = result["versus_full"]["difference_interval_95"]
    part = f", of {result['questions']['answered']}"
    if result["status"] == "answered":
        kept = result["retention"]["overall"]
        more = beside is not None and kept > 1.1 * beside["retention"]["overall"]
        part = f", keeps {percent(kept)} %" if more else ""
    return f"{share} ({100 * low:+.1f} … {100 * high:+.1f}{part})"


def plus() -> str:
    """`seats+` against `seats` by retention, with the interval of the difference and the share of full FLOPs."""
    found = record("seats-plus")
    full = record("accuracy-seats-nano")["results"]
    (right,) = [percent(r["accuracy"]["all"]["share"]) for r in full if r["method"] == "full"]
    rows = [[f"% right (full tokens: {right})", "`seats`", "`seats+`", "difference, points", "LLM FLOPs, % of full"]]
    for its in sorted(found["results"], key=lambda its: -float(its["keep"].rstrip("%"))):
        ours, theirs = its[found["method"]], its[found["against"]]
        low, high = (100 * bound for bound in its["difference_interval_95"])
        rows.append(
            [
                its["keep"].replace("%", " %"),
                percent(theirs["accuracy"]),
                percent(ours["accuracy"]),
                f"{100 * its['difference']:+.1f} ({low:+.1f} … {high:+.1f})",
                f"{percent(theirs['llm_flops_share'])}, {percent(ours['llm_flops_share'])}",
            ]
        )
    return table(rows)


def controls() -> str:
    """Accuracy by family of types, with pictures, sound or both blanked."""
    found = record("nano-controls")["controls"]
    names = [name for name in CONTROLS if name in found]
    rows = [["% right", *(CONTROLS[name] for name in names)]]
    for family in FAMILIES:
        rows.append([family, *(percent(found[name].get(family)) for name in names)])
    return table(rows)


def types() -> str:
    """Full-token accuracy of each question type."""
    (full,) = [r for r in record("accuracy-seats-nano")["results"] if r["method"] == "full"]
    rows = [["type", "asks", "questions", "% right"]]
    for name, its in sorted(full["accuracy"].items()):
        if name in ASKED:
            rows.append([f"`{name}`", ASKED[name], str(its["total"]), percent(its["share"])])
    return table(rows)


def reading() -> str:
    """Seconds that reading the pictures of a file takes, and how many times as long others take."""
    others = ("torchcodec, 2 threads", "torchcodec", "decord, 2 threads", "decord")
    rows = [["file", "frames taken", "`seats`, s", *others]]
    for its in record("clip-decoding")["files"]:
        readers = its["readers"]
        times = [f"{readers[name]['times_of_seats']:.2f}" if name in readers else "-" for name in others]
        rows.append([its["file"], str(its["frames"]), f"{readers['seats']['median_s']:.2f}", *times])
    return table(rows)


def lengths() -> str:
    """Time by step, in seconds, and memory of one `seats ask` by the length of the clip."""
    steps = ["reading", "preparing", "encoders", "selection + prefill", "first token"]
    rows = [["clip", "video + audio tokens", *steps, "whole process", "memory, MB"]]
    for its in record("linearity")["rows"]:
        took = its["steps_s"]
        seconds = (
            took["decode_clip"],
            took["prepare"],
            took["encode_video"] + took["encode_audio"],
            took["selection"] + took["prefill"],
            took["first_token"],
            its["wall_s"]["median"],
        )
        memory = f"{its['peak_resident_bytes'] / 1e6:,.0f}"
        rows.append([f"{its['clip_s']:,.0f} s", f"{its['tokens']:,}", *(f"{s:.2f}" for s in seconds), memory])
    return table(rows)


def speedups() -> str:
    """How many times faster selection with its saliency + prefill is than full tokens on a CPU, measured and by FLOPs,
    and the time from the file to the first token."""
    found = record("speedup")
    keeps = [row["keep_percent"] for row in found["clips"][0]["rows"]]
    rows = [
        [
            "clip",
            "tokens, text too",
            "full prefill, ms",
            *(f"{keep:g} %" for keep in keeps),
            "first token, s: full, 10 %",
        ]
    ]
    for its in found["clips"]:
        ratios = (f"{times(row['with_saliency_speedup'])}, FLOPs {row['flops_reduction']:.2f}" for row in its["rows"])
        whole, ours = (one["first_token_from_file_ms"]["median"] / 1e3 for one in (its["full"], its["rows"][-1]))
        full_ms = f"{its['full']['prefill_ms']['median']:,.0f}"
        rows.append([f"{its['clip_s']:g} s", f"{its['tokens']:,}", full_ms, *ratios, f"{whole:.2f}, {ours:.2f}"])
    return table(rows)


def large() -> str:
    """Prefill at the 3B's dimensions on a CPU against full tokens and against stock code, measured and by FLOPs."""
    rows = [["", "selection + prefill, s", "than full tokens", "with saliency", "than transformers"]]
    for its in record("prefill-3b-cpu")["rows"]:
        speed, limits = its["speedup"], its.get("flops")
        full, stock = times(speed["selection_and_prefill"]), times(speed["over_stock"])
        if limits is not None:  # stock code's are not counted
            full += f", FLOPs {limits['reduction']:.2f}"
            stock += f", FLOPs {limits['reduction_over_stock']:.2f}"
        name = f"`{its['method']}`" + its["label"].removeprefix(its["method"]).replace("%", " %")
        taken = its["latency_ms"]["selection_and_prefill"]["median"] / 1e3
        rows.append([name, f"{taken:.1f}", full, times(speed["with_saliency"]), stock])
    return table(rows)


def writing() -> str:
    """Milliseconds a token of the answer, and how many times as long it takes where the cache is copied for each."""
    rows = [["clip", "method", "cache with room, ms a token", "copied for each, ms", "times as long"]]
    for its in record("growing-cache")["rows"]:
        ms = (median(one[way] for one in its["rounds_ms"]) for way in ("room", "stock"))
        method = f"`{its['method']}`" + (" 10 %" if its["method"] == "seats" else "")
        rows.append(
            [f"{its['clip_s']:g} s", method, *(f"{x:.1f}" for x in ms), times(its["times_as_long_in_stock_code"])]
        )
    return table(rows)


def gpu(folder: Path = FOLDER) -> str:
    """Selection + prefill of `seats` on a GPU by model and retention, and the figures that matter of every part."""
    files = [path for path in sorted(folder.glob("gpu-*.json")) if not path.stem.endswith(FAILED)]
    found = {path.stem.removeprefix("gpu-"): read_record(path) for path in files}
    if unread := [f"gpu-{name}.json" for name, its in found.items() if its is None]:
        sys.exit(f"{folder}: {', '.join(unread)} cannot be read, or only a part: run python benchmarks/gpu.py again")
    done = {name: its for name, its in found.items() if its and its["result"]}
    if not done:
        return "Not measured yet: `python benchmarks/gpu.py run` on a machine with a GPU makes the records.\n"
    rows = [["selection + prefill, times faster", *(f"{keep} %" for keep in KEEPS)]]
    for model in MODELS:
        tokens = done.get(f"{model.short}-tokens", {"result": {"rows": []}})["result"]["rows"]
        ours = {its["keep_percent"]: its for its in tokens if its["method"] == "seats" and its["error"] is None}
        for against, name in (("selection_and_prefill", "our full tokens"), ("over_stock", "transformers")):
            cells = [times(ours.get(keep, {}).get("speedup", {}).get(against)) for keep in KEEPS]
            if ours:
                rows.append([f"{model.preset} than {name}", *cells])
    said = "".join(f"- {line}\n" for line in figures(done))
    return f"{table(rows)}\n{said}" if len(rows) > 1 else said


TABLES: dict[str, Callable[[], str]] = {
    "accuracy": accuracy,
    "plus": plus,
    "controls": controls,
    "types": types,
    "reading": reading,
    "lengths": lengths,
    "speedups": speedups,
    "large": large,
    "writing": writing,
    "gpu": gpu,
}


def rewritten(text: str) -> str:
    """A document with all its tables made anew."""
    return MARK.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n{found[3]}", text)


def main() -> None:
    if sys.argv[1:] not in ([], ["--check"]):
        asked = sys.argv[1:] in (["--help"], ["-h"])
        print(__doc__, file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    stale = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        new = rewritten(text)
        if new != text:
            stale.append(str(path.relative_to(ROOT)))
            if sys.argv[1:] != ["--check"]:
                path.write_text(new, encoding="utf-8")
    if sys.argv[1:] == ["--check"] and stale:
        sys.exit(f"tables differ from the records: {', '.join(stale)}; run python benchmarks/tables.py")


if __name__ == "__main__":
    main()
