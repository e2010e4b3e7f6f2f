"""How long a WAV or AVI file says it is: FFmpeg only tells how long what is there of it lasts."""

from __future__ import annotations

from pathlib import Path

# Sizes that recorders write while they don't know better: 0, or about as large as the field can hold with a sign or
# without one (SoX writes 0x7FFFF000, arecord 0x80000000, others the largest number less the header's size).
_LARGEST, _BELOW = (2**31, 2**32), 2**16
_MOST_CHUNKS = 100


def promised_seconds(path: Path) -> float | None:
    """Return the length that the header announces, seconds; None where it doesn't.

    That is: where the file is neither; a WAV of compressed sound, whose bytes per second are only an average; an AVI
    that has all the bytes it says, so that FFmpeg's length is right.

    Chunks are those of the RIFF format: four letters, a 32-bit size, the content, padded to an even size. "fmt " has
    the samples per second at its fourth byte, then the bytes per second, then the bytes of a sample of all channels.
    """
    try:
        with path.open("rb") as file:
            start = file.read(12)
            if start[:4] == b"RIFF" and start[8:] == b"AVI ":
                return _promised_avi(path, int.from_bytes(start[4:8], "little"), file.read(40))
            if start[:4] != b"RIFF" or start[8:] != b"WAVE":
                return None
            bytes_per_second = 0
            for _ in range(_MOST_CHUNKS):
                head = file.read(8)
                size = int.from_bytes(head[4:], "little")
                if head[:4] == b"data":
                    return size / bytes_per_second if bytes_per_second and _is_known(size) else None
                if head[:4] == b"fmt ":
                    form = file.read(16)
                    rate, bytes_per_second = (int.from_bytes(form[at : at + 4], "little") for at in (4, 8))
                    if bytes_per_second != rate * int.from_bytes(form[12:14], "little"):
                        return None
                    size -= 16
                file.seek(size + size % 2, 1)
    except (OSError, ValueError):
        return None
    return None


def _is_known(size: int) -> bool:
    return size > 0 and not any(most - _BELOW <= size <= most for most in _LARGEST)


def _promised_avi(path: Path, size: int, head: bytes) -> float | None:
    """`head`: the list that comes first, from its letters; the header in it has the microseconds of a picture, and at
    its sixteenth byte the number of pictures."""
    if head[12:16] != b"avih" or not _is_known(size) or path.stat().st_size >= 8 + size:
        return None
    return int.from_bytes(head[20:24], "little") * int.from_bytes(head[36:40], "little") / 1e6 or None
