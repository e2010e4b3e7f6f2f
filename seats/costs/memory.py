"""Memory that a run needs, has and took, in bytes."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seats.costs.flops import head_dim
from seats.devices import kind_of
from seats.errors import SettingsError
from seats.host import control_groups

if TYPE_CHECKING:
    import torch

# cgroup v1 has no word for "no limit" but a number near 2^63.
_NO_LIMIT = 2**62


def kv_cache_bytes(config: Any, cache_tokens: Sequence[int], dtype_bytes: int) -> int:
    """Bytes of the keys and values that `cache_tokens` tokens per layer take. config: of the thinker."""
    text = getattr(config, "text_config", config)
    return 2 * text.num_key_value_heads * head_dim(text) * dtype_bytes * sum(cache_tokens)


def peak_device_bytes(device: torch.device | str) -> int:
    """Most memory in use so far.

    On CUDA: of PyTorch's tensors on the device, since the process began or its peak was last reset. Elsewhere
    tensors are not told apart: resident memory of the whole process, code and libraries included.
    """
    if kind_of(device) == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists():
        # Unlike getrusage, which a process inherits from the larger one that started it.
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        if found:
            return 1024 * int(found[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def reset_peak_device_bytes(device: torch.device | str) -> None:
    """On CUDA let `peak_device_bytes` begin anew; the peak of a process can't be reset."""
    if kind_of(device) == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def available_bytes(device: torch.device | str) -> int:
    """Memory that can still be taken on a device.

    On CUDA: what is free, and what PyTorch holds but doesn't use. Elsewhere (MPS shares the host's memory):
    on Linux what the kernel calls available, or what the process's cgroup still allows if that is less; on macOS
    what is free and what holds nothing needed soon; on other systems the free pages, or all physical memory where only
    that can be asked.
    """
    if kind_of(device) == "cuda":
        import torch

        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if sys.platform.startswith("linux"):
        return linux_available_bytes(Path("/"))
    if sys.platform == "darwin" and (found := macos_available_bytes(_vm_stat())) is not None:
        return found
    pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")


def linux_available_bytes(root: Path) -> int:
    """`available_bytes` of the host on Linux. root: where proc/ and sys/ are."""
    meminfo = (root / "proc/meminfo").read_text()
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo, re.MULTILINE)
    available = 1024 * int(found[1]) if found else os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(0, min([available, *_cgroup_rooms(root)]))


def macos_available_bytes(said: str) -> int | None:
    """`available_bytes` of the host on macOS, None if it cannot be told. said: what `vm_stat` prints."""
    page = re.search(r"page size of (\d+) bytes", said)
    counts = dict(re.findall(r"^Pages (free|inactive|speculative): +(\d+)\.", said, re.MULTILINE))
    return int(page[1]) * sum(map(int, counts.values())) if page and len(counts) == 3 else None


def _vm_stat() -> str:
    """What the system's own tool says of memory, nothing where it fails: Python can ask for all there is alone."""
    import subprocess

    try:
        return subprocess.run(["/usr/bin/vm_stat"], capture_output=True, text=True, timeout=3.0, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def parse_size(text: str) -> int:
    """Bytes of a size like "24G", "1.5 GiB", "800MB" or "1000000B".

    K, M, G and T (also KiB, ...) are powers of 1024, KB, MB, GB and TB powers of 1000, as in the GNU tools.
    Raises SettingsError for anything else and for less than one byte.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?b)?\s*", text, re.IGNORECASE)
    if found:
        number, unit, ending = float(found[1]), found[2].lower(), (found[3] or "").lower()
        factor = (1000 if ending == "b" else 1024) ** ("", "k", "m", "g", "t").index(unit)
        if 1 <= number * factor < math.inf and (unit or ending == "b"):
            return int(number * factor)
    raise SettingsError(f"{text!r} is not a size: write a number and a unit, such as 24G or 800M")


def _cgroup_rooms(root: Path) -> Iterator[int]:
    """Bytes that the process's memory cgroup and each of those around it still allow; none without limits."""
    for version, folder in control_groups("memory", root):
        names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        limit, used = (_number(folder / name) for name in names)
        if limit is not None and used is not None and limit < _NO_LIMIT:
            yield limit - used + _reclaimable(folder)


def _number(path: Path) -> int | None:
    """The number in a file; None if there is no such file, or it says "max"."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _reclaimable(folder: Path) -> int:
    """File cache that a cgroup counts as used and the kernel would give back. In version 1 that of the groups below it,
    which its use counts too, is in the total alone."""
    try:
        stat = (folder / "memory.stat").read_text()
    except OSError:
        return 0
    said = dict(re.findall(r"^((?:total_)?inactive_file) (\d+)", stat, re.MULTILINE))
    return int(said.get("total_inactive_file") or said.get("inactive_file") or 0)
