"""The results file of a run by another program, one for each of its processes."""

from __future__ import annotations

import os
from pathlib import Path

from seats.errors import SettingsError


def own_file(path: Path, rank: int, processes: int) -> Path:
    """The file of one process: x.jsonl, or x.0.jsonl, x.1.jsonl and so on where there are several."""
    return path.with_name(f"{path.stem}.{rank}{path.suffix}") if processes > 1 else path


def check_results(path: Path) -> None:
    """Raises SettingsError if a new file cannot be written there, by this process of those that `accelerate launch`
    or `torchrun` started: before a model is loaded, and not as its first answer comes."""
    if not path.absolute().parent.is_dir():
        raise SettingsError(f"results={path}: there is no folder {path.absolute().parent}; make it or choose another")
    own = own_file(path, int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))
    for taken in (path, own):
        if taken.exists():
            raise SettingsError(f"results={path}: {taken} is there already; choose another name")
    if not os.access(path.absolute().parent, os.W_OK):
        raise SettingsError(f"results={path}: the folder {path.absolute().parent} cannot be written to")
