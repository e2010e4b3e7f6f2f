"""Which announced lengths are only file size over bit rate, or a timestamp: FFmpeg gives them like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seats.media import container as media

# Streams without a container: no header that covers the whole file. MP3 may have one in its first frame.
_BARE_FORMATS = {"aac", "loas", "ac3", "eac3", "dts", "dtshd", "mlp", "truehd", "amr", "amrnb", "amrwb", "mpegvideo"}
_LENGTH_TAGS = (b"Xing", b"Info", b"VBRI")
# The largest frame of MPEG audio is 2,881 bytes; some bytes may lie before the first.
_SEARCHED_BYTES = 8192
_MOST_ID3_TAGS = 10


def is_estimated(path: Path, container: Any) -> bool:
    """Return whether the container's length is FFmpeg's guess from the bit rate at the beginning, or no time at all.

    A variable bit rate, and quiet or loud beginnings, make such a length wrong by any factor. In Ogg it is the last
    timestamp of Opus, even if the first one isn't 0, as in what was recorded from a broadcast.
    """
    if container.format.name == "ogg":
        return (container.start_time or 0) > 0
    if media.length_is_wrapped(container):
        return True
    if container.format.name == "ivf":  # the number of pictures, which FFmpeg takes for one of ticks
        stream = container.streams.video[0]
        return bool(stream.guessed_rate is None or stream.guessed_rate * stream.time_base != 1)
    if container.format.name == "mp3":
        return not _mp3_says_length(path)
    return container.format.name in _BARE_FORMATS


def _mp3_says_length(path: Path) -> bool:
    """Return whether the first frame of an MP3 file counts the frames (tags of Xing, LAME, and Fraunhofer's VBRI).

    ID3v2 tags come before it: "ID3", version (2 bytes), flags, and the size of what follows in 4 bytes of 7 bits.
    """
    try:
        with path.open("rb") as file:
            place = 0
            for _ in range(_MOST_ID3_TAGS):
                file.seek(place)
                head = file.read(10)
                if len(head) < 10 or head[:3] != b"ID3":
                    break
                size = 0
                for byte in head[6:]:
                    size = size << 7 | byte & 0x7F
                place += 10 + size + (10 if head[5] & 0x10 else 0)
            file.seek(place)
            start = file.read(_SEARCHED_BYTES)
    except OSError:
        return False
    at = min((found for tag in _LENGTH_TAGS if (found := start.find(tag)) >= 0), default=-1)
    if at < 0:
        return False
    # VBRI always counts them; the others where the lowest flag is set
    return start[at : at + 4] == b"VBRI" or bool(int.from_bytes(start[at + 4 : at + 8], "big") & 1)
