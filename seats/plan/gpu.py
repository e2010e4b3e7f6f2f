"""The GPU that is there and its free memory, asked of the driver's own tool: importing torch for it takes seconds."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

TIMEOUT_S = 3.0


@dataclass(frozen=True)
class PresentGpu:
    """index: as nvidia-smi counts. Bytes of its memory."""

    index: int
    name: str
    total_bytes: int
    free_bytes: int


def present_gpus() -> list[PresentGpu]:
    """NVIDIA GPUs that CUDA_VISIBLE_DEVICES shows, in its order; empty without a driver or if it does not answer."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = ["--query-gpu=index,name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run([tool, *query], capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    found = {}
    for line in said.splitlines():
        try:
            index, name, total, free = (cell.strip() for cell in line.split(","))
            found[index] = PresentGpu(int(index), name, int(total) * 2**20, int(free) * 2**20)
        except ValueError:  # a GPU that does not tell, such as a partitioned one
            continue
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return list(found.values())
    return [found[place.strip()] for place in visible.split(",") if place.strip() in found]
