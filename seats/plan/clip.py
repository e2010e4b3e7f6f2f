"""What a clip will become, from its header and the timestamps of its packets: nothing is decoded."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seats.errors import MediaError
from seats.media import SAMPLE_RATE, FrameSampling, MediaInfo, frame_size, probe
from seats.media import container as media
from seats.media.audio import DRIFT_S
from seats.media.clock import SoundTimes
from seats.media.endings import Promise, allowance, early_end_note, missed_end
from seats.media.load import check_start, check_used, checked_range, until
from seats.media.pictures import no_picture
from seats.media.probe import stream_notes
from seats.media.sampling import shown_size
from seats.media.timeline import UNSAID_FPS, choose_frames, read_timeline

PACKETS_S = 0.3
"""Packets of a stream are read for so many seconds at most; a file that takes longer is planned from its header."""
_NEGATIVE = 2**31
"""From here on a packet's duration is a negative one that FFmpeg took for an unsigned number of 32 bits."""
_NO_FRAMES = 0, 1.0, (0, 0), False


@dataclass(frozen=True, eq=False)
class Pictures:
    """A video stream. times: float64 `[N]`, when each picture appears, seconds from the file's start; last_s: how long
    the last one is shown; rates: frames per second that the header names; exact: whether times are the packets' own
    instead of what the header promises. width, height: as shown, in square pixels."""

    width: int
    height: int
    codec: str
    times: np.ndarray
    last_s: float
    rates: tuple[float, ...]
    exact: bool
    notes: tuple[str, ...] = ()

    @property
    def end_s(self) -> float:
        return float(self.times[-1]) + self.last_s

    @property
    def usual_s(self) -> float:
        """How long a picture is shown on average, seconds."""
        if len(self.times) > 1:
            return float(np.diff(self.times).mean())
        return 1 / (self.rates[0] if self.rates else UNSAID_FPS)


@dataclass(frozen=True)
class Sound:
    """A sound stream. begin_s, end_s: when its first sample begins and its last one ends, seconds from the file's
    start; exact as for pictures. notes: what users should know of it, each with when, seconds. restarts: at its end its
    clock falls back, and a seek to behind it may find what follows."""

    sample_rate: int
    end_s: float
    exact: bool
    begin_s: float = 0.0
    notes: tuple[tuple[float, str], ...] = ()
    restarts: bool = False


@dataclass(frozen=True, eq=False)
class ClipFacts:
    """A file's streams, as far as they would be used. duration_s: None if the file does not say. promised_s: when it
    should have ended by its header, seconds, if it was cut off and its packets could be read in time."""

    path: Path
    duration_s: float | None
    pictures: Pictures | None
    sound: Sound | None
    notes: tuple[str, ...] = ()
    promised_s: float | None = None

    @property
    def exact(self) -> bool:
        """Whether the streams are known by their packets."""
        return all(stream.exact for stream in (self.pictures, self.sound) if stream is not None)

    @property
    def reached_s(self) -> float:
        """When the last picture or sound ends, seconds from the file's start."""
        return max(stream.end_s for stream in (self.pictures, self.sound) if stream is not None)

    @property
    def allowed_s(self) -> float:
        """By how much that may miss the promised end without a part being missing."""
        unsaid = self.pictures is not None and not self.pictures.last_s
        rate = None if self.sound is None else self.sound.sample_rate
        return allowance(rate, self.pictures.usual_s if self.pictures is not None and unsaid else None)


@dataclass(frozen=True)
class Part:
    """What is taken of a clip.

    start_s, end_s: seconds from the file's start. duration_s: of the whole file, as a clip that is read has it: the
    header's, or what is there where that is longer; None where the header alone was read and says nothing. frames:
    even, 0 without video; fps: their true rate; height, width: pixels of each. samples: of sound at 16 kHz, 0 without.
    exact: whether decoding would find just that, as far as can be told without doing it. notes: what users should know
    of it. still: all frames are the same picture.
    """

    start_s: float
    end_s: float
    duration_s: float | None
    frames: int
    fps: float
    height: int
    width: int
    samples: int
    exact: bool
    notes: tuple[str, ...] = ()
    still: bool = False

    @property
    def sound_s(self) -> float:
        return self.samples / SAMPLE_RATE


