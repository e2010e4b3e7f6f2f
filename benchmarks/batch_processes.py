"""Batches as processes of their own, and everything that they start, found by a mark in the environment (Linux)."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_MARK = "SEATS_BENCHMARK_RUN"
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Process:
    """A process of a batch. command: its arguments. resident: bytes of memory, libraries that others use too included.
    own: bytes that no file is behind, those that processes share divided among them."""

    pid: int
    command: str
    resident: int
    own: int


class Batch:
    """`seats batch` with these arguments, started."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.mark = uuid.uuid4().hex
        environment = {**os.environ, _MARK: self.mark, "HF_HUB_OFFLINE": "1"}
        environment["PYTHONPATH"] = str(ROOT)
        environment.setdefault("OMP_NUM_THREADS", "1")
        self.out = log.with_suffix(".out")
        with log.open("wb") as err, self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "seats_cli", "batch", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                start_new_session=True,
            )
        atexit.register(self._abandon)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `_abandon` is called

    def _abandon(self) -> None:
        """The measurement was broken off: leave nothing behind."""
        if self.process.poll() is None:
            self.kill(everything=True)

    def processes(self) -> list[Process]:
        """All that are alive now, the batch's own included."""
        return marked(self.mark)

    def kill(self, *, everything: bool) -> int:
        """End the batch's process group at once, or every process of it as a scheduler would; return its exit code."""
        if everything:
            for process in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def left_after(self, seconds: float) -> list[Process]:
        """What is still alive so long after; less if all has ended."""
        until = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < until:
            time.sleep(0.05)
        return left


def marked(mark: str) -> list[Process]:
    """Processes with the mark in their environment; zombies have none."""
    wanted = f"{_MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(_process(folder))
    return found


def _process(folder: Path) -> Process:
    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    rollup = folder / "smaps_rollup"
    own = _kib(rollup, "Pss_Anon:") + _kib(rollup, "Pss_Shmem:")
    return Process(int(folder.name), command, _kib(folder / "status", "VmRSS:"), own)


def _kib(file: Path, name: str) -> int:
    with suppress(OSError):
        for line in file.read_text().splitlines():
            if line.startswith(name):
                return 1024 * int(line.split()[1])
    return 0
