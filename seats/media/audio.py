"""The sound of a clip: decoded, mixed to mono and resampled to 16 kHz as it streams by, on the clip's
clock."""

from __future__ import annotations

import math
from itertools import chain
from pathlib import Path
from typing import Any

import av.error
import numpy as np
import soxr
from av.audio.plane import AudioPlane

from seats.errors import MediaError
from seats.media import container as media
from seats.media.adts import unsaid_seconds
from seats.media.clip import SAMPLE_RATE, Audio
from seats.media.clock import LONGEST_PAUSE_S, SoundTimes
from seats.units import counted

# Timestamps and the count of samples may differ by one audio token before silence is put in or sound is cut
# out: containers round timestamps, and correcting every rounding would crackle.
DRIFT_S = 0.04
# After a damaged piece a difference is what that piece lacks, less than this is rounding.
_ROUNDING_S = 0.005
# Decoders need some sound before the place asked about (MP3's bit reservoir, Opus' 80 ms).
_PREROLL_S = 1.0
# A longer pause before or within the sound is said, seconds.
_LONG_GAP_S = 1.0
# The mix of channels that is quieter than them by this factor of power (40 dB) is told, by one frame in so many.
_CANCELLED, _LISTENED = 1e-4, 8
_SAMPLES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
# Resampling in pieces of this length keeps Python out of the way, seconds.
_PIECE_S = 1.0


def load_audio(
    path: Path, start_s: float, end_s: float, deadline: media.Deadline
) -> tuple[Audio | None, list[str], float]:
    """Decode a file's sound between two times, seconds from the file's start; `end_s` may be infinite.

    Returns:
        The sound (None if there is none in the range), notes for the user, and the time at which the sound
        read so far ends (seconds from the file's start, 0 if there is none).

    Raises:
        MediaError: Nothing can be decoded, or the time is up.
    """
    result = _load(path, start_s, end_s, deadline, seek=True)
    if result is None:
        result = _load(path, start_s, end_s, deadline, seek=False)
    assert result is not None
    return result


def _load(
    path: Path, start_s: float, end_s: float, deadline: media.Deadline, *, seek: bool
) -> tuple[Audio | None, list[str], float] | None:
    """Do the work of `load_audio`; None if after a seek nothing can be decoded from the start on."""
    with media.open_media(path, deadline) as container:
        stream = media.audio_streams(container)[0]
        media.need_decoder(stream, path, "sound")
        media.channels_of(stream)  # before anything is decoded: it says why
        codec, raw_aac = stream.codec_context.name, container.format.name == "aac"
        origin_s = media.start_of(container)
        times, mixer, mono = SoundTimes(), _Mixer(), MonoWriter(end_s - start_s)
        sought = seek and start_s > _PREROLL_S and media.seek_to(container, stream, start_s - _PREROLL_S)
        failed, damaged, drift_s = 0, 0, DRIFT_S
        for packet in chain(media.packets(container, stream, deadline), [None]):  # at last, what the decoder holds
            try:
                frames = stream.codec_context.decode(packet)
            except EOFError:
                continue
            except (av.error.FFmpegError, OSError):
                failed += 1
                damaged += not _ends_before(packet, start_s + origin_s)
                drift_s = _ROUNDING_S
                frames = []
            for frame in frames:
                # PyAV knows no time of what the decoder held back
                known = frame.pts is not None and frame.time_base is not None
                at_s = times.begin(float(frame.pts * frame.time_base) - origin_s if known else None)
                if at_s is None:
                    break
                if sought and not mixer.frames and at_s > start_s:
                    return None
                heard = at_s + frame.samples / frame.sample_rate > start_s
                mono.write(mixer.mix(frame, heard), frame.sample_rate, at_s - start_s, drift_s)
                drift_s = DRIFT_S
                times.end(frame.samples / frame.sample_rate)
            if raw_aac and packet is not None:  # its timestamps are counts of what came before
                times.skipped_s -= unsaid_seconds(packet)
            if mono.full or times.restarted:
                break
    if not mixer.frames and failed:
        if sought:  # AAC of 3 or 7 channels may say only in a file's first packet which these are
            return None
        raise MediaError(f"{path}: its sound ({codec}) cannot be decoded; get an undamaged copy")
    notes = [note for _, note in times.notes] + _pauses(mono.pauses, start_s)
    if damaged:
        notes.append(f"{damaged} damaged piece{'s' * (damaged > 1)} of sound replaced by silence")
    notes += mixer.notes()
    waveform = mono.finish()
    if not len(waveform):
        return None, notes, times.reached
    sound = Audio(waveform, source_rate=mixer.source_rate, channels=mixer.channels, codec=codec)
    return sound, notes, times.reached


