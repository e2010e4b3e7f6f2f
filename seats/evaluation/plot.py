"""Results of an evaluation as a picture: accuracy against the language model's FLOPs."""

from __future__ import annotations

import re
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seats.errors import SeatsError, SettingsError
from seats.evaluation.qa import ALL
from seats.evaluation.results import Results, SettingResult
from seats.files import marked, replacing, unwritten_told

FORMATS = (".png", ".svg", ".pdf")
# Okabe & Ito's colours, told apart with every common colour vision; its yellow is too pale for lines on white.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C6D31", "#444444")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
_BASELINES = {"random": "#999999"}
_VARIANT = re.compile(r"(-om|\+)$")


def check_plot(path: Path) -> None:
    """Raises SettingsError where no plot could be written to `path`: its format, or matplotlib missing."""
    if path.suffix.lower() not in FORMATS:
        raise SettingsError(f"--plot {path}: choose a name that ends in {', '.join(FORMATS)}")
    if find_spec("matplotlib") is None:
        raise SettingsError("--plot needs matplotlib: pip install matplotlib")


def plot(results: Results, path: Path) -> None:
    """Write the picture: a line for each method, with 95 % intervals; full tokens as a horizontal line.

    Variants of a method ("fastv-om", "seats+") have its colour, a dashed line and hollow marks. Figures of a part of
    the questions are marked with a star. Raises SettingsError as `check_plot`, SeatsError if the file can't be written.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    handles = _full_line(axes, results.full())
    names = dict.fromkeys(r.setting.method for r in results.settings if r.setting.keep is not None and r.reached)
    for name, (colour, marker, variant) in _styles(list(names)).items():
        found = [r for r in results.settings if r.setting.method == name and r.reached]
        handles.append(_method_line(axes, name, found, colour, marker, variant))
    axes.set_xlabel("FLOPs of selection + prefill, % of those of full tokens")
    axes.set_ylabel("right answers, %")
    axes.set_title(
        f"{subject(results.model, results.benchmark)}\n{results.size}, 95 % intervals",
        fontsize=11,
        parse_math=False,  # names of files may hold dollar signs
    )
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if any(r.partial for r in results.settings):
        axes.annotate("* of the clips the method can serve", (1, 0), (0, 6), "axes fraction", "offset points",
                      ha="right", fontsize=8, color="#555555")  # fmt: skip
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=9)
    save(figure, path)


def save(figure: Any, path: Path) -> None:
    """Write a figure; an older one goes when the new one is whole. Raises SeatsError if it can't be written."""
    try:
        with replacing(path) as beside:
            kind = path.suffix[1:].lower()
            figure.savefig(beside, format=kind, metadata=marked(kind))
    except OSError as error:
        raise SeatsError(f"--plot {unwritten_told(path, error)}") from error


def subject(model: str, benchmark: str) -> str:
    """What a picture is about: over several lines where paths are long, as it is not to run out of the picture."""
    return textwrap.fill(f"{model} on {benchmark}", 70)


def _full_line(axes: Any, full: SettingResult | None) -> list[Any]:
    if full is None:
        return []
    low, high = (100 * bound for bound in full.accuracy[ALL].interval())
    axes.axhspan(low, high, color="black", alpha=0.06, linewidth=0)
    return [axes.axhline(100 * full.accuracy[ALL].share, color="black", linewidth=1.2, label="full tokens")]


def _method_line(axes: Any, name: str, found: list[SettingResult], colour: str, marker: str, variant: bool) -> Any:
    points = sorted(found, key=lambda r: r.llm_flops_share or 0.0)
    x = [100 * (r.llm_flops_share or 0.0) for r in points]
    y = [100 * r.accuracy[ALL].share for r in points]
    bounds = [[100 * bound for bound in r.accuracy[ALL].interval()] for r in points]
    error = [[value - low for value, (low, _) in zip(y, bounds, strict=True)],
             [high - value for value, (_, high) in zip(y, bounds, strict=True)]]  # fmt: skip
    for r, at, value in zip(points, x, y, strict=True):
        if r.partial:
            axes.annotate("*", (at, value), (4, 2), textcoords="offset points", color=colour, fontsize=12)
    return axes.errorbar(
        x, y, yerr=error, label=name, color=colour, marker=marker, markersize=5.5,
        markerfacecolor="white" if variant else colour, linestyle="--" if variant else "-", linewidth=1.5,
        elinewidth=0.8, capsize=2,
    )  # fmt: skip


def _styles(names: list[str]) -> dict[str, tuple[str, str, bool]]:
    """By method: colour, marker, and whether it is a variant of another. Two methods share a colour only where one is
    a variant, or where there are more than there are colours."""
    families = list(dict.fromkeys(_VARIANT.sub("", name) for name in names))
    coloured = [family for family in families if family not in _BASELINES]
    styles = {}
    for name in names:
        family = _VARIANT.sub("", name)
        number = coloured.index(family) if family in coloured else len(coloured)
        colour = _BASELINES.get(family, _COLOURS[number % len(_COLOURS)])
        styles[name] = (colour, _MARKERS[(number + number // len(_COLOURS)) % len(_MARKERS)], name != family)
    return styles
