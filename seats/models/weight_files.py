"""What is in the safetensors files of a checkpoint, and how it gets from the disk into memory.

Nothing here imports torch.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

from seats.errors import ModelError
from seats.models.checkpoint import Checkpoint

if TYPE_CHECKING:
    import torch

_THINKER = "thinker."
"""What the names of its weights begin with where a checkpoint holds more than the thinker."""
_EXPERTS = ".mlp.experts."
"""In the names of weights of which transformers makes larger ones, by its `conversion_mapping`."""
_STORED_AS = {"torch.bfloat16": "BF16", "torch.float16": "F16", "torch.float32": "F32"}
_LONGEST_HEADER = 100_000_000
"""Bytes; the safetensors format allows no longer one."""
_READERS = 4
"""Threads that read ahead: one alone, or the kernel's own reading ahead, gets half of what a disk can give."""
_PIECE = 2**28
"""Bytes that such a thread reads in one call."""


class StoredTensor(NamedTuple):
    """dtype: as safetensors writes it, "BF16". start, end: of its bytes in `file`."""

    file: Path
    dtype: str
    elements: int
    start: int
    end: int


def thinker_tensors(checkpoint: Checkpoint) -> dict[str, StoredTensor]:
    """The thinker's weights on disk by name, from the files' headers. Raises ModelError for a file that is missing or
    damaged."""
    stored = {name: tensor for file in checkpoint.weight_files for name, tensor in _tensors(file).items()}
    return {name: tensor for name, tensor in stored.items() if name.startswith(_THINKER)} or stored


def thinker_bytes(checkpoint: Checkpoint) -> int:
    """Bytes of the thinker's weights on disk. Raises ModelError as `thinker_tensors` does."""
    return sum(tensor.end - tensor.start for tensor in thinker_tensors(checkpoint).values())


def check_readable(checkpoint: Checkpoint) -> None:
    """Raise ModelError for a file of weights that is missing, or whose header does not fit what follows it: the stock
    loader would not say which one, nor before it has read the others."""
    from safetensors import SafetensorError, safe_open

    for file in checkpoint.weight_files:
        try:
            with safe_open(file, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            line = " ".join(str(error).split())
            raise ModelError(
                f"{file} is not a readable safetensors file ({line}): download the checkpoint again"
            ) from error


def copied_bytes(checkpoint: Checkpoint, dtype: torch.dtype) -> int:
    """Bytes that the copies take which transformers makes in main memory when it loads the thinker as `dtype`: of
    weights stored as another type, and of experts, which it joins.

    All others are mapped: they lie in the kernel's file cache, which gives way where memory is short. Raises ModelError
    as `thinker_tensors` does.
    """
    copied = (
        tensor.elements
        for name, tensor in thinker_tensors(checkpoint).items()
        if tensor.dtype != _STORED_AS[str(dtype)] or _EXPERTS in name
    )
    return sum(copied) * dtype.itemsize


def read_ahead(checkpoint: Checkpoint, least: int) -> None:
    """Let the kernel read the thinker's weights from the disk, on threads, while there is other work to do first.

    Nothing is read but on Linux, nor weights of less than `least` bytes, nor such as take more than half of the free
    memory: the first ones might have to go again before they are used. Raises ModelError as `thinker_tensors` does.
    """
    from seats.costs.memory import available_bytes

    tensors = thinker_tensors(checkpoint).values()
    size = sum(tensor.end - tensor.start for tensor in tensors)
    if sys.platform == "linux" and least <= size <= available_bytes("cpu") // 2:
        pieces = _pieces(tensors)
        for reader in range(_READERS):
            Thread(target=_read_ahead, args=(pieces[reader::_READERS],), daemon=True).start()


def _pieces(tensors: Iterable[StoredTensor]) -> list[tuple[Path, int, int]]:
    """What of which file the tensors take, as (file, first byte, behind the last): long stretches in order, cut."""
    stretches: list[tuple[Path, int, int]] = []
    for file, start, end in sorted((tensor.file, tensor.start, tensor.end) for tensor in tensors):
        if stretches and stretches[-1][0] == file and stretches[-1][2] == start:
            start = stretches.pop()[1]
        stretches.append((file, start, end))
    return [
        (file, first, min(first + _PIECE, end)) for file, start, end in stretches for first in range(start, end, _PIECE)
    ]


def _read_ahead(pieces: list[tuple[Path, int, int]]) -> None:
    # In few calls, which copy nothing: a thread that wants the interpreter's lock again and again, as with a
    # posix_fadvise of what the kernel takes at once, makes imports take two to three times as long.
    with suppress(OSError), open(os.devnull, "wb") as nowhere:  # loading meets the same error and names it
        for file, start, end in pieces:
            with file.open("rb") as opened:
                while start < end and (sent := os.sendfile(nowhere.fileno(), opened.fileno(), start, end - start)):
                    start += sent


def _stored(file: Path, said: Any, base: int) -> StoredTensor:
    """A tensor as a header describes it. Raises ValueError for numbers that cannot be, before reckoning with them."""
    start, end = said["data_offsets"]
    elements = 1
    for number in (start, end, *said["shape"]):
        if type(number) is not int or not 0 <= number < 2**63:
            raise ValueError(f"{number!r:.40} for a length or a place")
    for length in [0] if 0 in said["shape"] else said["shape"]:
        elements *= length
        if elements > 8 * max(end - start, 0):  # none takes less than a bit
            raise ValueError("more values than bytes for them")
    return StoredTensor(file, said["dtype"], elements, base + start, base + end)


def _tensors(file: Path) -> dict[str, StoredTensor]:
    """What a safetensors file's header says is in it."""
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > _LONGEST_HEADER:
                raise ValueError(f"header of {length} bytes")
            header = json.loads(opened.read(length))
            size = os.fstat(opened.fileno()).st_size
        base = 8 + length
        found = {name: _stored(file, tensor, base) for name, tensor in header.items() if name != "__metadata__"}
        if any(tensor.end > size for tensor in found.values()):
            raise ValueError("cut off")
        return found
    except FileNotFoundError as error:
        raise ModelError(f"{file} is missing: download the model again") from error
    except PermissionError as error:
        raise ModelError(f"{file} may not be read ({error.strerror}): change its permissions") from error
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{file} is not a readable safetensors file: download the model again") from error
