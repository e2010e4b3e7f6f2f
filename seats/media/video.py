"""The pictures of a clip: only the chosen frames are converted, resized and kept."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av.error
import numpy as np

from seats.errors import MediaError
from seats.host import usable_cpus
from seats.media import container as media
from seats.media.clip import Video
from seats.media.pictures import header_notes, no_picture, orientation, other_matrix, resize, to_rgb
from seats.media.reading import Arriving
from seats.media.sampling import FrameSampling, frame_size, shown_size
from seats.media.timeline import STEPS_BACK_S, Choice, Timeline, choose_frames, choose_shown, read_timeline

if TYPE_CHECKING:
    import torch

# Decoders in FFmpeg that leave out frames nobody refers to when told so, and stay exact.
_CAN_SKIP = {"h264", "hevc"}
# Decoders that a keyframe starts anew, as they hold back no picture for another one to go before it. Emptied all the
# same, FFmpeg's for VP9 ends the process where that keyframe is damaged.
_NEEDS_NO_FLUSH = {"vp8", "vp9"}
# A run of unneeded packets this short is decoded: starting the decoder's threads again would cost more.
_SHORT_RUN = 16
_RESIZING_THREADS = 8
# Of all pictures that are being resized or wait for it, at the source's size: about 150 MB in YUV and RGB.
_RESIZING_PIXELS = 32_000_000
# Where pictures are refreshed bit by bit, decoders give none for some seconds (x264: 250 pictures) behind a keyframe.
_REFRESHED_S = 20.0
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}


class _NotExactError(Exception):
    """A chosen frame did not come out of the decoder while packets were being left out."""


def load_video(
    path: Path,
    start_s: float,
    end_s: float,
    sampling: FrameSampling,
    deadline: media.Deadline,
    arriving: Arriving | None = None,
) -> tuple[Video | None, list[str], float]:
    """Take the frames of a file's video stream between two times; seconds from the file's start.

    Args:
        arriving: Told of the frames as they come.

    Returns:
        The video (None if no picture is shown in the range), notes for the user, and the time at which the
        pictures read so far end (seconds from the file's start, 0 if there are none).

    Raises:
        MediaError: Nothing can be decoded, or the time is up.
    """

    def choose(timeline: Timeline) -> Choice | None:
        return choose_frames(
            timeline.times,
            timeline.last_s,
            start_s=start_s,
            end_s=end_s,
            sampling=sampling,
            rates=timeline.rates,
        )

    return _loaded(path, start_s, end_s, choose, sampling, deadline, arriving)


def load_shown(path: Path, times: np.ndarray, sampling: FrameSampling, deadline: media.Deadline) -> torch.Tensor | None:
    """Take the picture that is on the screen at each of some times; None if there is none.

    Args:
        times: float64 `[F]`, rising, seconds from the file's start. Before the first picture the first one stands in.
        sampling: The pictures' size.

    Returns:
        uint8 `[F, 3, H, W]`; fewer where the rest cannot be decoded.

    Raises:
        MediaError: Nothing can be decoded, or the time is up.
    """
    start_s, end_s = float(times[0]), float(times[-1])
    video, _, _ = _loaded(path, start_s, end_s, lambda timeline: choose_shown(timeline, times), sampling, deadline)
    return None if video is None else video.pixels


def _loaded(
    path: Path,
    start_s: float,
    end_s: float,
    choose: Callable[[Timeline], Choice | None],
    sampling: FrameSampling,
    deadline: media.Deadline,
    arriving: Arriving | None = None,
    *,
    leave_out: bool = True,
) -> tuple[Video | None, list[str], float]:
    """Do the work of `load_video` with frames chosen by a function. leave_out: as in `_decode`, where that is exact."""
    steps_back_s = STEPS_BACK_S if leave_out else (_REFRESHED_S,)
    timeline = read_timeline(path, start_s, end_s, deadline, steps_back_s)
    choice = choose(timeline)
    read_until = float(timeline.times[-1]) + timeline.last_s if len(timeline.times) else 0.0
    if choice is None:
        return None, timeline.notes, read_until
    try:
        with _Frames(path, choice, timeline, sampling, arriving) as frames:
            _decode(path, timeline, frames, deadline, leave_out=leave_out and timeline.timestamped)
    except _NotExactError:
        return _loaded(path, start_s, end_s, choose, sampling, deadline, arriving, leave_out=False)
    if frames.transparent:
        frames.notes.append("transparent parts of the pictures are read as white")
    frames.notes.extend(timeline.notes)
    pixels, kept = frames.finish()
    times = timeline.times[choice.indices[kept]] - start_s
    if not frames.done:
        read_until = float(timeline.times[choice.indices[kept[-1]]])
        frames.notes.append(f"the pictures after {read_until:.1f} s cannot be decoded and are left out")
    if times[0] > min(1.5 / choice.source_fps, 1.0):
        frames.notes.append(f"the pictures begin {times[0]:.1f} s late; the first one stands in until then")
    video = Video(
        pixels=pixels,
        times=tuple(float(time) for time in times),
        fps=choice.fps,
        source_width=frames.width,
        source_height=frames.height,
        source_fps=choice.source_fps,
        codec=frames.codec,
    )
    return video, frames.notes, read_until


class _Frames:
    """Receives decoded frames in order of time and keeps the chosen ones, resized, while the next are decoded.

    A context: what is left to resize is done at its end, or dropped when it ends by an exception.
    """

    def __init__(
        self, path: Path, choice: Choice, timeline: Timeline, sampling: FrameSampling, arriving: Arriving | None
    ) -> None:
        distinct, self._copies = np.unique(choice.indices, return_counts=True)
        self.wanted: list[int] = timeline.ticks[distinct].tolist()
        self.taken = 0
        self.width = self.height = 0
        self.codec = ""
        self.aspect = 1.0
        self.transparent = False
        self.damaged = 0
        self.notes: list[str] = []
        self._path = path
        self._sampling = sampling
        self._arriving = arriving
        self._filled = 0
        self._turn = (False, False, False)
        self._pixels: np.ndarray | None = None
        self._pool = ThreadPoolExecutor(min(_RESIZING_THREADS, usable_cpus()), "seats-resize")
        self._at_once = 1
        self._last: tuple[Any, Future[None], np.ndarray] | None = None
        self._resizing: deque[tuple[Future[None], int]] = deque()  # with the frames that there are after each

    def __enter__(self) -> _Frames:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            while kind is None and self._resizing:
                self._wait_for_first()
        finally:
            self._pool.shutdown(cancel_futures=True)  # something is left only where something failed
            self._last = None

    @property
    def done(self) -> bool:
        return self.taken == len(self.wanted)

    def take(self, frame: Any) -> None:
        """Keep a frame as the next wanted one."""
        if self._pixels is None:
            self._pixels = self._begin(frame)
        copies = int(self._copies[self.taken])
        place = self._pixels[self._filled : self._filled + copies]
        self._filled += copies
        self.taken += 1
        if self._last is not None and frame is self._last[0]:  # PyAV's frames are not for two threads at a time
            self._last[1].result()
            place[:] = self._last[2][0]
            while self._resizing:
                self._wait_for_first()
            self._tell(self._filled)
            return
        while self._resizing and (len(self._resizing) == self._at_once or self._resizing[0][0].done()):
            self._wait_for_first()
        self._last = frame, self._pool.submit(self._keep, frame, place), place
        self._resizing.append((self._last[1], self._filled))

    def _begin(self, frame: Any) -> np.ndarray:
        """Read off the first frame how all are turned and sized; return the place for them, uint8 `[F, 3, H, W]`."""
        # asked once: a frame and its side data refer to each other, so each asked frame would stay in memory
        self._turn = orientation(frame)
        self.width, self.height = frame.width, frame.height
        if self._turn[0]:
            self.width, self.height = self.height, self.width
        self._at_once = max(1, min(2 * _RESIZING_THREADS, _RESIZING_PIXELS // (frame.height * frame.width)))
        total = int(self._copies.sum())
        shown = shown_size(self.height, self.width, self._turn[0], self.aspect)
        try:
            size = frame_size(*shown, total, self._sampling)
        except MediaError as error:
            raise MediaError(f"{self._path}: {error}") from None
        # by NumPy: a torch copy of this size starts threads, which costs more than the copy
        pixels = np.empty((total, 3, *size), dtype=np.uint8)
        if self._arriving is not None:
            self._arriving.begin(pixels)
        matrix = other_matrix(frame)
        if matrix is not None:
            self.notes.append(
                f"the video's colours are stored in an unusual way (matrix {matrix}) and may be read wrong"
            )
        if transfer := _HDR_TRANSFERS.get(frame.color_trc):
            self.notes.append(f"the video is HDR ({transfer}); its colours are read without tone mapping")
        return pixels

    def _wait_for_first(self) -> None:
        """Wait for the first of those that are being resized."""
        resizing, count = self._resizing.popleft()
        resizing.result()
        self._tell(count)

    def _tell(self, count: int) -> None:
        if self._arriving is not None:
            self._arriving.reach(count)

    def _keep(self, frame: Any, place: np.ndarray) -> None:
        """Fill `place`, uint8 `[copies, 3, H, W]`, with a frame."""
        transpose, flip_x, flip_y = self._turn
        height, width = place.shape[2:]
        # turning the small picture is cheaper than turning the large one, and gives the same
        rgb, transparent = to_rgb(frame, self._path)
        self.transparent |= transparent
        small = resize(rgb, *((width, height) if transpose else (height, width)))
        if transpose:
            small = small.transpose(0, 2, 1)
        place[:] = small[:, :: -1 if flip_y else 1, :: -1 if flip_x else 1]

    def finish(self) -> tuple[torch.Tensor, np.ndarray]:
        """Return the frames `[F, 3, H, W]` and, int64 `[F]`, which of the chosen each is; F is even, by dropping the
        last or repeating the only one."""
        import torch

        if self._pixels is None:
            raise MediaError(f"{self._path}: {no_picture(self.codec)}")
        kept = np.minimum(np.arange(max(self._filled - self._filled % 2, 2)), self._filled - 1)
        return torch.from_numpy(self._pixels if self.done else self._pixels[kept]), kept


def _decode(path: Path, timeline: Timeline, frames: _Frames, deadline: media.Deadline, *, leave_out: bool) -> None:
    """Decode until `frames` has what it wants or the file ends.

    With `leave_out`, packets that no wanted frame depends on are not decoded; then every wanted frame must
    come out with its very timestamp, else _NotExactError is raised.
    """
    first = None
    with media.open_media(path, deadline) as container:
        stream = media.video_streams(container)[0]
        media.need_decoder(stream, path, "video")
        stream.thread_type = "AUTO"
        frames.codec = stream.codec_context.name
        frames.aspect = media.pixel_aspect(container, stream)
        frames.notes.extend(header_notes(stream, frames.aspect))
        if timeline.sought_s is not None:
            media.seek_to(container, stream, timeline.sought_s)
        if leave_out:
            produced = _needed_frames(container, stream, timeline, frames, deadline)
        else:
            produced = _all_frames(container, stream, frames, deadline)
        previous = None
        for number, frame in enumerate(produced):
            tick = frame.pts if timeline.timestamped else number
            if tick is None or tick in timeline.wild:
                continue
            while not frames.done and tick > frames.wanted[frames.taken]:
                if leave_out:
                    raise _NotExactError
                first = tick if previous is None else first
                frames.take(frame if previous is None else previous)
            if not frames.done and tick == frames.wanted[frames.taken]:
                frames.damaged += frame.is_corrupt
                frames.take(frame)
            if frames.done:
                break
            previous = frame
    if leave_out and not frames.done:
        raise _NotExactError
    if first is not None:
        at = int(np.searchsorted(timeline.ticks, first))  # of a damaged file it may be behind all of them
        first_s = float(timeline.times[min(at, len(timeline.times) - 1)])
        frames.notes.append(f"the pictures before {first_s:.1f} s cannot be decoded; the first behind them stands in")
    if frames.damaged:
        frames.notes.append(f"{frames.damaged} damaged picture{'s' * (frames.damaged > 1)} skipped or repaired")


def _all_frames(container: Any, stream: Any, frames: _Frames, deadline: media.Deadline) -> Iterator[Any]:
    for packet in media.packets(container, stream, deadline):
        yield from _decoded(stream, packet, frames)
    yield from _decoded(stream, None, frames)


def _needed_frames(
    container: Any, stream: Any, timeline: Timeline, frames: _Frames, deadline: media.Deadline
) -> Iterator[Any]:
    needed = needed_packets(timeline, frames.wanted)
    last = int(np.flatnonzero(needed)[-1])
    context = stream.codec_context
    skips, is_wanted = context.name in _CAN_SKIP, set(frames.wanted)
    running = False
    for index, packet in enumerate(media.packets(container, stream, deadline)):
        if index > last:
            break
        if needed[index]:
            running = True
            if skips:
                context.skip_frame = "DEFAULT" if packet.pts in is_wanted else "NONREF"
            yield from _decoded(stream, packet, frames)
        elif running:
            running = False
            if context.name not in _NEEDS_NO_FLUSH:
                yield from _decoded(stream, None, frames)
                context.flush_buffers()
    yield from _decoded(stream, None, frames)


def needed_packets(timeline: Timeline, wanted: list[int]) -> np.ndarray:
    """Return bool `[P]`: the packets to decode for the wanted timestamps.

    For each these run from the last keyframe that precedes it both in the file and on the screen (pictures
    that follow a keyframe in the file but are shown before it may depend on the keyframe before) to its own
    packet.
    """
    ticks, keys = timeline.packet_ticks, np.flatnonzero(timeline.packet_keys).tolist()
    needed = np.zeros(len(ticks), dtype=bool)
    order = np.argsort(ticks, kind="stable")
    indices = order[np.searchsorted(ticks[order], wanted)]
    for tick, index in zip(wanted, indices.tolist(), strict=True):
        before = reversed(range(bisect_right(keys, index)))
        begin = next((keys[at] for at in before if ticks[keys[at]] <= tick), 0)
        needed[begin : index + 1] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[True], needed, [True]]).astype(np.int8)))
    for gap_start, gap_end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if gap_end - gap_start < _SHORT_RUN and gap_end < len(needed):
            needed[gap_start:gap_end] = True
    return needed


def _decoded(stream: Any, packet: Any, frames: _Frames) -> list[Any]:
    """Decode one packet (None: what the decoder still holds), counting in `frames` what cannot be decoded."""
    try:
        return stream.codec_context.decode(packet)
    except EOFError:
        return []
    except (av.error.FFmpegError, OSError):
        frames.damaged += 1
        return []