class _Mixer:
    """Makes mono sound of frames. frames: so many so far; source_rate, channels: of the last one."""

    def __init__(self) -> None:
        self.frames = self.source_rate = self.channels = 0
        self._wrong = 0
        self._channels_power = self._mixed_power = 0.0

    def mix(self, frame: Any, heard: bool) -> np.ndarray:
        """float32 `[N]`, at the frame's rate. heard: whether the part that was asked for has some of it."""
        self.frames += 1
        self.source_rate, self.channels = frame.sample_rate, frame.layout.nb_channels
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is counted below
            return self._mixed(to_channels(frame), heard)

    def _mixed(self, parts: np.ndarray, heard: bool) -> np.ndarray:
        samples: np.ndarray = parts[0] if len(parts) == 1 else parts.mean(axis=0)  # as librosa.to_mono takes it
        if len(parts) > 1 and self.frames % _LISTENED == 1:
            self._channels_power += float(np.vdot(parts, parts)) / len(parts)
            self._mixed_power += float(np.vdot(samples, samples))
        if not np.isfinite(samples).all():  # a single one would spread over everything the resampler gives
            self._wrong += heard * int(np.count_nonzero(~np.isfinite(samples)))
            samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        return samples

    def notes(self) -> list[str]:
        """What a user should know of the sound."""
        notes = []
        if self._wrong:
            notes.append(
                f"{self._wrong} sample{'s' * (self._wrong > 1)} of the sound not a number, replaced by silence"
            )
        if self._mixed_power < _CANCELLED * self._channels_power:
            notes.append("the channels of the sound are opposite and cancel each other out; turn one over in an editor")
        return notes


def _pauses(pauses: list[tuple[float, float]], start_s: float) -> list[str]:
    """Say where silence stands in for missing sound. pauses: seconds of the clip, which begins at `start_s`."""
    if not pauses:
        return []
    begin, end = pauses[0]
    more = f" (and {counted(len(pauses) - 1, 'more such pause')})" if len(pauses) > 1 else ""
    return [f"no sound in the file between {start_s + begin:.1f} s and {start_s + end:.1f} s{more}; silence stands in"]


def _ends_before(packet: Any, at_s: float) -> bool:
    """Whether a packet is known to be of an earlier time than `at_s`, seconds on the file's clock."""
    if packet is None or packet.pts is None:
        return False
    begin, length = float(packet.pts * packet.time_base), float((packet.duration or 0) * packet.time_base)
    return begin < at_s and begin + length <= at_s


def to_channels(frame: Any) -> np.ndarray:
    """Return an audio frame as float32 `[channels, N]` in [-1, 1]."""
    channels, kind = frame.layout.nb_channels, _SAMPLES[frame.format.packed.name]
    # PyAV's to_ndarray and planes take what lies behind the last of eight planes and more for another one
    plane: Any = AudioPlane
    if frame.format.is_planar:
        samples = np.stack([np.frombuffer(plane(frame, at), kind, frame.samples) for at in range(channels)])
    else:
        samples = np.frombuffer(plane(frame, 0), kind, frame.samples * channels).reshape(-1, channels).T
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if np.issubdtype(samples.dtype, np.integer):
        return samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    return samples.astype(np.float32, copy=False)


