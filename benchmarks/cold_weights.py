"""Time until weights that are only on the disk are in memory, with and without reading them ahead of the imports.

    python benchmarks/record.py cold-weights -- python benchmarks/cold_weights.py --folder DISK

Makes a checkpoint of a model's true dimensions with random weights in DISK (9.4 GB with the 3B; it stays there for the
next call). Each run is a process of its own that imports the model's code, loads the thinker, and copies each weight
once, as on the way to a GPU. Before each the files are read and dropped from the kernel's cache (Linux): memory that
was not used for a while is slow to get in a virtual machine, and must be so for both or neither. A round is one run
without and one with `read_ahead`. One JSON document on standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from seats.models.checkpoint import Checkpoint
from seats.models.families import checkpoint_family
from seats.models.weight_files import read_ahead, thinker_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="on the disk to measure")
    parser.add_argument("--model", default="qwen2.5-omni-3b")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", choices=("plain", "ahead"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    checkpoint = Checkpoint(options.model, options.folder / options.model)
    if options.child:
        print(json.dumps(load(checkpoint, options.child == "ahead")))
        return
    if not checkpoint.folder.exists():
        make(options.model, checkpoint.folder)
    rounds = [{way: run(checkpoint, way) for way in ("plain", "ahead")} for _ in range(options.rounds)]
    saved = sorted(one["plain"]["total_s"] - one["ahead"]["total_s"] for one in rounds)
    ratios = sorted(one["plain"]["total_s"] / one["ahead"]["total_s"] for one in rounds)
    result = {
        "model": options.model,
        "bytes": thinker_bytes(checkpoint),
        "rounds": rounds,
        "saved_s": {"median": statistics.median(saved), "spread": [saved[0], saved[-1]]},
        "ratio": {"median": statistics.median(ratios), "spread": [ratios[0], ratios[-1]]},
    }
    print(json.dumps(result))


def run(checkpoint: Checkpoint, way: str) -> dict[str, float]:
    for file in checkpoint.weight_files:
        with file.open("rb", buffering=0) as opened:
            while opened.read(2**24):
                pass
            os.fsync(opened.fileno())  # what is not written yet would not be dropped
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    child = [sys.executable, __file__, "--folder", checkpoint.folder.parent, "--model", checkpoint.name, "--child", way]
    return json.loads(subprocess.run(child, stdout=subprocess.PIPE, check=True).stdout)


def load(checkpoint: Checkpoint, ahead: bool) -> dict[str, float]:
    """Seconds of a process's parts. Its start, the same for both, is not counted."""
    began = time.perf_counter()
    if ahead:
        read_ahead(checkpoint, least=0)
    import torch
    import transformers

    thinker_class = getattr(transformers, checkpoint_family(checkpoint).thinker_class)
    imported = time.perf_counter()
    weights = list(thinker_class.from_pretrained(checkpoint.folder, dtype=torch.bfloat16).parameters())
    there = torch.empty(max(weight.numel() for weight in weights), dtype=torch.bfloat16)
    for weight in weights:
        there[: weight.numel()] = weight.detach().flatten()
    ended = time.perf_counter()
    return {"imports_s": imported - began, "weights_s": ended - imported, "total_s": ended - began}


def make(model: str, folder: Path) -> None:
    import torch
    import transformers

    from seats.models.presets import find_preset

    preset = find_preset(model)
    thinker_class = getattr(transformers, preset.family.thinker_class)
    torch.set_default_dtype(torch.bfloat16)
    thinker_class(thinker_class.config_class(**preset.thinker)).save_pretrained(folder)


if __name__ == "__main__":
    main()
