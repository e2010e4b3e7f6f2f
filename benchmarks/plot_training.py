"""Draw the log of a training run: `python benchmarks/plot_training.py LOG.jsonl CURVE.png`. Needs matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt

FAMILIES = {
    "all": "all questions",
    "picture": "picture",
    "sound": "sound",
    "cross": "cross-modal",
    "descriptions": "descriptions",
    "choices": "lettered choices",
}
STYLES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1))]
COLOURS = ["#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"]  # told apart by colour-blind readers


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    log, out = map(Path, sys.argv[1:])
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    figure, axis = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    for (family, name), style, colour in zip(FAMILIES.items(), STYLES, COLOURS, strict=True):
        points = [(r["step"], 100 * r["accuracy"][family]) for r in records if family in r["accuracy"]]
        width = 2.2 if family == "all" else 1.3
        axis.plot(*zip(*points, strict=True), label=name, linestyle=style, color=colour, linewidth=width)
    axis.set(xlabel="step", ylabel="held-out answers right, %", ylim=(0, 100), xlim=(0, None))
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right", frameon=False)
    figure.savefig(out, dpi=150)
    print(out)


if __name__ == "__main__":
    main()
