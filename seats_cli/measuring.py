"""What `seats bench` and `seats profile` share: what is compared, what is said on the way, and how they end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from seats.keep import Setting, settings_of
from seats_cli.command import print_error
from seats_cli.options import choice, keep_of, option, parse_method, parse_percent, parse_positive, share
from seats_cli.output import Output
from seats_cli.usage import FAILED

_PANEL = "Measurement"
TIME_LIMIT = option(
    "--time-limit",
    panel=_PANEL,
    text="Begin no further round after so long; at least one is counted (default no limit).",
    metavar="SECONDS",
    parser=parse_positive,
)


@dataclass(frozen=True)
class ComparedOptions:
    """What is compared."""

    method: Annotated[
        list[str] | None,
        option(
            "--method",
            panel=_PANEL,
            text="A method (default seats); repeat to compare several.",
            metavar="NAME",
            parser=parse_method,
        ),
    ] = None
    keep: Annotated[
        list[float] | None,
        option(
            "--keep",
            panel=_PANEL,
            text="A retention for every method (default 10%); repeat to compare several.",
            metavar="PERCENT",
            parser=parse_percent,
        ),
    ] = None
    keep_video: Annotated[float | None, keep_of("video", _PANEL)] = None
    keep_audio: Annotated[float | None, keep_of("audio", _PANEL)] = None
    kv: Annotated[
        str,
        option(
            "--kv", panel=_PANEL, metavar="keep|drop", parser=choice("keep", "drop"), text="As for ask (default keep)."
        ),
    ] = "keep"

    @property
    def methods(self) -> list[str]:
        return self.method or ["seats"]

    @property
    def settings(self) -> list[Setting]:
        return settings_of(self.methods, self.keep or [10.0], share(self.keep_video), share(self.keep_audio))


def check_methods(names: Iterable[str]) -> None:
    """Raises SettingsError for a method that there is not."""
    from seats.methods import method_class

    for name in names:
        method_class(name)


def telling(out: Output) -> Callable[[str], None]:
    """Says what is being done: in the sign of life on a terminal, elsewhere as lines with --verbose."""

    def tell(what: str) -> None:
        out.now(what)
        if not out.console.is_interactive:
            out.detail(what)

    return tell


def show(document: dict[str, Any], title: str, out: Output) -> None:
    """Print what was measured, as tables or as JSON; raises typer.Exit as `exit_for` does."""
    if out.options.json:
        out.document(document)
    else:
        from rich.text import Text

        from seats_cli.consoles import OutputConsole
        from seats_cli.measurements import tables
        from seats_cli.text import one_line

        OutputConsole().print(Text(one_line(title)), tables(document))
    exit_for(document, out.options.debug)


def exit_for(document: dict[str, Any], debug: bool) -> None:
    """Raises typer.Exit if nothing could be measured that was asked for, a setting failed in a way that nobody foresaw,
    or one that was measured failed from the file on; says which."""
    rows = document["rows"]
    asked = [row for row in rows if row["method"] not in ("full", "stock")] or rows
    failed = [row for row in rows if "traceback" in row or "from_file_error" in row]
    for row in failed:
        error, hint = row["error"] or f"from the file, {row['from_file_error']}", ""
        if "traceback" in row:
            hint = "" if debug else "; run it again with --debug for the details"
            if debug:
                typer.echo(row["traceback"], err=True)
        print_error(f"{row['label']}: {error}{hint}")
    if all(row["error"] is not None for row in asked) and not any(row["error"] for row in failed):
        what = "nothing" if all(row["error"] is not None for row in rows) else "nothing but full tokens"
        print_error(f"{what} could be measured; {asked[0]['label']}: {asked[0]['error']}")
    elif not failed:
        return
    raise typer.Exit(FAILED)


def kept(keep: dict[str, float | None]) -> list[str]:
    """What --keep-video and --keep-audio say, for a title. keep: shares by modality, None for --keep's own."""
    return [f"{100 * share:g} % of {kind}" for kind, share in keep.items() if share is not None]
