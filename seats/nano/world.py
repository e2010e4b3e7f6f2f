"""What happens in a clip of the shapes-and-sounds world.

A `ClipDescription` says everything that is seen and heard. The same description is rendered to training tensors
and to real files, and the questions and their answers are read off it. It is drawn from a seed, on the CPU, and is
the same on every machine.

Time is cut into whole seconds, as one temporal grid of video tokens is one second. In one second at most one object
appears and at most one sound is heard, so that "as the beep is heard" and "the star appears" have one meaning.
"""

import hashlib
import random
from dataclasses import dataclass, replace
from typing import Literal

from seats.nano.vocabulary import COLOUR_NAMES, SHAPES, SOUNDS

Split = Literal["train", "practice", "validation", "test", "sample"]
FRAME_SIZE = 168
"""Width and height of a frame, pixels: 6 by 6, so 36 video tokens for each second."""
POST_HALF_WIDTH = 4
"""Half the width of the landmark, pixels."""
_ZONES = [(side, row) for side in ("left", "right") for row in ("upper", "lower")]
"""Quarters of the picture: left or right of the post, upper or lower half."""


@dataclass(frozen=True)
class ShapeObject:
    """A coloured shape that moves in a straight line. Places in pixels, times in seconds.

    `first_second` and `last_second` are the whole seconds in which it is visible; `start` and `end` are the exact
    times, inside these seconds.
    """

    shape: str
    colour: str
    radius: float
    first_second: int
    last_second: int
    start: float
    end: float
    x_start: float
    y_start: float
    x_end: float
    y_end: float
    gain: float

    def position(self, time: float) -> tuple[float, float]:
        """Centre (x, y) at `time`, in pixels."""
        part = (time - self.start) / (self.end - self.start)
        part = min(max(part, 0.0), 1.0)
        return (
            self.x_start + part * (self.x_end - self.x_start),
            self.y_start + part * (self.y_end - self.y_start),
        )


@dataclass(frozen=True)
class SoundEvent:
    """One sound inside one whole second. Times in seconds, amplitude 0 to 1, pitch as a factor around 1."""

    kind: str
    second: int
    start: float
    duration: float
    amplitude: float
    pitch: float


@dataclass(frozen=True)
class Nuisances:
    """What is in the picture and in the sound that no question is about."""

    noise_seed: int
    texture: float
    texture_speed: tuple[float, float]
    frame_noise: float
    clutter: int
    discs: int
    flash_times: tuple[float, ...]
    drift: float
    hiss_level: float
    hum_level: float
    music_level: float
    thump_times: tuple[float, ...]


@dataclass(frozen=True)
class ClipDescription:
    """One clip: `seconds` long, objects by order of appearance, sounds by order of time."""

    name: str
    seconds: int
    objects: tuple[ShapeObject, ...]
    sounds: tuple[SoundEvent, ...]
    post_x: float
    nuisances: Nuisances
    source_fps: float
    has_video: bool = True
    has_audio: bool = True


