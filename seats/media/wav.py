"""How long a WAV file says it is: FFmpeg only tells how long what is there of it lasts."""

from __future__ import annotations

from pathlib import Path

# Sizes that recorders write while they don't know better (0, or as large as the field can hold).
_UNKNOWN = {0, 0x7FFFFFFF, 0xFFFFFFFF}
_MOST_CHUNKS = 100


def promised_seconds(path: Path) -> float | None:
    """Return the length that the header announces, seconds; None where it doesn't, or where it is no plain WAV.

    Chunks are those of the RIFF WAVE format: four letters, a 32-bit size, the content, padded to an even size; "fmt "
    has the bytes per second at its eighth byte.
    """
    try:
        with path.open("rb") as file:
            start = file.read(12)
            if start[:4] != b"RIFF" or start[8:] != b"WAVE":
                return None
            bytes_per_second = 0
            for _ in range(_MOST_CHUNKS):
                head = file.read(8)
                size = int.from_bytes(head[4:], "little")
                if head[:4] == b"data":
                    return size / bytes_per_second if bytes_per_second and size not in _UNKNOWN else None
                if len(head) < 8:
                    return None
                if head[:4] == b"fmt ":
                    bytes_per_second = int.from_bytes(file.read(16)[8:12], "little")
                    size -= 16
                file.seek(size + size % 2, 1)
    except (OSError, ValueError):
        return None
    return None
