"""When each picture of a video is on the screen, and which pictures a clip is sampled at.

Headers are often wrong about frame counts and rates, and many recordings (phones, screens, calls) have no
constant rate. So the packets are read once without decoding them, which costs milliseconds, and everything
else follows from their timestamps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seats.media import container as media
from seats.media.clock import FALL_S, LONGEST_PAUSE_S, Clock
from seats.media.sampling import FrameSampling, smart_nframes
from seats.units import counted

# A seek is only worth it (and its small risk only taken) this far into a file, seconds.
_SEEK_FROM_S = 5.0
# How far before the start to seek, first and if that landed too late, seconds.
STEPS_BACK_S = (0.0, 10.0)
# Packets read past the asked end, seconds, so that the picture after it is known.
_MARGIN_S = 1.0
# Where nothing says a rate: FFmpeg's own default for streams without one.
UNSAID_FPS = 25.0
# Share of packets that may lack a timestamp before the file is taken to have none.
_FEW_MISSING = 0.05
# How far rounded timestamps may put the end of the last picture, seconds. More is a different rate, however long the
# video: pictures and sound would drift apart.
_ROUNDING_S = 0.005
# A picture that appears by so much after a range's end still belongs to it, as timestamps are rounded.
_END_SLACK_S = 0.01
# Where the first picture of a range comes later after its start than this, seconds, and than half a usual frame time,
# the one before it, which is on the screen until then, belongs to the range too: a slide shown for a minute would be
# missing, and the others be as much ahead of the sound.
_LATE_S = 1.0
# Pictures come by a tenth of the usual frame time early or late in recordings; of slides by no more than this, seconds.
_MOST_SLACK_S = 0.1
# A picture that appears by so much after a time is on the screen then, as timestamps are rounded.
_SHOWN_SLACK_S = 0.001
# A timestamp so far from 0, seconds, is wrong, however many there are: Ogg Theora that was cut has such before the
# first keyframe. Behind it floats would not tell two pictures apart.
_WRONG_S = 1e10


@dataclass(frozen=True, eq=False)
class Timeline:
    """The pictures of a stream from around the asked start to the asked end.

    Args:
        ticks: int64 `[N]`, rising: timestamps in the stream's time base, or 0, 1, 2, ... without timestamps.
        times: float64 `[N]`: the same in seconds from the file's start.
        last_s: How long the last picture is shown, seconds; 0 if the file doesn't say.
        rates: What the header says about frames per second.
        packet_ticks: int64 `[P]`, in the order of the packets; -2**63 for packets that show no picture.
        packet_keys: bool `[P]`: decoding can start at this packet.
        timestamped: False if `ticks` are only counted.
        sought_s: Where to seek before reading the packets, seconds from the file's start; None for no seek.
        restart_s: Where the stream's clock begins anew, seconds from the file's start; nothing behind it is listed.
            None if it doesn't.
        wild: Timestamps that are more than a day from most, and not listed: they are wrong.
    """

    ticks: np.ndarray
    times: np.ndarray
    last_s: float
    rates: tuple[float, ...]
    packet_ticks: np.ndarray
    packet_keys: np.ndarray
    timestamped: bool
    sought_s: float | None
    restart_s: float | None = None
    wild: frozenset[int] = frozenset()

    @property
    def notes(self) -> list[str]:
        """What users should know of it."""
        notes = []
        if not self.timestamped and len(self.times) > 1:
            notes.append(f"the video has no timestamps; {1 / self.last_s:g} frames per second assumed")
        if self.wild:
            notes.append(f"{counted(len(self.wild), 'picture')} with a wrong timestamp left out")
        if self.restart_s is not None:
            notes.append(
                f"the clock of the pictures restarts at {self.restart_s:.1f} s; only the part before it is used"
            )
        return notes


NO_PICTURE = -(2**63)


@dataclass(frozen=True, eq=False)
class Choice:
    """The frames to take.

    Args:
        indices: int64 `[F]`, never falling: which entries of the timeline; F even.
        fps: Frames taken per second covered.
        source_fps: Average frames per second of the source in the range.
    """

    indices: np.ndarray
    fps: float
    source_fps: float


def read_timeline(
    path: Path, start_s: float, end_s: float, deadline: media.Deadline, steps_back_s: Sequence[float] = STEPS_BACK_S
) -> Timeline:
    """Read the timestamps of the file's video stream between two times (seconds from the file's start).

    steps_back_s: how far before the start to seek, first and if that landed too late.

    Raises:
        MediaError: The file cannot be opened or the time is up.
    """
    # Some formats only guess where to seek and land between keyframes, or after the place asked for.
    for back_s in steps_back_s:
        if start_s - back_s < _SEEK_FROM_S:
            break
        timeline = _read(path, end_s, deadline, sought_s=start_s - back_s)
        if timeline.sought_s is None:
            return timeline
        keys = timeline.packet_keys & (timeline.packet_ticks != NO_PICTURE)
        if timeline.timestamped and keys.any():
            first = np.searchsorted(timeline.ticks, timeline.packet_ticks[np.argmax(keys)])
            if timeline.times[first] <= start_s:
                return timeline
    return _read(path, end_s, deadline, sought_s=None)


def _read(path: Path, end_s: float, deadline: media.Deadline, *, sought_s: float | None) -> Timeline:
    ticks: list[int] = []
    keys: list[bool] = []
    lengths: list[int] = []
    missing = past = 0
    clock, latest, restarted = Clock(), 0, False
    with media.open_media(path, deadline) as container:
        stream = media.video_streams(container)[0]
        tick_s, origin = float(stream.time_base), media.start_of(container)
        if sought_s is not None and not media.seek_to(container, stream, sought_s):
            sought_s = None
        stop = (end_s + origin + _MARGIN_S) / tick_s
        for packet in media.packets(container, stream, deadline):
            tick = NO_PICTURE if packet.is_discard or packet.pts is None else packet.pts
            missing += packet.pts is None
            ticks.append(tick)
            keys.append(packet.is_keyframe)
            lengths.append(packet.duration or 0)
            if packet.dts is not None and not packet.is_discard and abs(packet.dts * tick_s) < _WRONG_S:
                restarted = not -FALL_S <= clock.step(packet.dts * tick_s) <= LONGEST_PAUSE_S
                if restarted:  # with the packet before this one
                    del ticks[latest:], keys[latest:], lengths[latest:]
                    break
                latest = len(ticks) - 1
            # No later packet can hold a picture shown before its own decoding time. Those that an edit list leaves out
            # have times of their own: what leads up to its next part may be later than that part.
            past = past + 1 if packet.dts is not None and packet.dts > stop and not packet.is_discard else 0
            if past == 2 and not missing:  # one alone may be a wrong timestamp
                break
        rates = tuple(float(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate)
    packet_ticks = np.asarray(ticks, dtype=np.int64)
    # the guess knows what raw streams say inside; the average is a constant for them
    frame_s = 1 / (rates[-1] if rates else UNSAID_FPS)
    timestamped = missing <= _FEW_MISSING * len(ticks)
    wild: list[int] = []
    if timestamped:
        apart = _apart(packet_ticks, LONGEST_PAUSE_S / tick_s, _WRONG_S / tick_s)
        wild = packet_ticks[apart].tolist()
        packet_ticks[apart] = NO_PICTURE
        shown = np.unique(packet_ticks[packet_ticks != NO_PICTURE])
        times = shown * tick_s - origin
    else:
        shown = np.arange(len(ticks), dtype=np.int64)
        times = shown * frame_s
    last_s = lengths[int(np.argmax(packet_ticks))] * tick_s if timestamped and len(shown) else frame_s
    return Timeline(
        ticks=shown,
        times=times,
        last_s=last_s,
        rates=rates,
        packet_ticks=packet_ticks,
        packet_keys=np.asarray(keys, dtype=bool),
        timestamped=timestamped,
        sought_s=sought_s,
        restart_s=float(times[-1]) + last_s if restarted and len(times) else None,
        wild=frozenset(wild),
    )


def _apart(ticks: np.ndarray, longest: float, wrong: float) -> np.ndarray:
    """Return bool `[P]`: which timestamps, int64 `[P]`, lie apart from most by a step of more than `longest`, or are
    `wrong` or more by themselves."""
    apart = (np.abs(ticks.astype(float)) >= wrong) & (ticks != NO_PICTURE)
    order = np.argsort(ticks, kind="stable")
    order = order[(ticks[order] != NO_PICTURE) & ~apart[order]]
    if len(order):
        # in floats: damaged timestamps differ by more than 64 bits hold
        group = np.cumsum(np.diff(ticks[order].astype(float), prepend=float(ticks[order[0]])) > longest)
        apart[order] = group != np.bincount(group).argmax()
    return apart


def choose_frames(
    times: np.ndarray,
    last_s: float,
    *,
    start_s: float,
    end_s: float,
    sampling: FrameSampling,
    rates: Sequence[float] = (),
) -> Choice | None:
    """Choose frames evenly spaced in time, as many as the rule of qwen-omni-utils gives; None if none is
    shown.

    Args:
        times: float64 `[N]`, rising: when each picture appears, seconds from the file's start.
        last_s: How long the last one is shown, seconds; 0 if unknown.
        start_s, end_s: The range, seconds; a picture that appears exactly at the end belongs to it.
        sampling: Rate, fewest and most frames.
        rates: Frames per second that the header names; one that agrees with the timestamps (5 ms over the whole
            range) is preferred, because timestamps rounded to milliseconds would otherwise change the number of
            frames.

    At a constant rate these are exactly the frames that the reference takes by index. At a varying rate the
    range is divided into steps of the usual frame time, the rule is applied to the steps, and at each the
    picture then on the screen is taken; at the start too, if the next one comes more than a frame time later, or
    half of one that is longer than 2 s. Before the first picture the first one stands in, so that sound and
    pictures stay aligned.
    """
    if not len(times):
        return None
    typical = _typical_interval(times, last_s, start_s, end_s, rates)
    slack = min(max(0.1 * typical, 0.002), 0.5 * typical, _MOST_SLACK_S)
    first = int(np.searchsorted(times, start_s - slack))
    after = int(np.searchsorted(times, end_s + min(slack, _END_SLACK_S), side="right"))
    shown_until = times[-1] + (last_s or typical)
    if after == 0:
        return None
    late = first == after or times[first] - start_s > min(typical, max(0.5 * typical, _LATE_S)) + slack
    begin = start_s if late else times[first]
    last = after - 1
    end = min(shown_until, end_s)
    if end - times[last] < 1.5 * typical and last >= first:
        end = times[last] + typical
    covered = end - begin
    if covered <= 0:
        return None
    covered = max(covered, typical)  # of a single picture a sliver may lie in the range; its rate stays its own
    count = max(after - first, 1)
    steps, rate = count, count / covered
    source_fps = count / max(end - max(begin, times[min(first, last)]), typical)
    if count * typical > 0.9 * covered and not late:
        hint = next((hint for hint in rates if abs(count / hint - covered) < _ROUNDING_S), None)
        if hint is not None:
            rate = source_fps = hint
    else:
        steps = round(covered / typical)
        rate = steps / covered
    frames = smart_nframes(steps, rate, sampling)
    targets = begin + _even_positions(steps, frames) * (covered / steps)
    indices = np.searchsorted(times, targets + slack, side="right") - 1
    return Choice(indices=np.clip(indices, 0, last), fps=float(frames / steps * rate), source_fps=float(source_fps))


def choose_shown(timeline: Timeline, at: np.ndarray) -> Choice | None:
    """Choose the picture on the screen at each of some times; None if there is none.

    at: float64 `[F]`, rising, seconds from the file's start. Before the first picture the first one stands in.
    """
    if not len(timeline.times):
        return None
    indices = np.searchsorted(timeline.times, at + _SHOWN_SLACK_S, side="right") - 1
    rate = len(at) / max(float(at[-1] - at[0]), _SHOWN_SLACK_S)
    return Choice(indices=np.maximum(indices, 0), fps=rate, source_fps=rate)


def _typical_interval(times: np.ndarray, last_s: float, start_s: float, end_s: float, rates: Sequence[float]) -> float:
    first, after = np.searchsorted(times, start_s), np.searchsorted(times, end_s, side="right")
    # How far around the range a file was read differs, but for the pictures next to it.
    for some in (times[first:after], times[max(first - 1, 0) : after + 1]):
        if len(some) > 1:
            return float(np.median(np.diff(some)))
    return last_s or 1 / (rates[0] if rates else UNSAID_FPS)


def _even_positions(steps: int, frames: int) -> np.ndarray:
    """Return `torch.linspace(0, steps - 1, frames).round()`, int64 `[frames]`, without importing torch.

    Ties fall as they do there: a 32-bit stride, and each product rounded once.
    """
    stride = np.float64(np.float32(steps - 1) / np.float32(frames - 1))
    rise = np.arange(frames)
    low, high = stride * rise, (steps - 1) - stride * (frames - 1 - rise)
    return np.round(np.where(rise < frames // 2, low, high).astype(np.float32)).astype(np.int64)
