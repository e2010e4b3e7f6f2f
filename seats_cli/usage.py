"""click's exceptions and ours by one name: typer carries its own click since 0.26, and used the package before."""

from __future__ import annotations

from typing import Any

import typer

WrongUsage: Any = typer.BadParameter.__mro__[1]
"""UsageError: ends the command with one line and exit code 2."""
ReportedError: Any = typer.BadParameter.__mro__[2]
"""ClickException: base of all errors that typer reports itself."""

FAILED, WRONG_USAGE, SOME_FAILED, INTERRUPTED, READER_GONE = 1, 2, 3, 130, 141
