"""What a media file says about itself, read in milliseconds and without torch."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av.error

from seats.errors import MediaError
from seats.media import container as media
from seats.media.adts import unsaid_seconds
from seats.media.estimates import is_estimated
from seats.media.pictures import header_notes, orientation

# Formats that can carry a display matrix, or pictures with EXIF data. JPEG has it in films of any format.
_TURNABLE_FORMATS = {"mov", "mp4", "matroska", "webm", "jpeg_pipe", "png_pipe", "webp_pipe", "tiff_pipe"}
# Formats without a container, whose average rate is a constant; the guess knows what is said inside.
_RAW_FORMATS = {"mpegvideo", "m4v", "h264", "hevc"}


@dataclass(frozen=True)
class VideoInfo:
    """The video stream that would be used.

    Args:
        codec: Name of the codec, such as "h264".
        width, height: Pixels, after rotation.
        turned: The picture is stored on its side (rotated by 90 or 270 degrees).
        fps: Average frames per second, or None if the header doesn't say.
        frames: Number of frames: the header's or, estimated, rate times duration; None if neither is known.
        pixel_aspect: Width of a pixel by its height, as stored (before rotation).
        notes: What users should know of how its pictures are read.
    """

    codec: str
    width: int
    height: int
    turned: bool
    fps: float | None
    frames: int | None
    pixel_aspect: float = 1.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AudioInfo:
    """The sound stream that would be used: codec name, sample rate in Hz, number of channels."""

    codec: str
    sample_rate: int
    channels: int


@dataclass(frozen=True)
class MediaInfo:
    """A media file's header.

    Args:
        path: The file.
        format: FFmpeg's name of the container, such as "mov,mp4,m4a,3gp,3g2,mj2".
        duration_s: Length, seconds; None if it cannot be found.
        video, audio: The streams that would be used; None where there is none.
        video_streams, audio_streams: How many there are; cover art does not count.
    """

    path: Path
    format: str
    duration_s: float | None
    video: VideoInfo | None
    audio: AudioInfo | None
    video_streams: int
    audio_streams: int


def probe(path: str | os.PathLike[str], *, timeout_s: float | None = None) -> MediaInfo:
    """Read a media file's header.

    Nothing is decoded but, in formats that can store pictures on their side, the first one, because the
    rotation is only known with a picture. Only where no header has the length are the packets read (not decoded)
    to the end: half a second for an hour of MP3.

    Args:
        path: The file.
        timeout_s: Give up after this many seconds; None for no limit.

    Raises:
        MediaError: The file is missing, empty, unreadable, not a media file, or has neither video nor sound.
    """
    path = Path(path)
    deadline = media.Deadline(timeout_s, path)
    media.check_file(path)
    with media.open_media(path, deadline) as container:
        videos, audios = streams_of(path, container)
        duration = None if is_estimated(path, container) else media.duration_of(container)
        video = _video_info(container, videos[0], duration, deadline) if videos else None
        audio = _audio_info(audios[0]) if audios else None
        name = container.format.name
    if duration is None:  # not in the header, or there is none, as in raw AAC
        duration = count_duration(path, deadline)
        if video and video.fps and video.frames is None and duration:
            video = replace(video, frames=round(video.fps * duration))
    return MediaInfo(path, name, duration, video, audio, len(videos), len(audios))


def count_duration(path: Path, deadline: media.Deadline, *, all_streams: bool = False) -> float | None:
    """Return the end of the last packet, seconds from the file's start, by reading all packets; None if
    unknown.

    Args:
        all_streams: Also those that would not be used: further sound tracks, subtitles.

    Raises:
        MediaError: The file cannot be opened or the time is up.
    """
    ends: dict[int, int] = {}
    unsaid = 0.0
    with media.open_media(path, deadline) as container:
        streams = [*media.video_streams(container)[:1], *media.audio_streams(container)[:1]]
        if all_streams:
            streams = list(container.streams)
        raw_aac = container.format.name == "aac"
        for packet in media.packets(container, streams, deadline):
            if raw_aac:
                unsaid += unsaid_seconds(packet)
            if packet.pts is not None:
                index, ticks = packet.stream_index, packet.pts + (packet.duration or 0)
                ends[index] = max(ends.get(index, ticks), ticks)
        bases = {stream.index: stream.time_base for stream in streams if stream.index in ends}
        end = max((float(ticks * bases[index]) for index, ticks in ends.items()), default=None)
        origin = media.start_of(container)
    return None if end is None or end <= origin else end - origin + unsaid


def streams_of(path: Path, container: Any) -> tuple[list[Any], list[Any]]:
    """Return a file's streams of moving pictures and of sound, those to use first.

    Raises:
        MediaError: There are neither.
    """
    videos, audios = media.video_streams(container), media.audio_streams(container)
    if videos or audios:
        return videos, audios
    if container.streams.video:
        raise MediaError(f"{path}: holds only cover art, no video and no sound; give a clip that can be played")
    raise MediaError(f"{path}: has neither video nor sound ({container.format.name}); give a clip that can be played")


def stream_notes(videos: int, audios: int, use_video: bool, use_audio: bool) -> list[str]:
    """Say which kinds of stream that are to be used are missing, or several."""
    notes = []
    if not videos and use_video:
        notes.append("no pictures in the file; only the sound is used")
    if not audios and use_audio:
        notes.append("no sound track in the file; only the pictures are used")
    if videos > 1 and use_video:
        notes.append(f"{videos} video streams in the file; the default or largest one is used")
    if audios > 1 and use_audio:
        notes.append(f"{audios} audio streams in the file; the default or first one is used")
    return notes


def _video_info(container: Any, stream: Any, duration: float | None, deadline: media.Deadline) -> VideoInfo:
    context = stream.codec_context
    rate = (not media.is_one_of(container, _RAW_FORMATS) and stream.average_rate) or stream.guessed_rate
    fps = float(rate) if rate else None
    frames = stream.frames or (round(fps * duration) if fps and duration else None)
    if context is None:
        return VideoInfo("unknown", 0, 0, False, fps, frames)
    turnable = context.name == "mjpeg" or media.is_one_of(container, _TURNABLE_FORMATS)
    # Of few pictures a header may tell no size, which decoding one does.
    turned = (turnable or not context.width) and _is_turned(container, stream, deadline)
    width, height = (context.height, context.width) if turned else (context.width, context.height)
    aspect = media.pixel_aspect(container, stream)
    notes = tuple(header_notes(stream, aspect))
    return VideoInfo(context.name, width, height, turned, fps, frames, aspect, notes)


def _is_turned(container: Any, stream: Any, deadline: media.Deadline) -> bool:
    for packet in media.packets(container, stream, deadline):
        try:
            frames = stream.codec_context.decode(packet) or stream.codec_context.decode(None)
        except (av.error.FFmpegError, OSError):
            return False
        return bool(frames) and orientation(frames[0])[0]
    return False


def _audio_info(stream: Any) -> AudioInfo:
    context = stream.codec_context
    if context is None:
        return AudioInfo("unknown", 0, 0)
    return AudioInfo(context.name, context.sample_rate or 0, media.channels_of(stream))
