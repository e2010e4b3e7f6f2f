"""A worker's process whose model takes its time, and that dies of clips that are called so."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection
from typing import Any

import torch

from seats.batch import local_child, worker

encode = worker.encode_clip
decode = worker.Worker._decode


def main(connection: Connection) -> None:
    """`seats.batch.local_child.main` with other ways to decode and encode a clip."""
    worker.encode_clip = encode_or_die
    worker.Worker._decode = decode_or_fail
    local_child.main(connection)


def decode_or_fail(self: worker.Worker, path: str, settings: Any) -> Any:
    if "hole" in path:
        raise IndexError("list index out of range")
    return decode(self, path, settings)


def encode_or_die(model: Any, clip: Any, *rest: Any) -> Any:
    time.sleep(0.5)  # so that the next clip is decoded before this one is done with
    if "faulty" in str(clip.path):
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")
    if "deadly" in str(clip.path):
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(model, clip, *rest)
