"""The settings file: TOML, its keys the long names of options. Environment and flags overrule it."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from seats_cli.text import LONG_PATH, short
from seats_cli.usage import WrongUsage


def settings_file() -> Path | None:
    """`$SEATS_CONFIG`, or `seats/config.toml` in `$XDG_CONFIG_HOME` or `~/.config` if it exists. /dev/null is none.

    Raises click's UsageError if `$SEATS_CONFIG` names no file.
    """
    if said := os.environ.get("SEATS_CONFIG"):
        if said == os.devnull:
            return None
        try:
            path = Path(said).expanduser()
            if path.is_file():
                return path
            why = "which is not a file"
        except (RuntimeError, OSError, ValueError) as error:
            why = f"which cannot be read ({getattr(error, 'strerror', None) or error})"
        raise WrongUsage(f"SEATS_CONFIG names {short(said, LONG_PATH)}, {why}")
    home = os.environ.get("XDG_CONFIG_HOME")
    try:
        path = (Path(home) if home else Path.home() / ".config") / "seats" / "config.toml"
        return path if path.is_file() else None
    except (RuntimeError, OSError):  # no home, or one that may not be read
        return None


def read_settings(group: Any) -> dict[str, dict[str, Any]]:
    """The file's settings as click's `default_map` for a group of commands, empty without a file.

    A setting counts for all commands that have the option. Raises click's UsageError for a file that cannot be read,
    and for keys that no command knows.
    """
    path = settings_file()
    if path is None:
        return {}
    said = _parse(path)
    known = {name: _options(command) for name, command in group.commands.items()}
    everything = {name for names in known.values() for name in names}
    switches = {p.name for command in group.commands.values() for p in command.params if getattr(p, "is_flag", False)}
    for key, value in said.items():
        if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
            raise WrongUsage(
                f"{path}: [{short(key)}] is a table, and tables are not read; put its settings at the top of the file, "
                "where each counts for every command that has the option"
            )
        if key not in everything:
            close = get_close_matches(key, sorted(everything), n=1)
            hint = f"did you mean {close[0]}?" if close else f"it may hold {', '.join(sorted(everything))}"
            raise WrongUsage(f"{path}: unknown setting {key!r}; {hint}")
        if not isinstance(value, str | int | float | bool):
            raise WrongUsage(f"{path}: {key} must be a text, a number, true or false")
        if isinstance(value, bool) and key not in switches:  # which a parser may take for 1 or 0, or for a name
            raise WrongUsage(f"{path}: {key} is no switch: write a text or a number instead of {str(value).lower()}")
    # Numbers go the way of what is typed, so that one parser checks both.
    values = {key: value if isinstance(value, bool) else str(value) for key, value in said.items()}
    return {
        command: {key: [values[key]] if many else values[key] for key, many in options.items() if key in values}
        for command, options in known.items()
    }


def _parse(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise WrongUsage(f"{path} is not UTF-8 text: save it as UTF-8") from error
    except ValueError as error:  # tomllib's own, and numbers that Python takes for an attack
        raise WrongUsage(f"{path} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise WrongUsage(f"{path} is not valid settings: it is nested too deeply") from error
    except OSError as error:
        raise WrongUsage(f"{path} cannot be read: {error.strerror}") from error
    return {key.replace("-", "_"): value for key, value in raw.items()}


def _options(command: Any) -> dict[str, bool]:
    """Names of a command's options, and whether they may be given several times."""
    return {p.name: p.multiple for p in command.params if p.param_type_name == "option"}
