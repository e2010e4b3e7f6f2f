"""Child processes that neither outlive their parent nor die of what is meant for it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

_LOOK_EVERY_S = 0.1
_ORDERLY_S = 3.0
_PR_SET_PDEATHSIG = 1
# One thread starts all children and lives as long as this process: Linux tells a child of the end of the thread that
# started it, not of the process.
_starter = ThreadPoolExecutor(1, "seats-start")


def _start_anew() -> None:
    global _starter
    _starter = ThreadPoolExecutor(1, "seats-start")


os.register_at_fork(after_in_child=_start_anew)  # which has none of this process's threads


@dataclass(frozen=True)
class Child:
    """A process and the connection to it, which carries pickled objects."""

    process: subprocess.Popen[bytes]
    connection: Connection

    @classmethod
    def start(cls, module: str, *, quiet: bool) -> Child:
        """Run `module.main(connection)` in a fresh Python. quiet: what it prints is thrown away.

        Not by `multiprocessing`: that imports the parent's main module again, and looks for its own modules in the
        current folder first, which may be one of strangers' files.
        """
        ours, theirs = socket.socketpair()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            f"from seats.children import child_main; child_main({module!r}, {theirs.fileno()}, {os.getpid()})"
        )
        with theirs:
            process = _starter.submit(
                subprocess.Popen,
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if quiet else None,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C reaches the parent alone
            ).result()
        return cls(process, Connection(ours.detach()))

    def close(self) -> None:
        """Let it end by itself, with children of its own, or else end it, and forget it."""
        self.connection.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_ORDERLY_S)
        self.kill()

    def kill(self) -> None:
        """End it at once and forget it."""
        self.end()
        self.connection.close()

    def end(self) -> None:
        """End it at once. Who waits for a message from it is told so by its connection."""
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):  # it may be stuck in the kernel, on a disk that does not answer
            self.process.wait(_ORDERLY_S)

    def ending(self) -> str:
        """How the process ended, or is being ended now: "SIGSEGV", "exit code 1"."""
        try:
            code = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        if code >= 0:
            return f"exit code {code}"
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"


def child_main(module: str, descriptor: int, parent: int) -> None:
    """First thing in the child: ignore what stops a batch in good order, watch the parent, and go to work."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _end_with_parent()
    watch(lambda: 1 if os.getppid() != parent else None)
    from importlib import import_module

    code = 0
    try:
        import_module(module).main(Connection(descriptor))
    except (EOFError, ConnectionError):
        pass  # the parent has gone, or wants us gone
    except BaseException:
        code = 1
        import traceback

        traceback.print_exc()
    # other threads may be at work on what nobody will fetch
    os._exit(code)


def _end_with_parent() -> None:
    """Ask the kernel (Linux) to end this process with its parent, whatever it is busy with: `watch` needs the
    interpreter, which foreign code that hangs may hold."""
    if sys.platform.startswith("linux"):
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def watch(look: Callable[[], int | None]) -> None:
    """On a thread of its own, ask `look` ten times a second; end this process with the exit code that it gives."""

    def run() -> None:
        while (code := look()) is None:
            time.sleep(_LOOK_EVERY_S)
        os._exit(code)

    threading.Thread(target=run, daemon=True, name="seats-watch").start()
