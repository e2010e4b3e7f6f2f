"""The report as one self-contained HTML page: no script, nothing from the network, plots as inline SVG.

`templates/page.html` and the files it includes hold the page; autoescaping is on for all of it, since every text comes
from a results file, and the page's content security policy allows styles only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from seats import units
from seats.files import MARK, is_own, replacing, unwritten_told
from seats.names import PART_NAMES, STEP_NAMES
from seats.report import charts
from seats.report.results import ResultsError
from seats.report.summary import PARTS_OF_TOTAL, Comparison, Cost, Group, Ratio, Report


def write_page(report: Report, path: Path) -> None:
    """Write the page to a file. Raises ResultsError if that fails, or if it would replace another's file, and
    BrokenPipeError for a pipe that nobody reads any more."""
    try:
        if not is_own(path):
            raise ResultsError(
                f"{path} is there already and does not say that seats wrote it; give the page another name"
            )
        content = page(report)
        with replacing(path) as beside:
            beside.write_text(content, encoding="utf-8")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ResultsError(unwritten_told(path, error)) from None


def page(report: Report) -> str:
    """The page's HTML."""
    environment = Environment(
        loader=PackageLoader("seats.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "ms": _unbroken(units.milliseconds),
        "flops": _unbroken(units.flops),
        "times": _unbroken(units.times),
        "percent": _unbroken(units.percent),
        "count": lambda value: f"{value:,}",
        "digits": units.three_digits,
        "size": _unbroken(units.size),
        "file_name": lambda path: Path(path).name or path,
    }
    environment.globals |= {
        "charts": charts,
        "step_names": STEP_NAMES,
        "part_names": PART_NAMES,
        "parts_of_total": PARTS_OF_TOTAL,
        "mean_steps": mean_steps,
        "shown_parts": shown_parts,
        "largest_part": largest_part,
        "ratios": ratios,
    }
    file = report.file
    longest = max((sum(mean_steps(group).values()) for group in file.groups), default=0.0)
    return environment.get_template("page.html").render(
        mark=MARK, file=file, against=report.against, links=_links(report), longest=longest
    )


def _links(report: Report) -> list[tuple[str, str]]:
    """Anchors and names of the page's sections; none if there are hardly any."""
    groups = report.file.groups
    links = [("time", "Time")] if groups else []
    links += [(f"group-{number}", group.short_label) for number, group in enumerate(groups, 1)]
    links += [("comparison", "Comparison")] if report.against else []
    links += [("failures", "Failures")] if report.file.failures else []
    return links if len(links) > 2 else []


def mean_steps(group: Group) -> dict[str, float]:
    """Milliseconds by step of the group's mean row: means add up as the steps of a row do, medians don't."""
    rows = group.latency["total"].ms.count if "total" in group.latency else group.rows
    return {name: group.latency[name].ms.total / rows for name in PARTS_OF_TOTAL if name in group.latency}


def shown_parts(group: Group) -> list[str]:
    """Parts of at least a thousandth of the largest one's FLOPs; the others would be too short to see."""
    return [name for name, cost in group.flops.parts.items() if _larger(cost) > largest_part(group) / 1000]


def largest_part(group: Group) -> float:
    """FLOPs of the part that takes most, full or run."""
    return max(map(_larger, group.flops.parts.values()), default=0.0)


def _larger(cost: Cost) -> float:
    return max((spread.total for spread in (cost.full, cost.run) if spread is not None), default=0.0)


def ratios(compared: Comparison) -> list[tuple[str, Ratio, str]]:
    """Name, ratio and unit (the filter that shows it) of everything that two files are compared by."""
    found = [(STEP_NAMES[name], ratio, "ms") for name, ratio in compared.latency.items()]
    return [*found, ("FLOPs as run", compared.flops, "flops")] if compared.flops else found


def _unbroken(show: Callable[[float], str]) -> Callable[[float], str]:
    """The same, with the unit on the number's line."""
    return lambda value: show(value).replace(" ", "\u00a0")
