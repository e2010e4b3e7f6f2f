"""A clip with the mask burnt in: the moving pictures, the patches that left veiled, the sound with its tokens below,
and a key to the veils."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from seats.errors import MediaError, SettingsError
from seats.files import MARK, replacing
from seats.media import Audio, Clip, FrameSampling, Video
from seats.media.container import Deadline, check_file
from seats.media.video import load_shown
from seats.view.letters import written
from seats.view.pictures import spectrogram
from seats.view.shade import shade_picture, shades
from seats.view.token_map import TokenMap
from seats.view.words import in_file

_PIECE_S = 8.0
"""Seconds of pictures decoded at a time, so that memory stays small."""
_MOST_FPS, _STILL_FPS = 30, 10
_WIDTH, _MOST_HEIGHT, _SOUND_HEIGHT, _GAP = 640, 720, 72, 8
_LEAST_WIDTH = 240
"""Of a panel however narrow its pictures, for the name and the key to be read."""
_BACKGROUND, _INK = 16, 225
LINE = 24
"""Height of a line of text, pixels: the method's name above its pictures, and the key below."""
_SWATCH = 20


def check_film(path: Path) -> None:
    """Raise SettingsError if a film can't be written to this file: not an .mp4, or no H.264 encoder."""
    if path.suffix.lower() != ".mp4":
        raise SettingsError(f"{path}: a film's name must end in .mp4")
    if "libx264" not in av.codecs_available:
        raise SettingsError("this build of av has no H.264 encoder (libx264): reinstall av from its wheel")