def clip_facts(
    path: str | os.PathLike[str], *, use_video: bool = True, use_audio: bool = True, timeout_s: float | None = None
) -> ClipFacts:
    """Look at a file.

    Its header, its first picture if only that tells the rotation, and for at most `PACKETS_S` seconds a stream (longer
    where the header cannot be true) the timestamps of its packets. use_video, use_audio: whether the pictures and the
    sound are to be used; at least one. timeout_s: as for `probe`. Raises MediaError, also where the file has nothing of
    what is to be used, and SettingsError where nothing is to be.
    """
    check_used(use_video, use_audio)
    info = probe(path, timeout_s=timeout_s)
    # A length of more seconds than the file has bytes is damage: what is there is worth the time to look.
    damaged = (info.duration_s or 0.0) > info.path.stat().st_size
    packets_s = timeout_s if damaged else PACKETS_S
    pictures = _pictures(info, packets_s) if use_video and info.video is not None else None
    sound = _sound(info, packets_s) if use_audio and info.audio is not None else None
    if pictures is None and sound is None:
        lacking, flag, other = ("pictures", "--no-audio", "sound") if use_video else ("sound", "--no-video", "pictures")
        raise MediaError(f"{info.path}: has no {lacking}, and {flag} leaves out its {other}; leave out {flag}")
    notes = stream_notes(info.video_streams, info.audio_streams, use_video, use_audio)
    clip = ClipFacts(info.path, info.duration_s, pictures, sound)
    if not clip.exact:
        notes.append("counted from the header, which a long or unindexed file leaves as the only quick source")
    return replace(clip, notes=tuple(notes), promised_s=_promised(clip) if clip.exact else None)


def _promised(clip: ClipFacts) -> float | None:
    """When a file that was cut off should have ended, seconds from its start; None if it was not, or not in time."""
    deadline = media.Deadline(PACKETS_S, clip.path)
    try:
        with media.open_media(clip.path, deadline) as container:
            videos = media.video_streams(container)[:1] if clip.pictures is not None else []
            audios = media.audio_streams(container)[:1] if clip.sound is not None else []
            promise = Promise.of(clip.path, container, [*videos, *audios])
        return missed_end(clip.path, promise, clip.reached_s, math.inf, clip.allowed_s, deadline)
    except MediaError:
        return None


def take(clip: ClipFacts, sampling: FrameSampling, start_s: float | None = None, end_s: float | None = None) -> Part:
    """What would be taken between two times, seconds from the file's start, None for its ends.

    Raises MediaError if nothing is there, SettingsError for times that make no range.
    """
    start = checked_range(start_s, end_s)
    end = math.inf if end_s is None else end_s
    check_start(clip.path, start, clip.duration_s)
    if clip.sound is not None and clip.sound.restarts and start >= clip.sound.end_s:
        clip = replace(clip, sound=Sound(clip.sound.sample_rate, clip.duration_s or math.inf, exact=False))
    samples = _samples(clip.sound, start, end)
    notes = clip.pictures.notes if clip.pictures is not None else ()
    try:
        frames, fps, size, still = _frames(clip.pictures, sampling, start, end)
    except MediaError as error:
        if not samples:
            raise MediaError(f"{clip.path}: {error}") from None
        (frames, fps, size, still), notes = _NO_FRAMES, (str(error),)
    else:
        span = f"between {start:g} s and {until(end)}"
        if clip.pictures is not None and not frames:
            notes = (*notes, f"no picture is shown {span}")
        if clip.sound is not None and not samples:
            notes = (*notes, f"there is no sound {span}")
    if clip.sound is not None:
        notes += tuple(note for at_s, note in clip.sound.notes if at_s < end)
    if not frames and not samples:
        raise MediaError(f"{clip.path}: has neither pictures nor sound there; choose another part")
    read_until = math.inf if clip.duration_s is None else end
    reached = [min(read_until, one.end_s) for one in (clip.pictures, clip.sound) if one is not None and one.exact]
    duration = max([*reached, clip.duration_s or 0.0]) or None
    last = end if duration is None else min(end, duration)
    if not math.isfinite(last):
        last = start + max(frames / fps if frames else 0.0, samples / SAMPLE_RATE)
    if clip.promised_s is not None and min(end, clip.promised_s) - clip.reached_s > clip.allowed_s:
        notes = (*notes, early_end_note(clip.reached_s, clip.promised_s))
    if clip.exact and last - clip.reached_s > clip.allowed_s:  # it was cut off, or some other stream is the longest
        last = clip.reached_s
    return Part(start, last, duration, frames, fps, *size, samples, clip.exact, notes, still)


def _frames(
    pictures: Pictures | None, sampling: FrameSampling, start: float, end: float
) -> tuple[int, float, tuple[int, int], bool]:
    """Number, true rate, (height, width), and whether all are the same picture."""
    if pictures is None:
        return _NO_FRAMES
    if not (pictures.width and pictures.height):
        raise MediaError(no_picture(pictures.codec))
    choice = choose_frames(
        pictures.times, pictures.last_s, start_s=start, end_s=end, sampling=sampling, rates=pictures.rates
    )
    if choice is None:
        return _NO_FRAMES
    count, still = len(choice.indices), bool(choice.indices[0] == choice.indices[-1])
    return count, choice.fps, frame_size(pictures.height, pictures.width, count, sampling), still


