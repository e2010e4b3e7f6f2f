"""Finds the commands, layers the settings, and turns what goes wrong into an exit code."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated, Any

import typer

from seats_cli import commands, environment
from seats_cli.command import print_error, unexpected
from seats_cli.config import read_settings
from seats_cli.usage import FAILED, INTERRUPTED, READER_GONE, ReportedError

EPILOG = (
    "Every option can also stand in a TOML file (~/.config/seats/config.toml, or $SEATS_CONFIG) as 'keep = \"25%\"', "
    "or in the environment as SEATS_KEEP=25%. Flags win over the environment, and that over the file."
)

_TABLES_FIT = 80
"""Columns from which on the pages of help show the names of all options whole."""


def build_app() -> typer.Typer:
    """The Typer app with one command per module of `seats_cli.commands`.

    A module holds a function of its own name, decorated with `@command`, and `ORDER`, its place in the help.
    """
    app = typer.Typer(
        name="seats",
        help="Ask questions about a video and its sound, with fewer tokens.",
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    modules = [import_module(f"{commands.__name__}.{found.name}") for found in iter_modules(commands.__path__)]
    for module in sorted(modules, key=lambda module: module.ORDER):
        name = module.__name__.rpartition(".")[2]
        app.command(name.replace("_", "-"))(getattr(module, name))
    return app


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code. Usage errors are printed as one line."""
    environment.prepare()
    group: Any = typer.main.get_command(build_app())
    if "_SEATS_COMPLETE" not in os.environ and (not arguments or {"-h", "--help"} & set(arguments)):
        _hide_type_of_flags(group)
        columns = environment.terminal_size()[0]
        if columns < _TABLES_FIT:
            _take_tables_away(group, columns)
    try:
        if _show_help(group, arguments):
            return 0
        settings = _settings(group, arguments)
        code = group.main(args=arguments or ["--help"], prog_name="seats", standalone_mode=False, default_map=settings)
    except typer.Abort:
        return INTERRUPTED
    except typer.Exit as ending:
        return ending.exit_code
    except ReportedError as error:
        print_error(_usage_message(error) + _dashed_file(arguments))
        return getattr(error, "exit_code", 2)
    except BrokenPipeError:
        return READER_GONE
    except SystemExit as ending:  # click's and Rich's word for it
        if not isinstance(ending.__context__, BrokenPipeError):
            raise
        return READER_GONE
    except OSError as error:  # of a help page: what a command raises it turns into a line itself
        print_error(unexpected(error, debug=True))
        return FAILED
    return code if isinstance(code, int) else 0


def finished(code: int) -> int:
    """Write out what Python still holds back; returns the exit code, another one where that fails."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = READER_GONE
    except OSError as error:
        if not code:  # else it has been said
            print_error(unexpected(error, debug=True))
            code = FAILED
    with suppress(OSError):
        sys.stderr.flush()
    return code


def _settings(group: Any, arguments: list[str]) -> dict[str, dict[str, Any]]:
    """Of the settings file. One that is wrong does not stand between a user and the help."""
    if "_SEATS_COMPLETE" in os.environ:
        return {}
    try:
        return read_settings(group)
    except ReportedError:
        if not arguments or {"--help", "-h", "--version"} & set(arguments):
            return {}
        raise


def _hide_type_of_flags(group: Any) -> None:
    """Typer shows of its own flags, such as --help, that they are a <bool>."""
    above = typer.Context(group, info_name="seats", **group.context_settings)
    options = group.get_params(above)
    for command in group.commands.values():
        options += command.get_params(typer.Context(command, parent=above))
    for option in options:
        if getattr(option, "is_flag", False):
            option.metavar = ""


def _take_tables_away(group: Any, columns: int) -> None:
    """Have pages made by click, which cuts no names, and knows no markup."""
    from rich.text import Text

    group.context_settings["terminal_width"] = columns
    for command in (group, *group.commands.values()):
        command.rich_markup_mode = None
        for said in (command, *command.params):
            said.help = Text.from_markup(said.help or "").plain
        command.short_help = command.help.partition("\n\n")[0]


def _show_help(group: Any, arguments: list[str]) -> bool:
    """Print the page of `seats COMMAND --help`. Parsing would do, but typer imports pydantic for that: 0.1 s."""
    if len(arguments) != 2 or arguments[1] not in ("-h", "--help") or arguments[0] not in group.commands:
        return False
    above = typer.Context(group, info_name="seats", **group.context_settings)
    command = group.commands[arguments[0]]
    typer.echo(command.get_help(typer.Context(command, info_name=arguments[0], parent=above)))
    return True


def _usage_message(error: Any) -> str:
    """click's message with where the value came from, and where to read more."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    if getattr(parameter, "is_flag", False):  # of which typer's parser says what a value should have been, not how
        error.message = "a switch: write true or false"
    message = " ".join(error.format_message().split()).rstrip(".")
    if context is None:
        return message
    if parameter is not None and parameter.name:
        source = context.get_parameter_source(parameter.name)
        if source is not None and source.name == "ENVIRONMENT":
            message += f" (from {parameter.envvar} in the environment)"
        elif source is not None and source.name == "DEFAULT_MAP":
            message += " (from the settings file)"
    if "unexpected extra argument" in message:
        if "(-" in message:
            message += ": what follows -- is no option, so put options before it"
        elif any(each.name == "question" for each in context.command.params):
            message += ": put the question in quotes"
    return f"{message}{' See' if message.endswith('?') else '; see'} {context.command_path} --help"


def _dashed_file(arguments: list[str]) -> str:
    """What to write for a file whose name begins with a dash, which is taken as an option."""
    name = next((said for said in arguments if said.startswith("-") and os.path.isfile(said)), None)
    return "" if name is None else f"; for the file {name} write ./{name}"


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"seats {version('seats')}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_show_version, is_eager=True, metavar=" "
        ),
    ] = False,
) -> None:
    """Ask questions about a video and its sound, with fewer tokens."""
