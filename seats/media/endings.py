"""Whether a file goes on for as long as its header says, or was cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seats.media import container as media
from seats.media.estimates import is_estimated
from seats.media.probe import count_duration
from seats.media.riff import promised_seconds

# What a whole file may lack of the length that its header states, however long it is: timestamps are rounded; encoders
# of sound begin before time 0 and fill up their last block, which decoders cut off again (MP3: 1,105 samples before
# and up to 1,151 behind, AAC: 2,112 and 1,023, Opus: up to 120 ms); and of the last picture often only the beginning
# is stored.
_ROUNDING_S = 0.1
_PADDING_SAMPLES = 4096
_LONGEST_LAST_PICTURE_S = 1.0


@dataclass(frozen=True)
class Promise:
    """When a file ends by its header, seconds from its start; None where that does not say.

    used_s: the streams that are used. file_s: the file, some other stream of which may be the longest. streams_s: by
    "video" and "audio", each stream that is used.
    """

    used_s: float | None
    file_s: float | None
    streams_s: dict[str, float | None]

    @classmethod
    def of(cls, path: Path, container: Any, used: Sequence[Any]) -> Promise:
        """That of an open file. used: its streams that are used."""
        estimated = is_estimated(path, container)
        file_s = None if estimated else media.duration_of(container)
        used_s = None if estimated else media.announced_end(container, list(used))
        if container.format.name in ("wav", "avi") and used:
            used_s = promised_seconds(path) or used_s
        streams_s = {} if estimated else {stream.type: media.stream_end(container, stream) for stream in used}
        return cls(used_s, file_s, streams_s)


def allowance(sound_rate: int | None, last_picture_s: float | None) -> float:
    """By how much a file may end before its header says without a part of it being missing, seconds.

    sound_rate: Hz, None without sound. last_picture_s: how long a picture is usually shown, where nothing says so of
    the last one, else None.
    """
    padding = 0.0 if sound_rate is None else _PADDING_SAMPLES / sound_rate
    return _ROUNDING_S + padding + min(last_picture_s or 0.0, _LONGEST_LAST_PICTURE_S)


def missed_end(
    path: Path, promise: Promise, reached_s: float, end_s: float, allowed_s: float, deadline: media.Deadline
) -> float | None:
    """When a file should have ended that ends early, seconds from its start; None for one that does not.

    All packets are read where the header names no length of the streams that are used.

    Args:
        reached_s: When what could be read ends.
        end_s: What is wanted ends there; infinity for the file's end.
        allowed_s: See `allowance`.

    Raises:
        MediaError: The time is up.
    """

    def lacks(promised: float | None) -> bool:
        return promised is not None and min(end_s, promised) - reached_s > allowed_s

    promised = promise.used_s
    if promised is None and lacks(promise.file_s):
        assert promise.file_s is not None
        # the streams that are not used may be the longer ones
        reached = count_duration(path, deadline, all_streams=True)
        promised = promise.file_s if reached is None or promise.file_s - reached > allowed_s else None
    return promised if lacks(promised) else None


def early_end_note(reached_s: float, promised_s: float) -> str:
    """What users are told of a file that was cut off."""
    return f"the file ends early: {reached_s:.1f} of {promised_s:.1f} s could be read"