def write_film(maps: Sequence[TokenMap], path: Path) -> None:
    """Write an mp4 of the clip, the methods beside each other, with the clip's sound.

    The pictures come from the file at its own rate, up to 30 a second; each is veiled as the nearest temporal grid.
    Raises SettingsError, MediaError if the clip's file is gone, or OSError if the film cannot be written.
    """
    check_film(path)
    clip = maps[0].clip
    fps = _rate(clip)
    panels = [_Panel(seen) for seen in maps]
    width = sum(panel.width for panel in panels) + _GAP * (len(panels) - 1)
    height = max(panel.height for panel in panels)
    faststart = {"movflags": "+faststart"}
    with replacing(path) as beside, av.open(str(beside), "w", format="mp4", options=faststart) as out:
        out.metadata["comment"] = MARK
        stream: Any = out.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        stream.options = {"crf": "20", "preset": "veryfast"}
        sound = None if clip.audio is None else _Sound(out, clip.audio)
        sheet = np.full((stream.height, stream.width, 3), _BACKGROUND, dtype=np.uint8)
        for number, (time, picture) in enumerate(_pictures(maps[0], fps)):
            x = 0
            for panel in panels:
                sheet[: panel.height, x : x + panel.width] = panel.at(time, picture)
                x += panel.width + _GAP
            frame = av.VideoFrame.from_ndarray(sheet, "rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts, frame.time_base = number, Fraction(1) / fps
            out.mux(stream.encode(frame))
            if sound is not None:
                sound.write_until(time)
        out.mux(stream.encode(None))
        if sound is not None:
            sound.write_until(math.inf)


def _rate(clip: Clip) -> Fraction:
    if clip.video is None or not math.isfinite(clip.video.source_fps):
        return Fraction(_STILL_FPS)
    rate = min(max(clip.video.source_fps, clip.video.fps, _STILL_FPS), _MOST_FPS)
    return Fraction(rate).limit_denominator(1001)


def _pictures(seen: TokenMap, fps: Fraction) -> Iterator[tuple[float, np.ndarray | None]]:
    """Time (seconds from the clip's start) and picture uint8 `[H, W, 3]` of each of the film's frames; None for a clip
    without pictures."""
    clip, total = seen.clip, max(1, round(seen.seconds * fps))
    if clip.video is None:
        for number in range(total):
            yield float(number / fps), None
        return
    height, width = clip.video.pixels.shape[2:]
    sampling = FrameSampling(factor=2, min_pixels=4, max_pixels=height * width, total_pixels=2**62)
    deadline = Deadline(None, clip.path)
    last = clip.video.pixels[0].cpu().numpy().transpose(1, 2, 0)
    a_piece = math.ceil(_PIECE_S * fps)
    for first in range(0, total, a_piece):
        times = np.arange(first, min(total, first + a_piece)) / float(fps)
        check_file(clip.path)
        try:
            piece = load_shown(clip.path, clip.start_s + times, sampling, deadline)
        except MediaError:
            piece = None  # the sound goes on after the last picture that can be decoded
        for number, time in enumerate(times.tolist()):
            if piece is not None and number < len(piece):
                last = piece[number].numpy().transpose(1, 2, 0)
            yield time, last


def _changes(video: Video, grids: int) -> np.ndarray:
    """When another grid begins to be the nearest, float64 `[grids - 1]`, seconds from the clip's start."""
    # A picture that stays on the screen was taken several times, which all have the time at which it came.
    came, first = np.unique(video.times, return_index=True)
    came[0] = 0.0  # the first one stands in before it comes, or was there already
    taken, end = len(video.times), max(len(video.times) / video.fps, came[-1])
    times = np.interp(np.arange(taken), [*first, taken], [*came, end]).reshape(grids, -1)
    return (times[:-1, -1] + times[1:, 0]) / 2


class _Panel:
    """One method's part of the film."""

    def __init__(self, seen: TokenMap) -> None:
        self.seen = seen
        self.kinds = shades(seen.moments)
        self.width, self.picture_width, self.picture_height = _WIDTH, 0, 0
        if seen.clip.video is not None:
            height, width = seen.clip.video.pixels.shape[2:]
            scale = min(_WIDTH / width, _MOST_HEIGHT / height)
            self.picture_width, self.picture_height = round(width * scale / 2) * 2, round(height * scale / 2) * 2
            self.width = max(self.picture_width, _LEAST_WIDTH)
        if seen.clip.video is not None and seen.grid is not None:
            self.changes = _changes(seen.clip.video, seen.grid[0])
        self.sound = self._sound_strip() if seen.audio is not None else None
        # A film's own clock begins at 0.
        name = seen.name + (f", from {in_file(seen.start, 1.0)}" if seen.start else "")
        parts = [_line(self.width, f"{name}: {'veiled is what has left' if seen.moments else 'every token stays'}")]
        if self.picture_height:
            parts.append(_blank(self.picture_height, self.width))
        if self.sound is not None:
            parts += [_blank(_GAP, self.width), self.sound]
        self.sound_top = sum(map(len, parts)) - _SOUND_HEIGHT
        self.still = np.concatenate([*parts, *self._key()])
        self.height = len(self.still)

    def at(self, time: float, picture: np.ndarray | None) -> np.ndarray:
        """The panel at a time, uint8 `[height, width, 3]`."""
        panel = self.still.copy()
        seen = self.seen
        if picture is not None and seen.video is not None and seen.grid is not None:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            large = frame.reformat(self.picture_width, self.picture_height, interpolation="BICUBIC").to_ndarray()
            grid = int(np.searchsorted(self.changes, time))
            left = seen.video.left.reshape(seen.grid)[grid]
            bottom = LINE + self.picture_height
            panel[LINE:bottom, : self.picture_width] = shade_picture(large, left, self.kinds)
        if self.sound is not None:
            x = min(int(time / max(seen.seconds, 1e-6) * self.width), self.width - 2)
            panel[self.sound_top : self.sound_top + _SOUND_HEIGHT, x : x + 2] = 255
        return panel

    def _key(self) -> Iterator[np.ndarray]:
        """Lines `[LINE, width, 3]` that say what each veil means, two to a line where they fit."""
        grey = np.full((LINE - 6, _SWATCH, 3), 128, dtype=np.uint8)
        entries = []
        for number, moment in enumerate(self.seen.moments):
            swatch = shade_picture(grey, np.array([[number]]), self.kinds)
            entries.append((swatch, moment.label))
        columns = 2 if self.width >= 600 else 1
        for first in range(0, len(entries), columns):
            line = _blank(LINE, self.width)
            for place, (swatch, label) in enumerate(entries[first : first + columns]):
                x = place * self.width // columns
                line[3:-3, x : x + _SWATCH] = swatch
                _write(line, x + _SWATCH + 6, label, (place + 1) * self.width // columns)
            yield line

    def _sound_strip(self) -> np.ndarray:
        """The whole clip's spectrogram with its tokens shaded, uint8 `[_SOUND_HEIGHT, width, 3]`."""
        audio, tokens = self.seen.clip.audio, self.seen.audio
        assert audio is not None
        assert tokens is not None
        grey = spectrogram(audio.waveform, self.seen.answer.model.mel, 4 * self.width)
        wide = max(1, round(self.width * audio.seconds / max(self.seen.seconds, 1e-6)))
        frame = av.VideoFrame.from_ndarray(np.repeat(grey[:, :, None], 3, axis=2).copy(), "rgb24")
        small = frame.reformat(wide, _SOUND_HEIGHT, interpolation="AREA").to_ndarray()
        strip = np.full((_SOUND_HEIGHT, self.width, 3), _BACKGROUND, dtype=np.uint8)
        strip[:, :wide] = shade_picture(small, tokens.left[None], self.kinds)[:, : self.width]
        return strip


def _blank(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _BACKGROUND, dtype=np.uint8)


def _line(width: int, text: str) -> np.ndarray:
    line = _blank(LINE, width)
    _write(line, 6, text, width)
    return line


def _write(line: np.ndarray, x: int, text: str, end: int) -> None:
    """Put text on a line from column `x`, cut at column `end`; smaller where it is too long."""
    ink = written(text)
    if ink.shape[1] > end - x:
        ink = written(text, 1)
    ink = ink[:, : end - x]
    y = (len(line) - len(ink)) // 2
    line[y : y + len(ink), x : x + ink.shape[1]][ink] = _INK


class _Sound:
    """The film's sound track, written as the pictures go on, so that both lie side by side in the file."""

    def __init__(self, out: Any, audio: Audio) -> None:
        self.out, self.audio, self.written = out, audio, 0
        self.stream = out.add_stream("aac", rate=audio.sample_rate, layout="mono")

    def write_until(self, time: float) -> None:
        """Go on up to a time in seconds; infinity ends the track."""
        samples, rate = self.audio.waveform, self.audio.sample_rate
        while self.written < min(len(samples), time * rate):
            piece = np.ascontiguousarray(samples[None, self.written : self.written + 1024])
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), self.written
            self.out.mux(self.stream.encode(frame))
            self.written += piece.shape[1]
        if math.isinf(time):
            self.out.mux(self.stream.encode(None))
