"""`seats view`: what a method did to a clip's tokens, as a page, a figure or a film."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seats.errors import MediaError
from seats.files import unwritten_told
from seats.text import printable
from seats.units import size
from seats_cli.command import command
from seats_cli.commands.ask import answer_document, question_of
from seats_cli.options import (
    CLIP,
    QUESTION,
    AnswerOptions,
    ClipOptions,
    ModelOptions,
    OutputOptions,
    SelectionOptions,
    TokenOptions,
    option,
    parse_method,
)
from seats_cli.output import Output
from seats_cli.page_file import check_page, write_page
from seats_cli.places import check_own, check_places
from seats_cli.planning import FitOptions, fitting
from seats_cli.startup import start
from seats_cli.usage import WrongUsage

if TYPE_CHECKING:
    from seats.methods import ModelShape
    from seats.view.token_map import TokenMap

ORDER = 71
SCHEMA = "seats.view/1"
_FILES = "Files"


@dataclass(frozen=True)
class ViewedOptions(TokenOptions):
    """Which tokens stay, by one method or by several to compare."""

    method: Annotated[
        list[str] | None,
        option(
            "--method",
            panel="Token selection",
            text="A method (default seats); give it twice to compare two side by side.",
            metavar="NAME",
            parser=parse_method,
        ),
    ] = None  # type: ignore[assignment]

    def each(self) -> list[SelectionOptions]:
        """The same options for each method by itself."""
        shared = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "method"}
        return [SelectionOptions(method=name, **shared) for name in dict.fromkeys(self.method or ["seats"])]


@dataclass(frozen=True)
class FileOptions:
    """What is written."""

    out: Annotated[
        Path | None,
        option(
            "--out",
            "-o",
            panel=_FILES,
            text="The page (map.html, unless only --png or --mp4 is asked for).",
            metavar="FILE",
        ),
    ] = None
    png: Annotated[
        Path | None,
        option(
            "--png",
            panel=_FILES,
            text="A figure for a paper: .png, .pdf or .svg (needs seats\\[eval]).",
            metavar="FILE",
        ),
    ] = None
    mp4: Annotated[
        Path | None,
        option("--mp4", panel=_FILES, text="The clip with the mask burnt in, H.264.", metavar="FILE"),
    ] = None

    def page(self) -> Path | None:
        """Where the page goes, None for nowhere."""
        return self.out or (None if self.png or self.mp4 else Path("map.html"))


@command
def view(
    clip: Annotated[Path, CLIP],
    question: Annotated[str, QUESTION],
    files: FileOptions,
    model: ModelOptions,
    selection: ViewedOptions,
    part: ClipOptions,
    answering: AnswerOptions,
    memory: FitOptions,
    output: OutputOptions,
    context: typer.Context,
) -> None:
    """Show which tokens of a clip a question was answered from: one page to open in a browser, without a network.

    [bold]Examples[/bold]

    seats view match.mp4 "Who scores?" --out map.html

    seats view match.mp4 "Who scores?" --method seats --method fastv --keep 25% --png figure.pdf --mp4 mask.mp4
    """
    _check_files(files, clip)
    out = Output(output)
    chosen = selection.each()
    out.say_without_effect(context, [each.method for each in chosen])

    def questions() -> list[Any]:
        return [question_of(question, each, answering) for each in chosen]

    def check(shape: ModelShape) -> None:
        _check_drawable(files)
        for each in questions():
            each.method_for(shape)

    fit = fitting(clip, memory.max_vram, [question], chosen, model, answering, out)
    started = start(
        clip,
        part,
        model,
        out,
        check=check,
        fit=fit,
        question=question,
        limit=memory.max_vram,
    )
    from seats.view.look import look

    with out.working("looking and listening"):
        maps = look(
            started.model,
            started.clip,
            questions(),
            decode_ms=started.decode_ms,
            on_answer=lambda answer: out.say(f"{answer.method.name}: {answer.text}"),
        )
        written = _write(maps, files, out)
    if output.json:
        paths = {kind: printable(str(path)) for kind, path in written.items()}
        answers = [answer_document(seen.answer, fit) for seen in maps]
        out.document({"schema": SCHEMA, "files": paths, "answers": answers})
    else:
        for path in written.values():
            typer.echo(str(path))


def _check_files(files: FileOptions, clip: Path) -> None:
    """What can be said of the files to write before anything heavy is imported. Raises WrongUsage or SettingsError."""
    suffixes = {"--png": (".png", ".pdf", ".svg"), "--mp4": (".mp4",)}
    named = (("--out", files.page()), ("--png", files.png), ("--mp4", files.mp4))
    places = [(name, path) for name, path in named if path is not None]
    for name, path in places:
        if name in suffixes and not path.is_dir() and path.suffix.lower() not in suffixes[name]:
            raise WrongUsage(f"{name} {path}: the name must end in {' or '.join(suffixes[name])}")
    check_places(places, clip, "the clip")
    for name, path in places:
        if name != "--out":
            check_own(path)
    if (page := files.page()) is not None:
        check_page(page)


def _check_drawable(files: FileOptions) -> None:
    """Raises SettingsError where what was asked for cannot be drawn here."""
    if files.png is not None:
        from seats.view.figure import check_figure

        check_figure(files.png)
    if files.mp4 is not None:
        from seats.view.film import check_film

        check_film(files.mp4)


def _write(maps: list[TokenMap], files: FileOptions, out: Output) -> dict[str, Path]:
    """Write each file asked for; the paths by kind."""
    jobs: dict[str, tuple[Path | None, Callable[[list[TokenMap], Path], None]]] = {
        "html": (files.page(), write_page),
        "png": (files.png, _write_figure),
        "mp4": (files.mp4, _write_film),
    }
    written = {}
    for kind, (path, write) in jobs.items():
        if path is None:
            continue
        out.now(f"writing {path.name}")
        try:
            write(maps, path)
        except BrokenPipeError:  # of /dev/stdout
            raise
        except OSError as error:
            raise MediaError(unwritten_told(path, error)) from None
        out.detail(f"{path.name}: {size(path.stat().st_size)}")
        written[kind] = path
    return written


def _write_figure(maps: list[TokenMap], path: Path) -> None:
    from seats.view.figure import write_figure

    write_figure(maps, path)


def _write_film(maps: list[TokenMap], path: Path) -> None:
    from seats.view.film import write_film

    write_film(maps, path)
