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
from dataclasses import dataclass
from multiprocessing.connection import Connection

_LOOK_EVERY_S = 0.1


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
            f"from seats.batch.children import child_main; child_main({module!r}, {theirs.fileno()}, {os.getpid()})"
        )
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if quiet else None,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C reaches the parent alone
            )
        return cls(process, Connection(ours.detach()))

    def kill(self) -> None:
        """End it at once and forget it."""
        self.process.kill()
        self.process.wait()
        self.connection.close()

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
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
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


def watch(look: Callable[[], int | None]) -> None:
    """On a thread of its own, ask `look` ten times a second; end this process with the exit code that it gives."""

    def run() -> None:
        while (code := look()) is None:
            time.sleep(_LOOK_EVERY_S)
        os._exit(code)

    threading.Thread(target=run, daemon=True, name="seats-watch").start()
