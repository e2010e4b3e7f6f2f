"""Opening a media file, choosing its streams and reading its packets, whatever state the file is in."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error

from seats.errors import MediaError, SettingsError
from seats.files import missing_told

if TYPE_CHECKING:
    from av.container import InputContainer

# Demuxers that see pictures in text, or that only point to other files and addresses.
_NOT_MEDIA_FORMATS = {"tty", "bin", "xbin", "adf", "idf", "concat", "hls", "dash", "sdp", "rtsp", "lrc"}
_FILES_ONLY = {"protocol_whitelist": "file"}
# PyAV 19 takes them as they are and has no such option any more.
_TITLES_IN_ANY_CHARACTERS: dict[str, Any] = (
    {} if int(av.__version__.split(".")[0]) > 18 else {"metadata_errors": "replace"}
)
# Formats whose header has a length for each stream. To the streams of others FFmpeg may give that of the whole file.
_STREAM_LENGTH_FORMATS = {"mov", "avi"}
# Formats of whose length FFmpeg gives the last timestamp.
_ENDS_FORMATS = {"matroska", "nut", "flv", "wtv"}
# A truncated mp4 gives one error for each packet that its index promises; a damaged one gives a few.
_MAX_ERRORS_IN_A_ROW = 100
# Formats whose seek lands where it says and whose timestamps stay true after it.
_SEEKABLE_FORMATS = {"mov", "mp4", "matroska", "webm", "wav", "flac", "ogg", "mpegts", "avi"}
# Pictures and not videos: a width and height of pixels that these name is that of paper, and not shown.
_PICTURE_FORMATS = {"gif", "apng", "image2"}
# Widths of a pixel by its height beyond these are a damaged header, and a difference from 1 below the last is rounding:
# encoders write 404:405 where a size had to be made even.
_PIXEL_ASPECTS, _SQUARE = (0.25, 4.0), 0.02
# MPEG's transport and program streams count 90,000 a second in 33 bits (ISO 13818-1). Sound whose encoder begins a
# moment before time 0 has its first timestamps just below the end of that clock.
_MPEG_FORMATS = {"mpegts", "mpeg"}
_MPEG_HERTZ, _MPEG_TICKS = 90_000, 2**33
_BEFORE_0_S = 60


class Deadline:
    """A limit on the time that reading one clip may take.

    Args:
        timeout_s: Seconds from now, > 0; None for no limit.

    Raises:
        SettingsError: `timeout_s` is not above 0.
    """

    def __init__(self, timeout_s: float | None, path: Path) -> None:
        if timeout_s is not None and not timeout_s > 0:
            raise SettingsError(f"the time limit is {timeout_s} s; it must be above 0")
        self.timeout_s = timeout_s
        self._path = path
        self._end = None if timeout_s is None else time.monotonic() + timeout_s

    def check(self) -> None:
        """Raise MediaError once the time is up."""
        if self._end is not None and time.monotonic() > self._end:
            raise self.error()

    def cancel(self) -> None:
        """Make the next check on any thread raise."""
        self._end = -1.0

    def error(self) -> MediaError:
        """Return the error that says so."""
        limit = "allowed" if self.timeout_s is None else f"{self.timeout_s:g} s"
        return MediaError(
            f"{self._path}: reading took longer than {limit}; allow more time or ask about a shorter part"
        )


def check_file(path: Path) -> None:
    """Say why a file cannot be a clip. Never blocks, not even on a pipe.

    Raises:
        MediaError: The file is missing, not a regular file, unreadable or empty.
    """
    try:
        info = path.stat()
    except FileNotFoundError:
        raise MediaError(missing_told(path)) from None
    except PermissionError:
        raise MediaError(f"{path}: its folder may not be read; check the permissions") from None
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ELOOP:
            raise MediaError(missing_told(path)) from None
        raise MediaError(f"{str(path)!r}: not a usable path ({error})") from None
    if stat.S_ISDIR(info.st_mode):
        raise MediaError(
            f"{path}: is a folder; give a single video or sound file, or ask about all in it with seats batch"
        )
    if not stat.S_ISREG(info.st_mode):
        raise MediaError(f"{path}: is not a regular file; copy the clip to disk and give that file")
    if info.st_size == 0:
        raise MediaError(f"{path}: the file is empty (0 bytes); download or copy it again")
    try:
        with path.open("rb") as file:
            file.read(1)
    except PermissionError:
        raise MediaError(f"{path}: may not be read; check the file's permissions") from None
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}); check the disk") from None


@contextmanager
def open_media(path: Path, deadline: Deadline) -> Iterator[InputContainer]:
    """Open a checked file for reading and close it afterwards.

    Raises:
        MediaError: No demuxer recognises the file, or opening it takes too long.
    """
    try:
        # with "file:", this keeps odd names and playlists from being taken for addresses to fetch
        container = av.open(
            f"file:{os.path.abspath(path)}",
            options=_FILES_ONLY,
            timeout=deadline.timeout_s,
            **_TITLES_IN_ANY_CHARACTERS,
        )
    except (av.error.ExitError, av.error.TimeoutError):
        raise deadline.error() from None
    except (av.error.FFmpegError, OSError, ValueError) as error:
        deadline.check()  # what was broken off looks broken
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(
            f"{path}: not a video or sound file that can be read, or only a part of one "
            f"({reason[0].lower()}{reason[1:]}); check it in a player, copy it again or convert it to mp4"
        ) from None
    with container:
        if is_one_of(container, _NOT_MEDIA_FORMATS):
            raise MediaError(f"{path}: is a {container.format.name} file, not video or sound; give the clip itself")
        yield container


def is_one_of(container: InputContainer, formats: set[str]) -> bool:
    """Return whether a container is of one of these formats. FFmpeg calls some by several names: "matroska,webm"."""
    return not formats.isdisjoint(container.format.name.split(","))


def seek_to(container: InputContainer, stream: Any, time_s: float) -> bool:
    """Move to the keyframe before a time, seconds from the file's start; return whether the format can,
    exactly enough to cut by."""
    if not is_one_of(container, _SEEKABLE_FORMATS):
        return False
    # in a WAV file FFmpeg counts bytes, at a rate that is rounded where the sound is compressed
    if container.format.name == "wav" and not stream.codec_context.name.startswith("pcm_"):
        return False
    try:
        container.seek(int((time_s + start_of(container)) / stream.time_base), stream=stream)
    except (OSError, OverflowError):
        return False
    return True


def start_of(container: InputContainer) -> float:
    """Return the container's first timestamp, seconds: time 0 of the clip.

    A transport stream of several programs has a clock for each: that of the streams to use counts.
    """
    if container.start_time is None and "matroska" in container.format.name:
        return _first_timestamp(container.name)
    if _has_programs(container):
        used = video_streams(container)[:1] + audio_streams(container)[:1]
        starts = [float(s.start_time * s.time_base) for s in used if s.start_time is not None]
        return min(starts, default=0.0)
    return (container.start_time or 0) / av.time_base


def _first_timestamp(name: str) -> float:
    """Read it off the first packet: of few pictures, or one a second, FFmpeg looks at too few to tell it."""
    try:
        with av.open(name, options=_FILES_ONLY, **_TITLES_IN_ANY_CHARACTERS) as container:
            first = next(container.demux(), None)
            return float(first.pts * first.time_base) if first is not None and first.pts is not None else 0.0
    except (av.error.FFmpegError, OSError):
        return 0.0


def duration_of(container: InputContainer) -> float | None:
    """Return the length the header announces, seconds, or None.

    What FFmpeg's libraries give is counted from the first timestamp, but in NUT, FLV, WTV and in Matroska, where it is
    what writers put there: most the last timestamp. That is also what ASF (WMV, WMA) says of the file, which they take
    for the length of each stream.
    """
    if not container.duration or container.duration < 0:
        return None
    length, start = container.duration / av.time_base, start_of(container)
    if container.format.name == "asf":
        ends = [float(s.duration * s.time_base) for s in container.streams if s.duration and s.time_base]
        end = max(ends, default=0.0)
        return end - start if end > start else None
    return length - start if is_one_of(container, _ENDS_FORMATS) and 0 < start < length else length


def announced_end(container: InputContainer, used: list[Any]) -> float | None:
    """Return when the header says the given streams end, seconds from the file's start, or None.

    The container's own length counts only if there are no other streams that could be the longer ones.
    """
    ends = [stream_end(container, stream) for stream in used]
    known = [end for end in ends if end is not None]
    if known and len(known) == len(used):
        return max(known)
    return duration_of(container) if len(used) == len(container.streams) else None


def stream_end(container: InputContainer, stream: Any) -> float | None:
    """Return when the header says a stream ends, seconds from the file's start; None if it says so of the file only."""
    if not stream.duration or not is_one_of(container, _STREAM_LENGTH_FORMATS):
        return None
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base) - start_of(container)


