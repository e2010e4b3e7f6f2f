"""`seats models`: what can be run, what is on disk, what each needs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from seats.errors import SeatsError
from seats.units import size
from seats_cli.command import command, print_error, print_traceback, unexpected
from seats_cli.options import OutputOptions
from seats_cli.output import Output
from seats_cli.text import LONG_PATH, one_line, short
from seats_cli.usage import FAILED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.table import Table

ORDER = 110
SCHEMA = "seats.models/1"


@dataclass(frozen=True)
class Known:
    """A model that can be run.

    on_disk: bytes of its weights here, None if they are not all here. weights: bytes in memory, by how they are kept.
    needs: bytes a run of two minutes of video and sound takes at 10 %, in 16 bits (small models: 32); needs_full: with
    all tokens. fits: whether the memory here has `needs`.
    """

    name: str
    parameters: int
    family: str
    layers: int
    on_disk: int | None
    weights: dict[str, int]
    needs: int
    needs_full: int
    fits: bool
    knows: str


@command
def models(
    output: OutputOptions,
    folder: Annotated[
        list[str] | None,
        typer.Argument(help="Folders of models to list as well.", metavar="FOLDER", show_default=False),
    ] = None,
) -> None:
    """What can be run, what is on disk, and what each model needs in memory.

    What a model needs is planned for two minutes of 480p video with sound. Nothing is downloaded and no hub is asked.
    A folder that holds no model that can be run is named on standard error; the exit code is then 1.

    [bold]Examples[/bold]

    seats models

    seats models ~/models/my-omni --json
    """
    out = Output(output)
    from seats.models.checkpoint import KNOWN
    from seats_cli.planning import place_for

    place = place_for("auto", None, None)
    room = place.room(None)
    names = list(dict.fromkeys((*KNOWN, *(folder or []))))
    known, broken = _known(names, place.device, room.limit_bytes, output.debug)
    if output.json:
        out.document(
            {
                "schema": SCHEMA,
                "memory": {"bytes": room.limit_bytes, "from": room.source, "device": place.device},
                "models": [asdict(model) for model in known],
                "broken": [{"name": name, "message": message} for name, message in broken.items()],
            }
        )
    else:
        from rich.text import Text

        from seats_cli.consoles import OutputConsole

        console = OutputConsole()
        console.print(_fitted(known, console.width))
        console.print()
        console.print(
            Text(
                f"Needs: for two minutes of 480p video with sound at 10% of the tokens; {room.source}: "
                f"{size(room.limit_bytes)}. For another clip or setting: seats plan CLIP --model NAME"
            )
        )
    for message in broken.values():
        print_error(message)
    if broken:
        raise typer.Exit(FAILED)


def _known(names: list[str], device: str, memory: int, debug: bool) -> tuple[list[Known], dict[str, str]]:
    """The models of these names, and what is wrong with the others."""
    known, broken = [], {}
    for name in names:
        try:
            known.append(_model(name, device, memory))
        except SeatsError as error:
            print_traceback(debug)
            broken[name] = one_line(str(error))
        except Exception as error:  # whatever stands in a config.json, the other models are still to be told of
            print_traceback(debug)
            where = "" if isinstance(error, OSError) else f"{short(name, LONG_PATH)}: "  # which names its file
            broken[name] = where + unexpected(error, debug)
    return known, broken


def _model(name: str, device: str, memory: int) -> Known:
    """The built-in model, a published one, or that in a folder. Raises ModelError for a folder without one."""
    from seats.models.checkpoint import BUILT_IN
    from seats.plan.model import planned_model
    from seats.plan.plan import Ask, make_plan
    from seats.plan.search import reserve_for
    from seats.plan.typical import two_minutes
    from seats.plan.weights import count_weights, dtype_bytes

    model = planned_model(name)
    weights = count_weights(model)
    small = dtype_bytes(model, "cpu", "auto") == 4
    where = "cpu" if small else "cuda" if device == "cpu" else device
    ask = Ask(device=where, dtype_bytes=4 if small else 2)
    plan = make_plan(model, two_minutes(), ask)
    full = make_plan(model, two_minutes(), replace(ask, method="full"))
    kept = {"float32": weights.bytes(4)} if small else {"bfloat16": weights.bytes(2)}
    if not small:
        kept |= {bits: weights.bytes(2, bits) for bits in ("8bit", "4bit")}
    needs = plan.needed_bytes + reserve_for(where)
    return Known(
        name=name,
        parameters=weights.parameters,
        family=model.family.name,
        layers=model.num_layers,
        on_disk=_on_disk(name),
        weights=kept,
        needs=needs,
        needs_full=full.needed_bytes + reserve_for(where),
        fits=needs <= memory,
        knows="shapes-and-sounds clips only" if name == BUILT_IN else "any clip",
    )


def _on_disk(name: str) -> int | None:
    """Bytes of a model's weights on this disk, None if they are not whole. Never asks the hub."""
    from seats.models.hub import cached_bytes, may_be_on_disk

    return cached_bytes(name) if may_be_on_disk(name) else None


def _fitted(known: list[Known], width: int) -> RenderableType:
    """A table, or where names would have to be broken for it, lines below each name."""
    from rich.console import Group

    from seats_cli.flow import fit

    table = _table(known)
    return table if fit(table, width) else Group(*_lines(known))


def _table(known: list[Known]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    for heading in ("params", "on disk", "needs"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("fits", no_wrap=True)
    for model in known:
        here = Text("no", style="dim") if model.on_disk is None else Text(size(model.on_disk), style="green")
        fits = Text("yes", style="green") if model.fits else Text("no", style="yellow")
        table.add_row(Text(_short_name(model)), _count(model.parameters), here, size(model.needs), fits)
    return table


def _lines(known: list[Known]) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    from seats_cli.flow import Flow

    for model in known:
        yield Text(_short_name(model), style="bold")
        here = "not on disk" if model.on_disk is None else f"{size(model.on_disk)} on disk"
        fits = Text("fits", style="green") if model.fits else Text("does not fit", style="yellow")
        facts: list[Text | str] = [f"{_count(model.parameters)} params", here, f"needs {size(model.needs)}", fits]
        yield Padding(Flow(facts), (0, 0, 0, 2))


def _short_name(model: Known) -> str:
    return one_line(model.name).removeprefix("Qwen/")


def _count(parameters: int) -> str:
    """8.9 B, 4.0 M."""
    for scale, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if parameters >= scale:
            return f"{parameters / scale:.1f} {unit}"
    return str(parameters)
