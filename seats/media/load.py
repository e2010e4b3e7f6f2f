"""A file on disk becomes a `Clip`: the public way in."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from seats.checks import check_flag, check_kind, check_number
from seats.errors import MediaError, SettingsError
from seats.media import container as media
from seats.media.audio import load_audio
from seats.media.clip import Audio, Clip, Video
from seats.media.endings import Promise, allowance, early_end_note, missed_end
from seats.media.probe import count_duration, stream_notes, streams_of
from seats.media.reading import Arriving, ReadingClip
from seats.media.sampling import FrameSampling
from seats.media.video import load_video

_T = TypeVar("_T")
_SHORTEST_PICTURE_S = 1e-3
# Sound and pictures of one recording rarely end at the same moment, seconds.
_UNEQUAL_S = 1.0


def load_clip(
    path: str | os.PathLike[str],
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    sampling: FrameSampling | None = None,
    use_video: bool = True,
    use_audio: bool = True,
    timeout_s: float | None = None,
    arriving: Arriving | None = None,
) -> Clip:
    """Read a clip: sampled, resized frames and the sound at 16 kHz, on one clock that begins at `start_s`.

    Pictures and sound are decoded at the same time and streamed, so that memory holds what is returned plus a
    few source frames, however long the file is. What could not be read as asked is said in the clip's notes.

    Args:
        path: A video or sound file in any format that FFmpeg's libraries read.
        start_s: Where to begin, seconds from the file's start, >= 0; None for the start.
        end_s: Where to end, seconds from the file's start, > `start_s`; None for the file's end.
        sampling: Which frames to take and their size: `sampling` of the model that will be asked. None is the rule of
            qwen-omni-utils, which the published Qwen2.5-Omni models have.
        use_video, use_audio: Whether to read the pictures and the sound; at least one.
        timeout_s: Give up after this many seconds, > 0; None for no limit.
        arriving: Told of the frames and the sound as they come (see `read_clip`).

    Raises:
        MediaError: The file cannot be read, has nothing in the asked range, or takes too long.
        SettingsError: The range, the limit or the choice of streams makes no sense, or an argument has another type.
    """
    check_kind("the clip", path, (str, os.PathLike), "a path, as text or pathlib.Path")
    path = Path(path)
    start_s, end_s, timeout_s = (
        None if seconds is None else check_number(what, seconds)
        for what, seconds in (("start_s", start_s), ("end_s", end_s), ("timeout_s", timeout_s))
    )
    if sampling is not None:
        check_kind("sampling", sampling, FrameSampling, "a seats.media.FrameSampling")
    start = checked_range(start_s, end_s)
    check_used(use_video, use_audio)
    deadline = media.Deadline(timeout_s, path)
    media.check_file(path)
    with media.open_media(path, deadline) as container:
        videos, audios = streams_of(path, container)
        used = [*(videos[:1] if use_video else []), *(audios[:1] if use_audio else [])]
        promise = Promise.of(path, container, used)
    if not used:
        missing, other = ("video", "sound") if use_video else ("sound", "video")
        raise MediaError(f"{path}: has no {missing}, and its {other} is not to be used; allow the {other}")
    notes = stream_notes(len(videos), len(audios), use_video, use_audio)
    duration = promise.file_s if promise.file_s is not None else count_duration(path, deadline)
    check_start(path, start, duration, deadline)
    end = math.inf if end_s is None else end_s
    video, audio, more, ends = _decode_both(
        path,
        start,
        end,
        sampling or FrameSampling(),
        bool(videos) and use_video,
        bool(audios) and use_audio,
        deadline,
        arriving,
    )
    notes += more
    read_until = max(ends.values())
    if video is None and audio is None:
        raise MediaError(f"{path}: nothing can be read between {start:g} s and {until(end)}; check the range and file")
    if duration is None or read_until > duration:
        duration = read_until
    last = min(end, duration)
    allowed = _allowance(video, audio, ends["video"] - start)
    notes += _early_ends(ends, promise.streams_s, min(last, read_until), allowed) if video and audio else []
    promised = missed_end(path, promise, read_until, end, allowed, deadline)
    if promised is not None:
        notes.append(early_end_note(read_until, promised))
    elif math.isfinite(end) and end - duration > 0.05:
        notes.append(f"asked up to {end:g} s; the file ends at {duration:.2f} s")
    if last - read_until > allowed:  # it was cut off, or some other stream is the longest
        last = read_until
    return Clip(
        path=path,
        start_s=start,
        end_s=max(last, start),
        duration_s=duration,
        video=video,
        audio=audio,
        notes=tuple(notes),
    )


def read_clip(path: str | os.PathLike[str], **settings: Any) -> ReadingClip:
    """Begin to read a clip on a thread; `settings` and what `result` raises are those of `load_clip`.

    A model on a GPU may be given it in place of the clip: then sound and frames are encoded while the next are decoded.
    """
    return ReadingClip(lambda arriving: load_clip(path, **settings, arriving=arriving))


def check_used(use_video: bool, use_audio: bool) -> None:
    """Raise SettingsError where neither the pictures nor the sound are to be used, or it is not said which are."""
    check_flag("use_video", use_video)
    check_flag("use_audio", use_audio)
    if not use_video and not use_audio:
        raise SettingsError("neither video nor sound is to be used; allow one of them")


def checked_range(start_s: float | None, end_s: float | None) -> float:
    """The start, seconds from the file's, 0 for None. Raises SettingsError for times that make no range."""
    start = 0.0 if start_s is None else start_s
    if not math.isfinite(start) or start < 0:
        raise SettingsError(f"the start is {start:g} s; it must be 0 or later")
    if end_s is not None and not end_s > start:
        raise SettingsError(f"the end ({end_s:g} s) is not after the start ({start:g} s); choose a later end")
    return start