class MonoWriter:
    """Puts pieces of sound on one clock and resamples them to 16 kHz.

    Args:
        length_s: Sound from 0 to this time is kept, seconds; may be infinite.

    Attributes:
        full: Nothing more is taken: the length is reached.
        pauses: Where each of the long pauses filled with silence begins and ends, seconds.

    Resampling is soxr's "HQ", which librosa.resample uses unless told otherwise; librosa itself is not
    imported, because that takes seconds.
    """

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s
        self._pieces: list[np.ndarray] = []
        self._ready = 0
        self._rate = 0
        self._resampler: soxr.ResampleStream | None = None
        self._begin_s = 0.0
        self._position = 0
        self._waiting: list[np.ndarray] = []
        self._waiting_samples = 0
        self._started = False
        self.full = False
        self.pauses: list[tuple[float, float]] = []

    def write(self, samples: np.ndarray, rate: int, at_s: float, drift_s: float = DRIFT_S) -> None:
        """Add mono sound, float32 `[N]` at `rate` Hz, beginning at `at_s` seconds of the clip (also < 0).

        Where it begins up to `drift_s` seconds before or after the end of what is there, it is joined to it.
        """
        if self.full or not len(samples):
            return
        if rate != self._rate:
            self._end_segment()
            self._begin_segment(rate)
        at = round((at_s - self._begin_s) * rate)
        if self._started and at - self._position > LONGEST_PAUSE_S * rate:
            at = self._position  # a wrong timestamp, or a clock that was set, which is known two timestamps later
        if at >= self._limit():
            # what was heard before is followed by silence; without any, the range simply has no sound
            if self._ready or self._position > 0:
                self._pass_to(int(self._limit()))
            self.full = True
            return
        if not self._started:
            self._pass_to(at)
            self._started = True
        elif at - self._position > drift_s * rate:
            self._pass_to(at)
        elif self._position - at > drift_s * rate:
            samples = samples[self._position - at :]
        early = max(min(-self._position, len(samples)), 0)
        self._position += early
        samples = samples[early:]
        room = self._limit() - self._position
        if len(samples) >= room:
            samples, self.full = samples[: max(int(room), 0)], True
        self._push(samples)

    def finish(self) -> np.ndarray:
        """Return everything written, float32 `[N]` at 16 kHz."""
        self._end_segment()
        return np.concatenate(self._pieces) if self._pieces else np.zeros(0, dtype=np.float32)

    def _limit(self) -> float:
        limit = (self._length_s - self._begin_s) * self._rate
        return limit if math.isinf(limit) else round(limit)

    def _pass_to(self, at: int) -> None:
        """Put silence from the position to `at`, not past the limit, in pieces, as far as it lies in the clip.

        Where the length is unknown, silence of a day and more is left out: the timestamp is taken for a wrong one.
        """
        if math.isinf(self._length_s) and at - self._position > LONGEST_PAUSE_S * self._rate:
            return
        left = at - max(self._position, 0)
        if left > _LONG_GAP_S * self._rate:
            self.pauses.append((self._begin_s + (at - left) / self._rate, self._begin_s + at / self._rate))
        while left > 0:
            piece = np.zeros(min(left, 10 * self._rate), dtype=np.float32)
            self._push(piece)
            left -= len(piece)
        self._position = at

    def _push(self, samples: np.ndarray) -> None:
        self._waiting.append(samples)
        self._waiting_samples += len(samples)
        self._position += len(samples)
        if self._waiting_samples >= _PIECE_S * self._rate:
            self._resample(last=False)

    def _resample(self, *, last: bool) -> None:
        piece = np.concatenate(self._waiting) if self._waiting else np.zeros(0, dtype=np.float32)
        self._waiting, self._waiting_samples = [], 0
        if self._resampler is not None:
            piece = self._resampler.resample_chunk(piece, last=last)
        if len(piece):
            self._pieces.append(piece)
            self._ready += len(piece)

    def _begin_segment(self, rate: int) -> None:
        self._position = round(min(self._position, 0) * rate / (self._rate or rate))
        self._rate = rate
        self._begin_s = self._ready / SAMPLE_RATE
        self._resampler = None
        if rate != SAMPLE_RATE:
            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def _end_segment(self) -> None:
        """Flush the resampler; the length is rounded up to the samples that librosa.resample gives."""
        if not self._rate or self._position <= 0:
            return
        self._resample(last=True)
        wanted = round(self._begin_s * SAMPLE_RATE) + math.ceil(self._position * SAMPLE_RATE / self._rate)
        if wanted > self._ready:
            self._pieces.append(np.zeros(wanted - self._ready, dtype=np.float32))
        elif wanted < self._ready:
            self._pieces[-1] = self._pieces[-1][: wanted - self._ready]
        self._ready = wanted
