"""A help page for terminals so narrow that Typer's tables cut the names of options: each with its text below it."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

TYPERS_FITS = 80
"""Columns from which on Typer's own pages show everything whole."""


def narrow_help(command: Any, context: Any) -> Iterator[RenderableType]:
    """The parts of the page of a command or of the group, top to bottom."""
    yield Text(f"{command.get_usage(context)}\n")
    for paragraph in cleandoc(command.help).split("\n\n"):
        yield Text.from_markup(f"{' '.join(paragraph.split())}\n")
    panels: dict[str, list[Any]] = {}
    for parameter in command.get_params(context):
        of_its_kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
        panels.setdefault(getattr(parameter, "rich_help_panel", None) or of_its_kind, []).append(parameter)
    for title, parameters in panels.items():
        yield Text(title, style="bold")
        for parameter in parameters:
            help_text = parameter.help + (" [dim](required)[/dim]" if parameter.required else "")
            yield from _entry(_names(parameter), help_text)
        yield Text()
    if commands := getattr(command, "commands", None):
        yield Text("Commands", style="bold")
        for name, each in commands.items():
            yield from _entry(name, " ".join(cleandoc(each.help).partition("\n\n")[0].split()))
    if command.epilog:
        yield Text.from_markup(f"\n{command.epilog}")


def _entry(name: str, help_text: str) -> Iterator[RenderableType]:
    yield Text(f"  {name}", style="cyan")
    yield Padding(Text.from_markup(help_text), (0, 0, 0, 6))


def _names(parameter: Any) -> str:
    metavar = parameter.metavar or parameter.name.upper()
    if parameter.param_type_name == "argument":
        return metavar
    said = ", ".join((*parameter.opts, *parameter.secondary_opts))
    return said if parameter.is_flag else f"{said} {metavar}"
