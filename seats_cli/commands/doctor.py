"""`seats doctor`: what works on this machine."""

from __future__ import annotations

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

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in _rows(machine):
        table.add_row(label, value)
    return table


def _rows(machine: Machine) -> list[tuple[str, Any]]:
    from rich.text import Text

    from seats_cli.flow import Flow

    works = [name for name, decodes in machine.codecs.items() if decodes]
    fails = [name for name, decodes in machine.codecs.items() if not decodes]
    codecs = Text(", ".join(works) or "none", style="green" if works else "red")
    if fails:
        codecs.append(f"; not {', '.join(fails)}", style="red")
    versions = machine.versions
    tested = Text()
    if machine.transformers_tested is not None:
        low, high = machine.transformers_tested
        inside = machine.transformers_inside
        tested = Text(
            f"{'inside' if inside else 'outside'} the tested range {low} to {high}",
            style="green" if inside else "red",
        )
    rows: list[tuple[str, Any]] = [
        ("seats", versions["seats"]),
        ("python", f"{machine.python} on {machine.system}, {machine.cpus} CPU cores"),
        ("torch", versions["torch"] or "missing"),
        ("transformers", Flow([versions["transformers"] or "missing", tested])),
    ]
    for gpu in machine.gpus:
        rows.append(
            (
                f"GPU cuda:{gpu.index}",
                Flow([gpu.name, f"{size(gpu.free_bytes)} of {size(gpu.total_bytes)} free", f"sm {gpu.capability}"]),
            )
        )
    if not machine.gpus:
        rows.append(("GPU", "none that torch can use; models run on the CPU"))
    if machine.attention is not None:
        flash = machine.attention.flash_attn or "not installed (not needed)"
        varlen = "yes" if machine.attention.varlen else "no (batched windows instead)"
        rows.append(
            (
                "attention",
                Flow([f"SDPA: {', '.join(machine.attention.sdpa)}", f"varlen: {varlen}", f"flash-attn: {flash}"]),
            )
        )
        rows.append(("Triton", _triton(machine.attention.triton, bool(machine.gpus))))
    rows += [
        ("decodes", codecs),
        ("PyAV", versions["av"] or "missing"),
        ("extras", _extras(machine.extras)),
        ("memory", f"{size(machine.memory_free_bytes)} free"),
        ("disk", f"{size(machine.hub.cache_free_bytes)} free in {machine.hub.cache}"),
        ("hub", _hub_line(machine)),
    ]
    for model in (machine.built_in, *machine.hub.models):
        here = Text("not on disk", style="dim") if model.bytes is None else Text(size(model.bytes), style="green")
        if model is machine.built_in and model.bytes is None:
            here = Text("missing", style="red")
        rows.append(("models" if model is machine.built_in else "", Flow([model.name, here], separator="  ")))
    for problem in machine.problems:
        rows.append(("problem", Text(one_line(problem), style="red")))
    if not machine.problems:
        rows.append(("", Text("The built-in model can run here.", style="green")))
    return rows


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


def _extras(extras: dict[str, bool]) -> Any:
    from rich.text import Text

    here = [name for name, whole in extras.items() if whole]
    missing = [name for name, whole in extras.items() if not whole]
    said = Text(", ".join(here) or "none", style="green" if here else "")
    if missing:
        said.append(f"; not {', '.join(missing)} (in a checkout: pip install -e '.[{','.join(missing)}]')", style="dim")
    return said
