"""Pictures of a clip: frames of the described scene at any times, and which token shows what."""

import numpy as np
from numpy.typing import NDArray

from seats.nano.vocabulary import COLOURS
from seats.nano.world import FRAME_SIZE, POST_HALF_WIDTH, ClipDescription, ShapeObject

TOKEN_SIZE = 28
"""Pixels a side of one video token: a merged 2x2 group of 14-pixel patches."""
TOKENS_PER_SIDE = FRAME_SIZE // TOKEN_SIZE
NOBODY = 255
"""Owner of a pixel that shows none of the objects."""

_COORDINATES = np.arange(FRAME_SIZE, dtype=np.float32) + 0.5
_NOISE = np.random.default_rng(20240229).standard_normal((8, FRAME_SIZE, FRAME_SIZE, 1)).astype(np.float32)
_RAMP = np.clip((np.arange(FRAME_SIZE) + 0.5) / FRAME_SIZE * 3, 0, 2.999)


def render_frames(clip: ClipDescription, times: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Frames at `times` (seconds).

    Returns:
        Frames `[F, 168, 168, 3]` in RGB, and for each pixel `[F, 168, 168]` the index in `clip.objects` of the object
        seen there, or `NOBODY`.
    """
    rng = np.random.default_rng(clip.nuisances.noise_seed)
    background = _Background(clip, rng)
    frames = np.empty((len(times), FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
    owners = np.full((len(times), FRAME_SIZE, FRAME_SIZE), NOBODY, np.uint8)
    for index, time in enumerate(times):
        canvas = background.at(float(time))
        for number, item in enumerate(clip.objects):
            if item.start <= time < item.end:
                _draw_object(canvas, owners[index], item, number, float(time))
        _draw_post(canvas, owners[index], clip.post_x)
        canvas *= background.brightness(float(time))
        canvas += _NOISE[rng.integers(8)][:: rng.choice((1, -1))] * clip.nuisances.frame_noise
        np.clip(canvas, 0, 255, out=canvas)
        frames[index] = canvas
    return frames, owners


def token_owners(owners: NDArray[np.uint8], objects: int) -> NDArray[np.int64]:
    """The object that each video token shows.

    Args:
        owners: `[2 T, 168, 168]`, from `render_frames`; two frames make one temporal grid.

    Returns:
        `[T, 36]` index of the object with the largest area, or −1 where none covers more than a tenth of the token in
        the frame that shows most of it.
    """
    grids = len(owners) // 2
    cells = owners.reshape(grids, 2, TOKENS_PER_SIDE, TOKEN_SIZE, TOKENS_PER_SIDE, TOKEN_SIZE)
    best = np.full((grids, TOKENS_PER_SIDE, TOKENS_PER_SIDE), 0.1, np.float64)
    result = np.full(best.shape, -1, np.int64)
    for number in range(objects):
        shown = cells == number
        if not shown.any():
            continue
        area = shown.mean(axis=(3, 5)).max(axis=1)
        result[area > best] = number
        best = np.maximum(best, area)
    return result.reshape(grids, -1)


def degrade(frames: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """What a lossy codec does to frames, roughly: colour at half resolution, softened edges, coarse levels."""
    halved_colour, soft, coarse = rng.random() < 0.6, rng.random() < 0.3, rng.random() < 0.4
    if not (halved_colour or soft or coarse):
        return frames
    result = np.empty_like(frames)
    weight, step = np.float32(rng.uniform(0.1, 0.5)), float(rng.integers(3, 9))
    for index, frame in enumerate(frames):
        image = frame.astype(np.float32)
        if halved_colour:
            luma = image @ np.array([[0.299], [0.587], [0.114]], np.float32)
            image -= luma
            half = image.reshape(FRAME_SIZE // 2, 2, FRAME_SIZE // 2, 2, 3).mean(axis=(1, 3))
            image = luma + half.repeat(2, axis=0).repeat(2, axis=1)
        if soft:
            image[1:] += weight * (image[:-1] - image[1:])
            image[:, 1:] += weight * (image[:, :-1] - image[:, 1:])
        if coarse:
            image = np.round(image / step) * step
        result[index] = np.clip(image, 0, 255)
    return result


class _Background:
    """Everything behind the objects: shading, texture, clutter, drifting discs, and the changes of brightness."""

    def __init__(self, clip: ClipDescription, rng: np.random.Generator) -> None:
        nuisances = clip.nuisances
        self._flashes = nuisances.flash_times
        self._drift = nuisances.drift
        self._speed = nuisances.texture_speed
        tint = rng.uniform(0, 1, (4, 4, 3)) * 0.25 + rng.uniform(0, 1, (4, 4, 1)) * 0.75
        self._shade = _enlarge(tint * 70 + 45)
        grain = rng.uniform(-1, 1, (FRAME_SIZE // 4, FRAME_SIZE // 4, 1)) * nuisances.texture
        self._texture = grain.repeat(4, axis=0).repeat(4, axis=1).astype(np.float32)
        self._still = self._shade + self._texture if self._speed == (0.0, 0.0) else None
        self._patches = []
        for _ in range(nuisances.clutter):
            left, top = rng.integers(0, FRAME_SIZE - 30, 2)
            width, height = rng.integers(8, 30, 2)
            colour = (rng.uniform(30, 150) + rng.uniform(-18, 18, 3)).astype(np.float32)
            self._patches.append((slice(top, top + height), slice(left, left + width), colour))
        self._discs = [
            (rng.uniform(20, 148, 2), rng.uniform(-22, 22, 2), rng.uniform(10, 18), rng.uniform(40, 130))
            for _ in range(nuisances.discs)
        ]

    def at(self, time: float) -> NDArray[np.float32]:
        if self._still is not None:
            canvas = self._still.copy()
        else:
            shift = (int(self._speed[0] * time), int(self._speed[1] * time))
            canvas = self._shade + np.roll(self._texture, shift, axis=(0, 1))
        for rows, columns, colour in self._patches:
            canvas[rows, columns] = colour
        for place, speed, radius, level in self._discs:
            # Discs run off one edge and come back at the other.
            x, y = (place + speed * time) % (FRAME_SIZE + 40) - 20
            rows, columns, dx, dy = _window(x, y, radius)
            inside = dx * dx + dy * dy < radius * radius
            checks = np.where((np.floor(dx / 6) + np.floor(dy / 6)) % 2 == 0, level, level + 45)
            canvas[rows, columns] = np.where(inside[..., None], checks[..., None], canvas[rows, columns])
        return canvas

    def brightness(self, time: float) -> np.float32:
        gain = 1.0 + self._drift * np.sin(1.7 * time)
        if any(0 <= time - flash < 0.25 for flash in self._flashes):
            gain *= 1.25
        return np.float32(gain)


def _enlarge(corners: NDArray[np.float64]) -> NDArray[np.float32]:
    """`[4, 4, 3]` to `[168, 168, 3]`, bilinear."""
    low = _RAMP.astype(int)
    part = (_RAMP - low)[:, None]
    rows = corners[low] * (1 - part[..., None]) + corners[low + 1] * part[..., None]
    part = part[None]
    return (rows[:, low] * (1 - part) + rows[:, low + 1] * part).astype(np.float32)


def _window(x: float, y: float, radius: float) -> tuple[slice, slice, NDArray, NDArray]:
    """The pixels within `radius` of (x, y): row and column slices, and each pixel's distance from the centre."""
    left, right = (int(min(max(edge, 0), FRAME_SIZE)) for edge in (x - radius - 1, x + radius + 2))
    top, bottom = (int(min(max(edge, 0), FRAME_SIZE)) for edge in (y - radius - 1, y + radius + 2))
    dx = np.broadcast_to(_COORDINATES[None, left:right] - np.float32(x), (bottom - top, right - left))
    dy = np.broadcast_to(_COORDINATES[top:bottom, None] - np.float32(y), (bottom - top, right - left))
    return slice(top, bottom), slice(left, right), dx, dy


def _draw_object(
    canvas: NDArray[np.float32], owner: NDArray[np.uint8], item: ShapeObject, number: int, time: float
) -> None:
    x, y = item.position(time)
    rows, columns, dx, dy = _window(x, y, item.radius)
    mask = shape_mask(item.shape, dx / item.radius, dy / item.radius)
    canvas[rows, columns][mask] = np.array(COLOURS[item.colour], np.float32) * np.float32(item.gain)
    owner[rows, columns][mask] = number


def shape_mask(shape: str, x: NDArray, y: NDArray) -> NDArray[np.bool_]:
    """Where a shape of radius 1 around the origin covers the points (x, y); y grows downwards."""
    ax, ay = np.abs(x), np.abs(y)
    if shape == "circle":
        return x * x + y * y < 1
    if shape == "square":
        return np.maximum(ax, ay) < 0.86
    if shape == "triangle":
        return (y < 0.8) & (y > -1 + 1.85 * ax)
    if shape == "cross":
        return (np.minimum(ax, ay) < 0.3) & (np.maximum(ax, ay) < 1)
    if shape == "ring":
        squared = x * x + y * y
        return (squared < 1) & (squared > 0.3)
    # star: five points, the radius of its edge is a zigzag in the angle
    angle = np.arctan2(x, -y) * (5 / (2 * np.pi))
    zigzag = np.abs(angle - np.round(angle)) * 2
    return np.hypot(x, y) * (1 + 1.5 * zigzag) < 1.08


def _draw_post(canvas: NDArray[np.float32], owner: NDArray[np.uint8], post_x: float) -> None:
    left = round(post_x) - POST_HALF_WIDTH
    columns = slice(left, left + 2 * POST_HALF_WIDTH)
    stripes = np.where((np.arange(FRAME_SIZE) // 7) % 2 == 0, 235.0, 15.0).astype(np.float32)
    canvas[:, columns] = stripes[:, None, None]
    owner[:, columns] = NOBODY