def video_streams(container: InputContainer) -> list[Any]:
    """Return the streams with moving pictures, the one to use first; cover art and thumbnails are left out.

    A stream marked as default wins, then the one with the most pixels, then the first.
    """
    D = av.stream.Disposition
    extras = D.attached_pic | D.timed_thumbnails
    found = [s for s in container.streams.video if not s.disposition & extras]
    return sorted(found, key=lambda s: (not _decodable(s), not s.disposition & D.default, -_pixels(s), s.index))


def audio_streams(container: InputContainer) -> list[Any]:
    """Return the sound streams, the one to use first.

    In a transport stream of several programs that of the pictures to use wins. Then a stream marked as default, then
    one that is not a commentary or made for impaired hearing or sight, then the first.
    """
    D = av.stream.Disposition
    special = D.comment | D.hearing_impaired | D.visual_impaired | D.karaoke
    ours = None
    if _has_programs(container) and (videos := video_streams(container)):
        ours = _program_of(videos[0])
    return sorted(
        container.streams.audio,
        key=lambda s: (
            not _decodable(s),
            ours is not None and _program_of(s) != ours,
            not s.disposition & D.default,
            bool(s.disposition & special),
            s.index,
        ),
    )


def _has_programs(container: InputContainer) -> bool:
    if container.format.name != "mpegts":
        return False
    return len(video_streams(container)) > 1 or len(set(map(_program_of, container.streams.audio))) > 1


