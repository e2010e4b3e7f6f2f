"""The GPU that is there and its free memory, asked of the driver's own tool: importing torch for it takes seconds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

TIMEOUT_S = 3.0
_QUERY = ("--query-gpu=index,uuid,name,memory.free", "--format=csv,noheader,nounits")


def gpu_driver_here() -> bool:
    """Whether it is worth seconds to import torch and ask it for GPUs: NVIDIA's, WSL's or AMD's driver is there."""
    return any(os.path.exists(file) for file in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))


@dataclass(frozen=True)
class PresentGpu:
    """free_bytes: of its memory."""

    name: str
    free_bytes: int


def present_gpus() -> list[PresentGpu]:
    """NVIDIA GPUs that CUDA_VISIBLE_DEVICES shows, in its order; empty without a driver or if it does not answer.

    It may name them by index or UUID, and parts of a GPU (MIG) by UUID. An index is taken as nvidia-smi counts, which
    is how CUDA counts with CUDA_DEVICE_ORDER=PCI_BUS_ID; without it CUDA puts the fastest first, so that where GPUs
    of different kinds are in one machine, another one may be meant.
    """
    by_index: dict[str, PresentGpu | None] = {}
    by_uuid: dict[str, PresentGpu | None] = {}
    for line in _said(*_QUERY).splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 4:  # words, such as that there is none
            continue
        index, uuid, name, free = cells
        try:
            by_index[index] = by_uuid[uuid] = PresentGpu(name, int(free) * 2**20)
        except ValueError:  # a GPU that does not tell, such as a partitioned one
            by_index[index] = by_uuid[uuid] = None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [gpu for gpu in by_index.values() if gpu is not None]
    if "MIG-" in visible:
        by_uuid |= _parts()
    gpus = []
    for place in map(str.strip, visible.split(",")):
        meant = [by_index[place]] if place in by_index else _beginning(place, by_uuid)
        if len(meant) != 1:  # CUDA, too, leaves out all that comes after one it does not know
            break
        gpus += [gpu for gpu in meant if gpu is not None]
    return gpus


def _beginning(place: str, by_uuid: Mapping[str, PresentGpu | None]) -> list[PresentGpu | None]:
    """GPUs whose UUID begins so."""
    return [gpu for uuid, gpu in by_uuid.items() if place.startswith(("GPU-", "MIG-")) and uuid.startswith(place)]


def _parts() -> dict[str, PresentGpu]:
    """Parts of partitioned GPUs by UUID: one list of the tool has their UUIDs, another their memory."""
    try:
        log = ElementTree.fromstring(_said("-q", "-x") or "<none/>")
    except ElementTree.ParseError:
        return {}
    parts = {}
    for gpu, number, uuid, name in _listed():
        for memory in log.iterfind(f"gpu[uuid='{gpu}']/mig_devices/mig_device[index='{number}']/fb_memory_usage"):
            if free := re.fullmatch(r"(\d+) MiB", memory.findtext("free", "")):
                parts[uuid] = PresentGpu(name, int(free[1]) * 2**20)
    return parts


def _listed() -> Iterator[tuple[str, str, str, str]]:
    """UUID of the GPU, number within it, UUID and name of each part."""
    gpu, name = "", ""
    for line in _said("-L").splitlines():
        if whole := re.fullmatch(r"GPU \d+: (.*) \(UUID: (\S+)\)", line.strip()):
            name, gpu = whole[1], whole[2]
        elif part := re.fullmatch(r"(MIG \S+)\s+Device\s+(\d+): \(UUID: (\S+)\)", line.strip()):
            yield gpu, part[2], part[3], f"{name} {part[1]}"


def _said(*arguments: str) -> str:
    """What nvidia-smi says, nothing where it is not there or fails."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    try:
        return subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