def seed_of(split: Split, index: int) -> int:
    """Seed of clip `index` of a split: a 64-bit hash of both, so that splits cannot share a seed by counting."""
    digest = hashlib.sha256(f"shapes-and-sounds/1/{split}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


def describe_clip(
    split: Split,
    index: int,
    seconds: int | None = None,
    difficulty: float = 1.0,
    has_video: bool = True,
    has_audio: bool = True,
) -> ClipDescription:
    """Draw clip `index` of `split`.

    Args:
        seconds: 4 to 10; drawn from the seed when None.
        difficulty: 0 (few objects, few sounds, a quiet picture) to 1 (crowded, as in the test set).
    """
    rng = random.Random(seed_of(split, index))
    if seconds is None:
        seconds = rng.choice((4, 5, 6, 6, 7, 8, 8, 9, 10))
    post_x = rng.uniform(54.0, FRAME_SIZE - 54.0)
    return ClipDescription(
        name=f"{split}-{index:06d}",
        seconds=seconds,
        objects=_draw_objects(rng, seconds, post_x, difficulty) if has_video else (),
        sounds=_draw_sounds(rng, seconds, difficulty) if has_audio else (),
        post_x=post_x,
        nuisances=_draw_nuisances(rng, seconds, difficulty),
        source_fps=rng.choice((12.0, 15.0, 20.0, 24.0, 25.0, 30.0)),
        has_video=has_video,
        has_audio=has_audio,
    )


def describe_practice_clip(index: int, seconds: int) -> ClipDescription:
    """A clip to train the encoders on: each second new objects in all four quarters of the picture.

    It breaks the rule that one object appears at a time, so no question can be asked about it.
    """
    clip = describe_clip("practice", index, seconds)
    rng = random.Random(seed_of("practice", index) + 1)
    objects = []
    for second in range(seconds):
        for (side, row), (shape, colour) in zip(_ZONES, _draw_kinds(rng, 4, 1.0), strict=True):
            radius = rng.uniform(17.0, 24.0)
            x_start, y_start = _draw_place(rng, side, row, clip.post_x, radius)
            x_end, y_end = _draw_place(rng, side, row, clip.post_x, radius)
            part = rng.uniform(0.0, 0.3)
            objects.append(
                ShapeObject(
                    shape=shape,
                    colour=colour,
                    radius=radius,
                    first_second=second,
                    last_second=second,
                    start=second + rng.uniform(0.0, 0.2),
                    end=second + 1.0,
                    x_start=x_start,
                    y_start=y_start,
                    x_end=x_start + part * (x_end - x_start),
                    y_end=y_start + part * (y_end - y_start),
                    gain=rng.uniform(0.85, 1.05),
                )
            )
    return replace(clip, objects=tuple(objects))


def _draw_objects(rng: random.Random, seconds: int, post_x: float, difficulty: float) -> tuple[ShapeObject, ...]:
    most = max(2, round(seconds * (0.45 + 0.5 * difficulty * rng.uniform(0.5, 1.0))))
    at_once = 3 if difficulty > 0.5 else 2
    births = sorted(rng.sample(range(seconds), min(most, seconds)))
    kinds = _draw_kinds(rng, len(births), difficulty)
    busy: set[tuple[int, str, str]] = set()  # of each second, zones with an object
    crowd = [0] * seconds
    objects = []
    for birth, (shape, colour) in zip(births, kinds, strict=True):
        lifetime = min(rng.choice((1, 2, 2, 3)), seconds - birth)
        while lifetime and max(crowd[birth : birth + lifetime]) >= at_once:
            lifetime -= 1
        if not lifetime:
            continue
        span = range(birth, birth + lifetime)
        radius = rng.uniform(17.0, 24.0)
        free = [zone for zone in _ZONES if all((second, *zone) not in busy for second in span)]
        if not free:
            continue
        side, row = rng.choice(sorted(free))
        other = "right" if side == "left" else "left"
        crosses = lifetime >= 2 and (other, row) in free and rng.random() < 0.25
        x_start, y_start = _draw_place(rng, side, row, post_x, radius)
        x_end, y_end = _draw_place(rng, other if crosses else side, row, post_x, radius)
        start = birth + rng.uniform(0.0, 0.2)
        end = birth + lifetime - rng.uniform(0.0, 0.08)
        objects.append(
            ShapeObject(
                shape=shape,
                colour=colour,
                radius=radius,
                first_second=birth,
                last_second=birth + lifetime - 1,
                start=start,
                end=end,
                x_start=x_start,
                y_start=y_start,
                x_end=x_end,
                y_end=y_end,
                gain=rng.uniform(0.85, 1.05),
            )
        )
        for second in span:
            crowd[second] += 1
            busy.add((second, side, row))
            if crosses:
                busy.add((second, other, row))
    return tuple(objects)


def _draw_kinds(rng: random.Random, count: int, difficulty: float) -> list[tuple[str, str]]:
    """`count` different (shape, colour) pairs; in easy clips also different shapes and different colours."""
    if difficulty < 0.4 and count <= len(SHAPES):
        return list(zip(rng.sample(SHAPES, count), rng.sample(COLOUR_NAMES, count), strict=True))
    kinds: list[tuple[str, str]] = []
    while len(kinds) < count:
        kind = (rng.choice(SHAPES), rng.choice(COLOUR_NAMES))
        if kind not in kinds:
            kinds.append(kind)
    return kinds


def _draw_place(rng: random.Random, side: str, row: str, post_x: float, radius: float) -> tuple[float, float]:
    margin = radius + POST_HALF_WIDTH + 3
    if side == "left":
        x = rng.uniform(min(radius, post_x - margin), post_x - margin)
    else:
        x = rng.uniform(post_x + margin, max(FRAME_SIZE - radius, post_x + margin))
    middle = FRAME_SIZE / 2
    y = rng.uniform(radius, middle - 6) if row == "upper" else rng.uniform(middle + 6, FRAME_SIZE - radius)
    return x, y


def _draw_sounds(rng: random.Random, seconds: int, difficulty: float) -> tuple[SoundEvent, ...]:
    count = max(2, round(seconds * (0.4 + 0.45 * difficulty * rng.uniform(0.4, 1.0))))
    count = min(count, len(SOUNDS), seconds)
    kinds = rng.sample(SOUNDS, count)
    if count >= 3 and rng.random() < 0.4:
        repeated = kinds[0]
        for place in range(1, rng.choice((2, 2, 3)) if count >= 4 else 2):
            kinds[place] = repeated
        rng.shuffle(kinds)
    sounds = []
    for second, kind in zip(sorted(rng.sample(range(seconds), count)), kinds, strict=True):
        duration = rng.uniform(0.38, 0.64)
        start = second + rng.uniform(0.22, 0.9 - duration)
        sounds.append(SoundEvent(kind, second, start, duration, rng.uniform(0.12, 0.45), rng.uniform(0.88, 1.14)))
    return tuple(sounds)


def _draw_nuisances(rng: random.Random, seconds: int, difficulty: float) -> Nuisances:
    def sometimes(chance: float, low: float, high: float) -> float:
        return rng.uniform(low, high) if rng.random() < chance * difficulty else 0.0

    def moments(chance: float, most: int) -> tuple[float, ...]:
        if rng.random() >= chance * difficulty:
            return ()
        return tuple(round(rng.uniform(0.1, seconds - 0.3), 3) for _ in range(rng.randint(1, most)))

    moves = rng.random() < 0.35 * difficulty
    return Nuisances(
        noise_seed=rng.getrandbits(32),
        texture=rng.uniform(4.0, 22.0),
        texture_speed=(rng.uniform(-14, 14), rng.uniform(-14, 14)) if moves else (0.0, 0.0),
        frame_noise=rng.uniform(1.0, 9.0),
        clutter=rng.randint(0, 4) if rng.random() < difficulty else 0,
        discs=rng.randint(1, 2) if rng.random() < 0.5 * difficulty else 0,
        flash_times=moments(0.3, 2),
        drift=sometimes(0.4, 0.03, 0.14),
        hiss_level=rng.uniform(0.0004, 0.006),
        hum_level=sometimes(0.3, 0.003, 0.015),
        music_level=sometimes(0.35, 0.005, 0.03),
        thump_times=moments(0.4, 3),
    )
