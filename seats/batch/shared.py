"""A decoded clip from one process to another: frames and sound in memory that both map, the rest pickled.

The memory has no name, so nothing is left behind however the processes end. It is written once by the sender and
mapped, not copied, by the receiver; frames of 100 MB take about 0.05 s.
"""

from __future__ import annotations

import mmap
import os
import pickle
import tempfile
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any

from seats.media import Clip


@dataclass(frozen=True)
class Packed:
    """A clip in shared memory, ready to be sent; use as a context, which gives the sender's hold of it up."""

    body: bytes
    sizes: list[int]
    handle: int

    def send(self, connection: Connection) -> None:
        """The connection must be a Unix socket."""
        connection.send((self.body, self.sizes))
        send_handle(connection, self.handle, 0)

    def __enter__(self) -> Packed:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)


def pack(clip: Clip) -> Packed:
    """Raises OSError where there is no room for it."""
    video = clip.video and replace(clip.video, pixels=clip.video.pixels.numpy())  # type: ignore[arg-type]
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(replace(clip, video=video), protocol=5, buffer_callback=buffers.append)
    pieces = [buffer.raw() for buffer in buffers]
    handle = _nameless_file()
    try:
        for piece in pieces:
            _write(handle, piece)
    except BaseException:
        os.close(handle)
        raise
    return Packed(body, [piece.nbytes for piece in pieces], handle)


def receive_clip(connection: Connection) -> Clip:
    """The clip that `Packed.send` sent; its frames and sound are the sender's memory, freed with the clip."""
    import torch

    body, sizes = connection.recv()
    handle = recv_handle(connection)
    try:
        # "copy": whoever writes into the tensors changes private pages
        memory = memoryview(mmap.mmap(handle, sum(sizes), access=mmap.ACCESS_COPY)) if sum(sizes) else memoryview(b"")
    finally:
        os.close(handle)
    ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    pieces = [memory[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    clip: Any = pickle.loads(body, buffers=pieces)
    if clip.video is None:
        return clip
    return replace(clip, video=replace(clip.video, pixels=torch.from_numpy(clip.video.pixels)))


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("seats-clip", os.MFD_CLOEXEC)
    handle, name = tempfile.mkstemp(prefix="seats-clip-")
    os.unlink(name)
    return handle


def _write(handle: int, piece: memoryview) -> None:
    piece = piece.cast("B")
    while len(piece):
        piece = piece[os.write(handle, piece) :]
