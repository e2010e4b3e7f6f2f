"""How much faster `seats` is than full tokens on a CPU, measured, by the clip's length; prints one JSON document.

    python benchmarks/record.py speedup -- python benchmarks/speedup.py
    python benchmarks/speedup.py --seconds 10 --rounds 1        a quick look

`seats profile --from-file` on clips of `linearity.py` with the built-in model: full tokens and `seats` at 35, 25, 15
and 10 % in turns, after a warm-up. Ratios are within rounds: median, lowest and highest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.gpu import KEEPS
from benchmarks.linearity import QUESTION, ROOT, make_clip

LENGTHS = (10.0, 60.0, 160.0)
"""The last is about as long as seats-nano's time range."""


def measured(seconds: float, rounds: int, folder: Path) -> dict[str, Any]:
    """One length: tokens, and per retention what was measured beside what its FLOPs would say."""
    clip = make_clip(folder / f"{seconds:g}.mp4", seconds)
    keeps = [f"--keep={keep}%" for keep in KEEPS]
    command = [sys.executable, "-m", "seats_cli", "profile", str(clip), QUESTION, "--model", "seats-nano", *keeps]
    command += ["--device", "cpu", "--rounds", str(rounds), "--from-file", "--json", "--quiet"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    document = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT, env=env).stdout)
    full, *rows = document["rows"]
    return {
        "clip_s": seconds,
        "tokens": sum(full["tokens"]["full"]),
        "full": {
            "prefill_ms": full["latency_ms"]["selection_and_prefill"],
            "first_token_from_file_ms": full["from_file_ms"]["first_token"],
        },
        "rows": [
            {
                "keep_percent": row["keep_percent"],
                "prefill_ms": row["latency_ms"]["selection_and_prefill"],
                "prefill_speedup": row["speedup"]["selection_and_prefill"],
                "with_saliency_speedup": row["speedup"]["with_saliency"],
                "first_token_speedup": row["speedup"]["first_token"],
                "flops_reduction": row["flops"]["reduction"],
                "first_token_from_file_ms": row["from_file_ms"]["first_token"],
            }
            for row in rows
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs="+", default=list(LENGTHS), help="lengths of the clips")
    parser.add_argument("--rounds", type=int, default=5)
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(seconds, said.rounds, Path(folder)) for seconds in sorted(said.seconds)]
    print(json.dumps({"model": "seats-nano", "rounds": said.rounds, "clips": rows}))


if __name__ == "__main__":
    main()
