"""Clips decoded in a process of its own: a file that crashes, hangs or swells the decoder costs that clip only."""

from __future__ import annotations

import errno
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from seats.batch.decoding_child import MEMORY_EXIT, Failed, Identified, Loaded, Request
from seats.batch.settings import ClipSettings
from seats.batch.shared import receive_clip
from seats.children import Child
from seats.errors import MediaError, SeatsError
from seats.media import Clip
from seats.media.container import Deadline
from seats.media.content import Content
from seats.units import size

_START_S = 300.0
_OUTGREW = f"exit code {MEMORY_EXIT}"
_KILLED = "SIGKILL"
_GRACE_S = 2.0
"""The child knows the time limit too and says better what was slow; it is ended when it cannot."""
_LONGEST_WAIT_S = 86_400.0
"""The system counts a wait in milliseconds of 31 bits."""


class DecoderError(SeatsError):
    """The decoding process does not start, ends before it has been given a clip, or cannot hand one over: nothing can
    be read here."""


@dataclass(frozen=True)
class Decoded:
    """content: None where the file could not be read. clip: None where it could not be decoded, then error says why.
    ms: time that decoding took. lowered: frames and pixels where the device's memory limit asked for fewer. trace: the
    traceback of an error that nobody foresaw."""

    content: Content | None
    clip: Clip | None
    error: SeatsError | None
    ms: float = 0.0
    lowered: dict[str, int] | None = None
    trace: str | None = None


class Decoder:
    """A child process that decodes one clip at a time, and is started again after a crash.

    memory_bytes: what reading a clip may take above what the idle child needs; fixed for the child's life. Raises
    DecoderError.
    """

    def __init__(self, memory_bytes: int) -> None:
        self._memory = memory_bytes
        self._lock = Lock()
        self._closed = False
        self._child: Child | None = None
        self._ready = False
        self._served = 0
        self._ensure_child()

    def decode(self, path: str, settings: ClipSettings, *, again: bool = True) -> Decoded:
        """Read a clip. What goes wrong with it is in the result. again: try once more where the child was killed, which
        is what the kernel does to a large process when others want the memory. Raises DecoderError for what no clip is
        to blame for."""
        content: Content | None = None
        child = self._ensure_child()
        if child is None or not self._await_ready(child):
            return Decoded(None, None, MediaError(f"{path}: not read, the decoder was closed"))
        try:
            self._served += 1
            child.connection.send(Request(path, settings))
            deadline = time.monotonic() + settings.timeout_s + _GRACE_S
            while True:
                left = deadline - time.monotonic()
                if not child.connection.poll(min(max(0.0, left), _LONGEST_WAIT_S)):
                    if left > _LONGEST_WAIT_S:
                        continue
                    ended = "slow"
                    break
                reply = child.connection.recv()
                if isinstance(reply, Identified):
                    content = reply.content
                elif isinstance(reply, Loaded):
                    return Decoded(content, _received(child), None, reply.ms, reply.lowered)
                elif isinstance(reply, Failed):
                    return Decoded(content, None, reply.error, trace=reply.trace)
        except (EOFError, OSError):
            ended = child.ending()
        self._drop(child)
        if ended == _OUTGREW and self._served > 1:
            return self.decode(path, settings, again=again)  # in a child in which no other clip left anything behind
        if ended == _KILLED and again:
            return self.decode(path, settings, again=False)
        return Decoded(content, None, _why(path, ended, settings.timeout_s, self._memory))

    def close(self) -> None:
        """End the child, whatever it is doing; a `decode` on another thread then fails."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.end()

    def _ensure_child(self) -> Child | None:
        with self._lock:
            if self._child is not None and self._child.process.poll() is not None:
                self._child.kill()  # ended between two clips, so no clip is to blame
                self._child = None
            if self._child is None and not self._closed:
                try:
                    self._child = Child.start("seats.batch.decoding_child", quiet=True)
                except OSError as error:  # so many open files or processes, or no memory for one more
                    raise DecoderError(
                        f"a decoder cannot be started ({error.strerror}): choose fewer --workers or --decoders"
                    ) from error
                self._ready, self._served = False, 0
                with suppress(OSError):  # it has ended; reading from it says so too
                    self._child.connection.send(self._memory)
            return self._child

    def _await_ready(self, child: Child) -> bool:
        """The first message says that imports are done, so that they are not in the clip's time. False if the decoder
        was closed meanwhile. Raises DecoderError if it ended by itself."""
        if self._ready:
            return True
        try:
            if child.connection.poll(_START_S):
                child.connection.recv()
                self._ready = True
                return True
            why = f"not ready after {_START_S:g} s"
        except (EOFError, OSError):
            why = child.ending()
        if self._closed:
            return False
        self._drop(child)
        raise DecoderError(f"the decoder cannot be started ({why})")

    def _drop(self, child: Child) -> None:
        with self._lock:
            child.kill()
            self._child = None


def _received(child: Child) -> Clip:
    """Raises DecoderError where this process can open no more files."""
    try:
        return receive_clip(child.connection)
    except (RuntimeError, OSError) as error:  # multiprocessing raises the first of a handle that did not arrive
        if isinstance(error, OSError) and error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise
        raise DecoderError(
            f"a decoder cannot hand over what it read ({error}): allow more open files, or choose fewer --workers or "
            "--decoders"
        ) from error


def _why(path: str, ended: str, timeout_s: float, memory: int) -> MediaError:
    if ended == "slow":
        return Deadline(timeout_s, Path(path)).error()
    if ended == _OUTGREW:
        return MediaError(
            f"{path}: reading took more than {size(memory)} of memory; allow more with "
            "--decode-memory, or lower the frames or their size"
        )
    if ended == _KILLED:
        return MediaError(
            f"{path}: the decoder was killed twice while it read this, perhaps for lack of memory: use fewer workers "
            "or decoders, or --decode-memory, and ask again with --retry-failed"
        )
    return MediaError(f"{path}: the decoder crashed on it ({ended}); check it in a player or convert it to mp4")