def _program_of(stream: Any) -> int:
    """What tells the programs of a transport stream with sound apart, as PyAV does not list them: the index of the
    stream that FFmpeg prefers among the sound of the program that `stream` is in."""
    best = stream.container.streams.best("audio", related=stream)
    return -1 if best is None else int(best.index)


def packets(container: InputContainer, stream: Any, deadline: Deadline) -> Iterator[Any]:
    """Yield a stream's packets, or those of several, to the end of the file, past damaged places; the empty last
    packet is left out.

    Raises:
        MediaError: The time is up.
    """
    errors, wraps = 0, _may_wrap(container)
    while errors < _MAX_ERRORS_IN_A_ROW:
        try:
            for packet in container.demux(stream):
                deadline.check()
                if packet.size:
                    errors = 0
                    if wraps:
                        packet.pts, packet.dts = _unwrapped(packet.pts), _unwrapped(packet.dts)
                    yield packet
            return
        except IndexError:  # PyAV's at the file's end, where streams were found that the beginning did not tell of
            return
        except (av.error.ExitError, av.error.TimeoutError):
            raise deadline.error() from None
        except (av.error.FFmpegError, OSError):
            errors += 1


def length_is_wrapped(container: InputContainer) -> bool:
    """Return whether the container's length is MPEG's clock: a timestamp before 0 was taken for the last one."""
    if container.format.name not in _MPEG_FORMATS:
        return False
    start, length = start_of(container), (container.duration or 0) / av.time_base
    from_clocks_end = start + length - _MPEG_TICKS / _MPEG_HERTZ  # a packet may reach past it
    return start < _BEFORE_0_S and -_BEFORE_0_S <= from_clocks_end < 1


def _may_wrap(container: InputContainer) -> bool:
    """Return whether timestamps near the end of MPEG's clock are none the clip could reach."""
    if container.format.name not in _MPEG_FORMATS:
        return False
    length = 0.0 if length_is_wrapped(container) else duration_of(container) or 0.0
    return start_of(container) + length < _MPEG_TICKS / _MPEG_HERTZ - _BEFORE_0_S


def _unwrapped(ticks: int | None) -> int | None:
    return ticks - _MPEG_TICKS if ticks is not None and 0 < _MPEG_TICKS - ticks <= _BEFORE_0_S * _MPEG_HERTZ else ticks


def need_decoder(stream: Any, path: Path, kind: str) -> None:
    """Raise MediaError if this build of FFmpeg has no decoder for the stream."""
    if not _decodable(stream):
        raise MediaError(f"{path}: no decoder for its {kind}; convert it to mp4 (H.264 and AAC)")


def channels_of(stream: Any) -> int:
    """Return how many channels a sound stream has, 0 if unknown. To be called before anything of it is decoded.

    The decoder is told no more than that: where each channel is heard makes no difference here, and PyAV 18 frees
    channels in an order of their own (7.1 in CAF and AIFF, labelled ones in MOV and MXF) once for each owner, which
    aborts the process. It leaves the order that is replaced here to the object that was asked for it.
    """
    channels = int(stream.codec_context.layout.nb_channels)
    if channels:
        stream.codec_context.layout = f"{channels} channels"
    return channels


def pixel_aspect(container: InputContainer, stream: Any) -> float:
    """Return the width of a video's pixels by their height, as stored: 1 but for DVDs, DV tapes and the like."""
    name, aspect = container.format.name, float(stream.sample_aspect_ratio or 1)
    if name in _PICTURE_FORMATS or name.endswith("_pipe") or abs(aspect - 1) < _SQUARE:
        return 1.0
    return aspect if _PIXEL_ASPECTS[0] <= aspect <= _PIXEL_ASPECTS[1] else 1.0


def _decodable(stream: Any) -> bool:
    return stream.codec_context is not None


def _pixels(stream: Any) -> int:
    return (stream.codec_context.width * stream.codec_context.height) if _decodable(stream) else 0