def check_start(path: Path, start_s: float, duration_s: float | None, deadline: media.Deadline | None = None) -> None:
    """Raise MediaError where a file ends before the start. duration_s: what its header says, seconds, None for nothing;
    it is not believed without a look at the packets."""
    if duration_s is None or start_s < duration_s:
        return
    duration_s = max(duration_s, count_duration(path, deadline or media.Deadline(None, path)) or 0.0)
    if start_s >= duration_s:
        raise MediaError(
            f"{path}: lasts {duration_s:.2f} s, so nothing begins at {start_s:g} s; choose an earlier start"
        )


def _allowance(video: Video | None, audio: Audio | None, video_until: float) -> float:
    """`allowance` of what was read. video_until: when the pictures end, seconds from the clip's start."""
    unsaid = video is not None and video_until <= video.times[-1] + _SHORTEST_PICTURE_S
    rate = None if audio is None else audio.source_rate
    return allowance(rate, 1 / video.source_fps if video is not None and unsaid else None)


def _early_ends(ends: dict[str, float], promised: dict[str, float | None], end_s: float, allowed: float) -> list[str]:
    """Say which of pictures and sound ends well before the clip, or before the header says and so before the clip."""
    notes = []
    for kind, at in ends.items():
        said = min(promised.get(kind) or 0.0, end_s)
        if end_s - at > _UNEQUAL_S or said - at > allowed:
            what = "pictures end" if kind == "video" else "sound ends"
            notes.append(f"the {what} at {at:.1f} s, the clip at {end_s:.1f} s")
    return notes


def _decode_both(
    path: Path,
    start_s: float,
    end_s: float,
    sampling: FrameSampling,
    with_video: bool,
    with_audio: bool,
    deadline: media.Deadline,
    arriving: Arriving | None,
) -> tuple[Video | None, Audio | None, list[str], dict[str, float]]:
    """Decode sound on a second thread while this one decodes pictures; one failing leaves the other.

    Returns:
        Both, notes, and by "video" and "audio" when what was read of it ends, seconds from the file's start.
    """
    notes: list[str] = []
    errors: list[MediaError] = []
    video: Video | None = None
    audio: Audio | None = None
    video_until = audio_until = 0.0
    span = f"between {start_s:g} s and {until(end_s)}"
    sound: Future[tuple[Audio | None, list[str], float]] | None = None

    def hear() -> tuple[Audio | None, list[str], float]:
        loaded = load_audio(path, start_s, end_s, deadline)
        if arriving is not None and loaded[0] is not None:
            arriving.hear(loaded[0])
        return loaded

    if with_audio:
        sound = _on_a_thread(hear)
    if with_video:
        try:
            video, notes, video_until = load_video(path, start_s, end_s, sampling, deadline, arriving)
            if video is None:
                notes.append(f"no picture is shown {span}")
        except MediaError as error:
            errors.append(error)
        except BaseException:
            deadline.cancel()  # an interrupt need not wait for the sound
            raise
    if sound is not None:
        try:
            audio, more, audio_until = sound.result()
            notes += more if audio is not None else [*more, f"there is no sound {span}"]
        except MediaError as error:
            errors.append(error)
        except BaseException:
            deadline.cancel()
            raise
    deadline.check()
    if errors and video is None and audio is None:
        raise errors[0]
    notes += [str(error).removeprefix(f"{path}: ") for error in errors]
    return video, audio, notes, {"video": video_until, "audio": audio_until}


def _on_a_thread(work: Callable[[], _T]) -> Future[_T]:
    """What `work` returns or raises; its thread ends with the process, which one of an executor would keep."""
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # told to whoever asks for the result
            future.set_exception(error)

    Thread(target=run, daemon=True, name="seats-audio").start()
    return future


def until(end_s: float) -> str:
    """The end of a range in words, seconds from the file's start."""
    return "its end" if math.isinf(end_s) else f"{end_s:g} s"