def _samples(sound: Sound | None, start: float, end: float) -> int:
    """Samples at 16 kHz, as many as resampling what lies between the times gives."""
    if sound is None or min(sound.end_s, end) <= start or sound.begin_s >= end:
        return 0
    at_source = round((min(sound.end_s, end) - start) * sound.sample_rate)
    return math.ceil(at_source * SAMPLE_RATE / sound.sample_rate)


def _pictures(info: MediaInfo, packets_s: float | None) -> Pictures:
    video = info.video
    assert video is not None
    height, width = shown_size(video.height, video.width, video.turned, video.pixel_aspect)
    notes = video.notes
    try:
        line = read_timeline(info.path, 0.0, math.inf, media.Deadline(packets_s, info.path))
        if len(line.times):
            notes = (*notes, *line.notes)
            return Pictures(width, height, video.codec, line.times, line.last_s, line.rates, exact=True, notes=notes)
    except MediaError:  # it took too long, or the header is all that can be read
        pass
    fps = video.fps or UNSAID_FPS
    count = video.frames or max(1, round(fps * (info.duration_s or 0.0)))
    rates = (video.fps,) if video.fps else ()
    return Pictures(width, height, video.codec, np.arange(count) / fps, 1 / fps, rates, exact=False, notes=notes)


def _sound(info: MediaInfo, packets_s: float | None) -> Sound:
    audio = info.audio
    assert audio is not None
    rate = audio.sample_rate or SAMPLE_RATE
    try:
        found = _sound_of_packets(info.path, rate, media.Deadline(packets_s, info.path))
        if found is not None:
            return found
    except MediaError:
        pass
    return Sound(rate, info.duration_s or 0.0, exact=False)


def _padding(packet: Any) -> int:
    """Samples at a packet's end that an encoder put there to fill it, and that decoding takes off again."""
    if not packet.has_sidedata("skip_samples"):
        return 0
    said = bytes(packet.get_sidedata("skip_samples"))  # two uint32: of the beginning, of the end
    return int.from_bytes(said[4:8], "little")


def _sound_of_packets(path: Path, rate: int, deadline: media.Deadline) -> Sound | None:
    """The sound as its packets say; None where they don't say when it begins and ends. It is exact if packets or header
    say how long the last packet is."""
    with media.open_media(path, deadline) as container:
        stream = media.audio_streams(container)[0]
        context = stream.codec_context
        frame = (context.frame_size or 0) / rate if context is not None else 0.0
        own = context is not None and context.name in ("opus", "vorbis")  # say in each packet how long it is
        begin: float | None = None
        position: float | None = None
        origin, base = media.start_of(container), float(stream.time_base)
        announced = media.announced_end(container, [stream])
        at, pause, length, longest = 0.0, 0.0, 0.0, 0.0
        times = SoundTimes()
        for packet in media.packets(container, stream, deadline):
            said = packet.duration or 0
            length = max(said * base if said < _NEGATIVE else 0.0, frame)
            longest = max(longest, length)
            if frame:
                length -= _padding(packet) / rate
            elif own:  # its duration may be with or without what fills it up
                length = max(min(length, longest - _padding(packet) / rate), 0.0)
            if packet.pts is None:
                if position is not None:
                    at = position
                    position += length
                    times.end(length)
                continue
            sounds_at = times.begin(packet.pts * base - origin)
            if sounds_at is None:
                return Sound(rate, times.reached, True, begin or 0.0, tuple(times.notes), restarts=True)
            at, before = sounds_at, at
            pause = 0.0 if begin is None else at - before
            # What is announced and what was counted differ by roundings; only a real gap moves the sound. A duration
            # that is the container's alone is rounded itself.
            if position is None or not frame or abs(at - position) > DRIFT_S:
                position = at
            position += length
            times.end(length)
            begin = at if begin is None else begin
    if begin is None or position is None:
        return None
    found = Sound(rate, position, True, begin, tuple(times.notes))
    if frame:
        return found
    # Of other codecs a container may not say how long a packet is, or take the last one to be like the others.
    rest = announced - at if announced is not None and announced > at and not (own and length) else None
    likely = length or pause
    if rest is not None:
        return replace(found, end_s=at + min(likely or rest, rest))
    return replace(found, end_s=at + likely, exact=bool(length)) if likely else None
