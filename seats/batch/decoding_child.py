"""The process that decodes: reads a clip's content and pictures on request, within its memory."""

from __future__ import annotations

import gc
import os
import sys
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection

from seats.allocator import give_back_freed_memory
from seats.batch.settings import ClipSettings
from seats.batch.shared import pack
from seats.children import watch
from seats.costs.memory import peak_device_bytes
from seats.errors import MediaError, SeatsError
from seats.imports import lasting_imports
from seats.media import FrameSampling, load_clip
from seats.media.content import Content, being_written, content_of, stat_of
from seats.text import error_line

MEMORY_EXIT = 86
"""Exit code of a child that outgrew its memory."""


@dataclass(frozen=True)
class Request:
    """Decode this file."""

    path: str
    settings: ClipSettings


@dataclass(frozen=True)
class Identified:
    """First reply, unless the file cannot be read."""

    content: Content


@dataclass(frozen=True)
class Failed:
    """Last reply about a file that cannot be decoded. trace: the traceback of an error that nobody foresaw."""

    error: SeatsError
    trace: str | None = None


@dataclass(frozen=True)
class Loaded:
    """Last reply, followed by the clip in shared memory. ms: time to decode. lowered: see `Decoded`."""

    ms: float
    lowered: dict[str, int] | None = None


def main(connection: Connection) -> None:
    """Serve until the connection ends."""
    memory: int = connection.recv()
    os.nice(10)  # a later clip's decoding threads must not take the core that the model's one thread runs on
    with lasting_imports():
        import torch  # decoding needs it, and so the memory of an idle child is that with it

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # only resizing uses them, and the model beside needs the cores
    _limit_memory(memory)
    connection.send("ready")
    while True:
        _serve(connection, connection.recv())
        _give_back()


def _serve(connection: Connection, request: Request) -> None:
    path, settings = request.path, request.settings
    try:
        before = stat_of(path)
        content = content_of(path)
        connection.send(Identified(content))
        sampling, lowered = _within_limit(path, settings)
        began = time.perf_counter()
        clip = load_clip(
            path,
            start_s=settings.start_s,
            end_s=settings.end_s,
            sampling=sampling,
            use_video=settings.use_video,
            use_audio=settings.use_audio,
            timeout_s=settings.timeout_s,
        )
        ms = 1e3 * (time.perf_counter() - began)
        if stat_of(path) != before:
            raise being_written(path)
    except ConnectionError:
        raise
    except SeatsError as error:
        connection.send(Failed(error))
    except MemoryError:
        os._exit(MEMORY_EXIT)
    except Exception as error:  # a file that finds a hole in the decoder must not end it
        if "can't start new thread" in str(error):  # Python's words for no memory left for its stack
            os._exit(MEMORY_EXIT)
        said = MediaError(f"{path}: cannot be read, {error_line(error)}; convert it to mp4")
        connection.send(Failed(said, traceback.format_exc()))
    else:
        try:
            packed = pack(clip)
        except OSError as error:
            why = f"no room for its frames and sound in memory ({error.strerror}); lower the frames or their size"
            connection.send(Failed(MediaError(f"{path}: {why}")))
            return
        with packed:
            connection.send(Loaded(ms, lowered))
            packed.send(connection)


def _give_back() -> None:
    """Give a clip's memory back to the system, before its neighbours' adds up.

    A decoder hangs on references in a circle, which Python finds late, since they are few objects though large ones;
    and the threads that FFmpeg starts for each clip leave what they freed in pools of glibc's of their own.
    """
    gc.collect()
    give_back_freed_memory()


def _within_limit(path: str, settings: ClipSettings) -> tuple[FrameSampling, dict[str, int] | None]:
    """How finely to look at a clip, and for the rows what was lowered for the limit on the device's memory."""
    limit, wanted = settings.limit, settings.sampling
    if limit is None:
        return wanted, None
    sampling = limit.sampling(
        path, wanted, video=settings.use_video, audio=settings.use_audio, timeout_s=settings.timeout_s
    )
    if sampling == wanted:
        return wanted, None
    return sampling, {
        "limit_bytes": limit.limit_bytes,
        "max_frames": sampling.max_frames,
        "max_pixels": sampling.max_pixels,
    }


def _limit_memory(memory: int) -> None:
    """End this process when its resident memory has grown by `memory` bytes.

    What is resident is looked at ten times a second. A decoder that allocates faster meets the kernel's limit on data,
    where there is one (Linux); that one is twice as high, since it counts what is asked for, not what is used.
    """
    most = peak_device_bytes("cpu") + memory
    watch(lambda: MEMORY_EXIT if peak_device_bytes("cpu") > most else None)
    if not sys.platform.startswith("linux"):
        return
    import re
    import resource
    from pathlib import Path

    found = re.search(r"^VmData:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if found:
        wanted = 1024 * int(found[1]) + 2 * memory
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard < 0 else min(wanted, hard), hard))
