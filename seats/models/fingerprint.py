"""Which model it is, by its files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from seats.models.checkpoint import Checkpoint

_SMALL = (".json", ".jinja", ".txt", ".model")
_SAMPLES, _SAMPLE = 16, 2**16
"""Pieces of a file of weights that are read, and bytes of each."""


def fingerprint(checkpoint: Checkpoint) -> str:
    """Digest, hexadecimal, of a checkpoint's files: the small ones whole, of the weights their sizes and samples.

    Training changes all of a model's weights, so samples tell models apart in a moment. Raises ModelError.
    """
    weights = checkpoint.weight_files
    small = [p for p in checkpoint.folder.iterdir() if p.suffix in _SMALL and p.is_file()]
    total = hashlib.sha256()
    for file in sorted([*small, *weights], key=lambda p: p.name):
        total.update(file.name.encode("utf-8", "surrogateescape") + b"\0")
        for piece in _samples(file) if file in weights else [file.read_bytes()]:
            total.update(hashlib.sha256(piece).digest())
    return total.hexdigest()


def _samples(file: Path) -> list[bytes]:
    size = file.stat().st_size
    starts = sorted({max(0, size - _SAMPLE) * n // (_SAMPLES - 1) for n in range(_SAMPLES)})
    with file.open("rb") as opened:
        return [str(size).encode(), *(os.pread(opened.fileno(), _SAMPLE, start) for start in starts)]
