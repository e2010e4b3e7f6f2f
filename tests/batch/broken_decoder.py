"""A decoder's child that does, by the name of the file, what a broken decoder does."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from seats.batch import decoding_child
from seats.media import load_clip

LEAKED: list[np.ndarray] = []


def main(connection: Connection) -> None:
    """`seats.batch.decoding_child.main` with another `load_clip`."""
    decoding_child.load_clip = load_or_break
    decoding_child.main(connection)


def load_or_break(path: str, **options: Any) -> Any:
    if "crash" in path:
        ctypes.string_at(0)
    if "reaped" in path:  # as the kernel does where memory is short
        os.kill(os.getpid(), signal.SIGKILL)
    if "first-time" in path and not os.path.exists(f"{path}.seen"):
        open(f"{path}.seen", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    if "grip" in path:
        ctypes.PyDLL(None).sleep(1000)  # hangs and lets no other thread run Python
    if "hang" in path:
        time.sleep(1e6)
    if "swell" in path:
        LEAKED.append(np.ones(9 * 2**22))  # 300 MB, which the kernel's limit lets pass
        time.sleep(1e6)
    if "leak" in path:
        LEAKED.append(np.ones(2**24))
        time.sleep(0.5)  # long enough for the watch over memory to see it
    if "spare" in path:
        np.empty(2**25)  # 256 MiB, none of it resident
    if "leap" in path:
        np.empty(2**27)  # 1 GiB, none of it resident, so that only the kernel's limit can tell
    if "stack" in path:
        threading.stack_size(2**31)  # more than there may be, as a small one is where little is left
        threading.Thread(target=print).start()
    if "hole" in path:
        raise IndexError("list index out of range")
    return load_clip(path, **options)
