"""What this process may use of the machine it runs on: its control groups, and CPUs."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def control_groups(controller: str, root: Path = Path("/")) -> Iterator[tuple[int, Path]]:
    """Version (1 or 2) and folder of the process's control group, then of each around it; none outside Linux.

    controller: what they limit, such as "memory" or "cpu". root: of the file system.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            version, mount = 2, root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            version, mount = 1, root / "sys/fs/cgroup" / controller
        else:
            continue
        # In a container the path may be the host's, of which only the mount point itself is visible.
        here = mount / path.lstrip("/")
        for folder in (here, *here.parents):
            yield version, folder
            if folder == mount:
                break


def cpu_quota(root: Path = Path("/")) -> int | None:
    """How many CPUs' time the process's control groups allow, rounded up; None without a limit."""
    return min((math.ceil(share) for share in _shares(root)), default=None)


def usable_cpus() -> int:
    """CPUs that this process can keep busy: fewer than the machine has where `taskset` or a container says so."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, cpu_quota() or allowed)


def _shares(root: Path) -> Iterator[float]:
    for version, folder in control_groups("cpu", root):
        files = ("cpu.max",) if version == 2 else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        try:
            quota, period = (int(word) for file in files for word in (folder / file).read_text().split())
        except (OSError, ValueError):  # no such file, or "max": no limit
            continue
        if quota > 0 and period > 0:
            yield quota / period
