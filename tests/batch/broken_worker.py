"""A worker's process whose model takes its time, and dies of clips that are called so."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection
from typing import Any

from seats.batch import local_child, worker

encode = worker.encode_clip


def main(connection: Connection) -> None:
    """`seats.batch.local_child.main` with another `encode_clip`."""
    worker.encode_clip = encode_or_die
    local_child.main(connection)


def encode_or_die(model: Any, clip: Any, *rest: Any) -> Any:
    time.sleep(0.5)  # so that the next clip is decoded before this one is done with
    if "deadly" in str(clip.path):
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(model, clip, *rest)
