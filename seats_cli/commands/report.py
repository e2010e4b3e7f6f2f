"""`seats report`: what a results file says about time, FLOPs, tokens and failures."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from seats.errors import SeatsError
from seats_cli.command import command
from seats_cli.options import OutputOptions, option
from seats_cli.output import Output
from seats_cli.page_file import check_page
from seats_cli.places import check_place

ORDER = 40
_PANEL = "Report"


@dataclass(frozen=True)
class ReportOptions:
    """What is reported, and where to."""

    against: Annotated[
        Path | None,
        option(
            "--against",
            panel=_PANEL,
            text="Another results file: the same questions about the same clips are paired and compared.",
            metavar="FILE",
        ),
    ] = None
    html: Annotated[
        Path | None, option("--html", panel=_PANEL, text="Also write the report as a web page.", metavar="FILE")
    ] = None
    slowest: Annotated[
        int,
        option(
            "--slowest", panel=_PANEL, text="How many of the slowest rows to name (default 10).", metavar="N", min=0
        ),
    ] = 10


@command
def report(
    results: Annotated[
        Path, typer.Argument(help="A .jsonl file that seats batch wrote.", metavar="RESULTS", show_default=False)
    ],
    options: ReportOptions,
    output: OutputOptions,
) -> None:
    """Time by step, FLOPs, share of tokens kept and failures of a results file, on the terminal or as a web page.

    [bold]Examples[/bold]

    seats report results.jsonl --html report.html

    seats report seats.jsonl --against full.jsonl
    """
    if options.html is not None:
        check_place(options.html)
        check_page(options.html)
    _check_ends(results)
    out = Output(output)
    with out.working(f"reading {results.name}"):
        from seats.report import report as read

        made = read(
            results,
            options.against,
            slowest=options.slowest,
            on_row=lambda name, line: out.now(f"reading {Path(name).name}: line {line:,}"),
        )
    if options.html is not None:
        from seats.report.page import write_page

        write_page(made, options.html)
        out.say(f"page: {options.html}")
    if output.json:
        out.document(made.document())
        return
    from seats_cli.consoles import OutputConsole
    from seats_cli.report_view import ReportView

    OutputConsole().print(ReportView(made))


def _check_ends(path: Path) -> None:
    """Raises SeatsError for a device, such as /dev/zero, but for a terminal: what is typed there ends."""
    with suppress(OSError):  # which reading it tells of
        if path.is_block_device() or path.is_char_device():
            with path.open("rb") as file:
                if not file.isatty():
                    raise SeatsError(f"{path} is a device: give the results file of a batch")
