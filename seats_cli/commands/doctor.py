"""`seats doctor`: what works on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seats.units import size
from seats_cli.command import command
from seats_cli.options import OutputOptions, flag
from seats_cli.output import Output
from seats_cli.text import one_line
from seats_cli.usage import FAILED

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from seats_cli.machine import Machine

ORDER = 120
SCHEMA = "seats.doctor/1"


@dataclass(frozen=True)
class DoctorOptions:
    """What is looked at."""

    offline: Annotated[bool, flag("--offline", panel="Check", text="Don't ask whether the hub can be reached.")] = False


@command
def doctor(options: DoctorOptions, output: OutputOptions) -> None:
    """What works here: GPU, attention kernels, codecs, hub access, cached models, memory.

    Ends with 1 if the built-in model cannot run, 0 otherwise.

    [bold]Examples[/bold]

    seats doctor

    seats doctor --offline --json
    """
    out = Output(output)
    with out.working("looking"):
        from seats_cli.machine import examine

        machine = examine(options.offline)
    if output.json:
        out.document({"schema": SCHEMA, "ok": not machine.problems, **asdict(machine)})
    else:
        from seats_cli.consoles import OutputConsole

        OutputConsole().print(_table(machine))
    if machine.problems:
        raise typer.Exit(FAILED)


def _table(machine: Machine) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in _rows(machine):
        table.add_row(label, Text(one_line(value)) if isinstance(value, str) else value)
    return table


def _rows(machine: Machine) -> Iterator[tuple[str, Any]]:
    from rich.text import Text

    from seats_cli.flow import Flow

    versions = machine.versions
    yield "seats", versions["seats"]
    yield "python", f"{machine.python} on {machine.system}, {machine.cpus} CPU cores"
    yield "torch", versions["torch"] or "missing"
    yield "transformers", Flow([versions["transformers"] or "missing", _tested(machine)])
    for gpu in machine.gpus:
        memory = f"{size(gpu.free_bytes)} of {size(gpu.total_bytes)} free"
        yield f"GPU cuda:{gpu.index}", Flow([gpu.name, memory, f"sm {gpu.capability}"])
    if machine.mps:
        yield "GPU mps", "Apple's, untested; only with --device mps, models run on the CPU otherwise"
    elif not machine.gpus:
        yield "GPU", "none that torch can use; models run on the CPU"
    if machine.attention is not None:
        flash = machine.attention.flash_attn or "not installed (not needed)"
        varlen = "yes" if machine.attention.varlen else "no (batched windows instead)"
        kernels = [f"SDPA: {', '.join(machine.attention.sdpa)}", f"varlen: {varlen}", f"flash-attn: {flash}"]
        yield "attention", Flow(kernels)
        yield "Triton", _triton(machine.attention.triton, bool(machine.gpus))
    yield "decodes", _codecs(machine.codecs)
    yield "PyAV", versions["av"] or "missing"
    yield "extras", _extras(machine.extras)
    yield "memory", f"{size(machine.memory_free_bytes)} free"
    yield "disk", f"{size(machine.hub.cache_free_bytes)} free in {machine.hub.cache}"
    yield "hub", _hub_line(machine)
    for model in (machine.built_in, *machine.hub.models):
        built_in = model is machine.built_in
        missing = Text("missing", style="red") if built_in else Text("not on disk", style="dim")
        here = missing if model.bytes is None else Text(size(model.bytes), style="green")
        yield "models" if built_in else "", Flow([model.name, here], separator="  ")
    for problem in machine.problems:
        yield "problem", Text(one_line(problem), style="red")
    if not machine.problems:
        yield "", Text("The built-in model can run here.", style="green")


def _tested(machine: Machine) -> Text:
    """Whether transformers is of a version that the tests passed with."""
    from rich.text import Text

    if machine.transformers_tested is None:
        return Text()
    (low, high), inside = machine.transformers_tested, machine.transformers_inside
    said = f"{'inside' if inside else 'outside'} the tested range {low} to {high}"
    return Text(said, style="green" if inside else "red")


def _codecs(codecs: dict[str, bool]) -> Text:
    from rich.text import Text

    works = [name for name, decodes in codecs.items() if decodes]
    fails = [name for name, decodes in codecs.items() if not decodes]
    said = Text(", ".join(works) or "none", style="green" if works else "red")
    if fails:
        said.append(f"; not {', '.join(fails)}", style="red")
    return said


def _hub_line(machine: Machine) -> str:
    said = {None: "not asked (offline)", True: "reachable", False: "not reachable; models on disk still work"}
    return f"{machine.hub.endpoint}: {said[machine.hub.reachable]}"


def _triton(version: str | None, has_gpu: bool) -> str:
    if not has_gpu:
        return f"{version or 'not installed'} (only used on a GPU)"
    if version is None:
        return "not installed; selection runs without its own kernels"
    from seats.selection import triton_kernels

    if not triton_kernels.starts():
        return f"{version}, but it cannot start: install a C compiler and Python's headers; until then no own kernels"
    return version


def _extras(extras: dict[str, bool]) -> Text:
    from rich.text import Text

    here = [name for name, whole in extras.items() if whole]
    missing = [name for name, whole in extras.items() if not whole]
    said = Text(", ".join(here) or "none", style="green" if here else "")
    if missing:
        said.append(f"; not {', '.join(missing)} (in a checkout: pip install -e '.[{','.join(missing)}]')", style="dim")
    return said
