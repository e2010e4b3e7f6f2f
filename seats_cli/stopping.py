"""Signals that stop a batch in good order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """SIGINT, SIGTERM and SIGHUP (the terminal is closed) set the event; a second SIGINT ends the batch at once.

    Those that whoever started us has ignored stay so: SIGHUP by nohup, SIGINT by a script that goes on without us.
    """
    stop = threading.Event()

    def on_signal(number: int, _: Any) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()
        with suppress(OSError):  # the same Ctrl-C may have ended who reads it, such as `tee`
            os.write(2, b"\nstopping after the row in hand; Ctrl-C once more stops at once\n")

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
