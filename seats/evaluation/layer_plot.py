"""Layer-dependence curves as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seats.evaluation.borders import Borders
from seats.evaluation.layer_document import Analysis
from seats.evaluation.plot import check_plot, save, subject

# Okabe & Ito's colours; line style and marker tell the curves apart without them.
_STYLES = {
    "video": ("#0072B2", "-", "o", "without video"),
    "audio": ("#D55E00", "--", "s", "without sound"),
    "both": ("#000000", ":", "^", "without both"),
}


def plot_layers(analysis: Analysis, path: Path) -> None:
    """Write the picture: accuracy by the layer after which video, audio or both are gone, with 95 % intervals, full
    tokens as a horizontal line, and the blocks. path: ends in .png, .svg or .pdf.

    Raises SettingsError for another ending, without matplotlib, or if the file can't be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    found = analysis.dependence
    figure = Figure(figsize=(8, 5), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    axes.axhline(100 * found.full.share, color="#777777", linewidth=1, zorder=1)
    axes.annotate("full\ntokens", (1, 100 * found.full.share), (4, 0), ("axes fraction", "data"), "offset points",
                  va="center", fontsize=9, color="#777777")  # fmt: skip
    for what, (colour, line, marker, label) in _STYLES.items():
        points = found.curve(what)
        x = [point.layer for point in points]
        bounds = [point.accuracy.interval() for point in points]
        low, high = ([100 * bound[end] for bound in bounds] for end in (0, 1))
        axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.plot(x, [100 * point.accuracy.share for point in points], color=colour, linestyle=line, marker=marker,
                  markersize=5, linewidth=1.8, label=label)  # fmt: skip
    axes.margins(x=0.02)
    axes.set_ylim(0, 100)
    if analysis.borders is not None:
        _blocks(axes, analysis.borders, found.num_layers)
    axes.set_xlabel("removed after decoder layer (0: before the first)")
    axes.set_ylabel("right answers, %")
    axes.set_title(
        f"{subject(analysis.model, analysis.benchmark)}\n{analysis.size}; bands: 95 % intervals",
        fontsize=11,
        pad=20,
        parse_math=False,  # names of files may hold dollar signs
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=15))
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    save(figure, path)


def _blocks(axes: Any, borders: Borders, num_layers: int) -> None:
    """A line at each border, and the blocks' names above."""
    edges = (0, borders.shallow, borders.late, num_layers)
    for border in edges[1:-1]:
        axes.axvline(border, color="#555555", linewidth=1, linestyle=(0, (2, 2)), zorder=1)
    for name, start, end in zip(("shallow", "middle", "late"), edges[:-1], edges[1:], strict=True):
        if end > start:
            axes.annotate(name, ((start + end) / 2, 1.01), xycoords=("data", "axes fraction"), ha="center",
                          va="bottom", fontsize=9, color="#555555")  # fmt: skip
