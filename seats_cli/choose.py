"""The model when none is named: as large as the GPU allows, else the built-in one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from seats.imports import lasting_imports
from seats.models.checkpoint import BUILT_IN
from seats.models.hub import fetch_plan
from seats.plan.gpu import gpu_driver_here
from seats.units import size

GIB = 2**30
CHOICES = ((24 * GIB, "Qwen/Qwen2.5-Omni-7B"), (12 * GIB, "Qwen/Qwen2.5-Omni-3B"))
"""Free GPU memory that a model needs with room for a clip, largest first."""
ONLY_KNOWS = "it only knows shapes-and-sounds clips"


@dataclass(frozen=True)
class Choice:
    """model: name for `find_checkpoint`. line: which and why, for the user."""

    model: str
    line: str


def choose_model(device: str, offline: bool, limit: int | None = None) -> Choice:
    """The model for a machine. device: as `--device`; only "auto" and CUDA devices look for a GPU. limit: bytes that
    `--max-vram` allows."""
    free = free_gpu_bytes(device)
    if free is None:
        why = "no CUDA GPU here" if device == "auto" else f"--device {device}"
        return _built_in(why)
    room, why = free, f"the GPU has {size(free)} free"
    if limit is not None and limit < free:
        room, why = limit, f"--max-vram allows {size(limit)}"
    name = next((name for needed, name in CHOICES if room >= needed), None)
    if name is None:
        return _built_in(f"{why}, Qwen2.5-Omni-3B wants {size(CHOICES[-1][0])}")
    plan = fetch_plan(name, offline=offline)
    if plan is None:
        blocker = "--offline forbids fetching it" if offline else "the hub cannot be reached"
        return _built_in(f"{why}, but {name} is not in the cache and {blocker}")
    if plan.missing_bytes > plan.free_bytes:
        return _built_in(f"{why}, but the disk has no room for the {size(plan.missing_bytes)} of {name}")
    return Choice(name, f"model: {name} ({why}; choose another with --model)")


def _built_in(why: str) -> Choice:
    return Choice(BUILT_IN, f"model: {BUILT_IN} ({why}); {ONLY_KNOWS}")


def free_gpu_bytes(device: str) -> int | None:
    """Free memory of the CUDA device that would be used, None without one. Imports torch only where a driver is."""
    if not re.fullmatch(r"auto|cuda(:\d+)?", device):
        return None
    if not gpu_driver_here():
        return None
    with lasting_imports():
        import torch

    if not torch.cuda.is_available():
        return None
    index = int(device.partition(":")[2] or 0)
    if index >= torch.cuda.device_count():
        return None
    return torch.cuda.mem_get_info(index)[0]
