"""What all commands share: options from dataclasses, and the way errors end a command."""

from __future__ import annotations

import errno
import inspect
import os
import sys
from collections.abc import Callable
from copy import copy
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from seats.errors import SeatsError, SettingsError
from seats_cli.options import OutputOptions
from seats_cli.text import LONG_PATH, one_line, short
from seats_cli.usage import FAILED, INTERRUPTED, WRONG_USAGE, WrongUsage

_BAD_PATHS = (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a Typer command of a function whose options are dataclasses.

    Each field of a parameter that is a dataclass (see `seats_cli.options`) becomes an option of the command, and an
    environment variable `SEATS_<FIELD>`. The function must have a parameter of type `OutputOptions`. What it raises
    becomes a line on standard error and an exit code.
    """
    hints = get_type_hints(function, include_extras=True)
    flat: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if not is_dataclass(hints[name]):
            flat.append(parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=hints[name]))
            continue
        groups[name] = hints[name]
        annotations = get_type_hints(hints[name], include_extras=True)
        flat += [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=_with_variable(annotations[field.name], field.name),
            )
            for field in fields(hints[name])
        ]

    def run(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        debug = any(isinstance(value, OutputOptions) and value.debug for value in values.values())

        def work() -> None:
            _check_current_folder()
            function(**values)

        guarded(work, debug)

    run.__name__, run.__doc__, run.__module__ = function.__name__, _flowing(function.__doc__), function.__module__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    run.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    return run


def _flowing(text: str | None) -> str:
    """A docstring whose paragraphs are one line each, so that a help page breaks them where its own lines end."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text or "").split("\n\n"))


def _with_variable(annotation: Any, name: str) -> Any:
    """The annotation with `SEATS_<NAME>` as the option's environment variable."""
    assert get_origin(annotation) is Annotated
    kind, *rest = get_args(annotation)
    option = copy(rest[0])
    option.envvar, option.show_envvar = f"SEATS_{name.upper()}", False
    return Annotated[kind, option]


def _check_current_folder() -> None:
    """Raises SeatsError where it has been removed: then no relative path leads anywhere, and torch ends the process."""
    try:
        os.getcwd()
    except OSError as error:
        raise SeatsError(f"the current folder is not there any more ({error.strerror}): cd to another") from None


def guarded(work: Callable[[], None], debug: bool) -> None:
    """Do `work`; raises typer.Exit with the right code after saying in one line what went wrong. That nobody reads
    standard output any more is left to `seats_cli.app.run`, which help pages can end in too."""
    try:
        work()
        sys.stdout.flush()
    except (typer.Exit, typer.Abort, WrongUsage, BrokenPipeError):
        raise
    except KeyboardInterrupt:
        print_error("interrupted", label="")
        raise typer.Exit(INTERRUPTED) from None
    except SeatsError as error:
        print_traceback(debug)
        print_error(str(error))
        raise typer.Exit(WRONG_USAGE if isinstance(error, SettingsError) else FAILED) from None
    except Exception as error:
        print_traceback(debug)
        print_error(unexpected(error, debug))
        raise typer.Exit(FAILED) from None


def unexpected(error: Exception, debug: bool) -> str:
    """The line for an error that nobody foresaw, or that any path or output may end in."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = f"{short(error.filename, LONG_PATH)}: " if error.filename else ""
        return f"{where}{error.strerror}: make room where the output goes"
    if isinstance(error, OSError) and error.errno in _BAD_PATHS and error.filename:
        return f"{short(error.filename, LONG_PATH)}: {error.strerror}; check the path"
    said = one_line(str(error))
    hint = "" if debug else "; run it again with --debug for the details"
    return f"unexpected {type(error).__name__}{': ' if said else ''}{said}{hint}"


def print_traceback(debug: bool) -> None:
    """Of the error in hand, with --debug."""
    if debug:
        import traceback

        traceback.print_exc()


def print_error(message: str, label: str = "error: ") -> None:
    """Print one line on standard error, red where colours are wanted."""
    from rich.text import Text

    from seats_cli.consoles import ErrorConsole

    ErrorConsole().print(Text.assemble((label, "bold red"), one_line(message)), soft_wrap=True)
