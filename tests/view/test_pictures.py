"""Thumbnails and spectrograms."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from seats.tokens.mel import MelSpec
from seats.view.pictures import jpeg, spectrogram, thumbnails
from tests.media.make import tone


def opened(data: bytes) -> np.ndarray:
    return next(av.open(io.BytesIO(data), format="mjpeg").decode(video=0)).to_ndarray(format="rgb24")


def test_jpeg_keeps_colours_and_size() -> None:
    picture = np.zeros((40, 64, 3), np.uint8)
    picture[:, :32], picture[:, 32:] = (200, 30, 60), (250, 250, 20)
    back = opened(jpeg(picture))
    assert back.shape == picture.shape
    assert np.abs(back[5, 5].astype(int) - (200, 30, 60)).max() < 8
    assert np.abs(back[30, 60].astype(int) - (250, 250, 20)).max() < 8


def test_jpeg_of_another_size() -> None:
    assert opened(jpeg(np.full((40, 64, 3), 90, np.uint8), size=(20, 32))).shape == (20, 32, 3)


@pytest.mark.parametrize("count", [2, 40])
def test_thumbnails_keep_to_their_budget(count: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (count, 3, 168, 280), dtype=np.uint8)
    made = thumbnails(noise, 90_000)
    assert len(made) == count
    assert sum(map(len, made)) <= 90_000
    height, width, _ = opened(made[0]).shape
    assert width / height == pytest.approx(280 / 168, rel=0.05)
    assert (height == 168) == (count == 2)


@pytest.mark.parametrize(("budget", "longest"), [(10**6, 448), (1, 48)])
def test_thumbnails_are_of_a_size_to_be_seen(budget: int, longest: int) -> None:
    frames = np.zeros((2, 3, 720, 1280), np.uint8)
    assert [max(opened(made).shape) for made in thumbnails(frames, budget)] == [longest] * 2


def test_spectrogram_has_low_tones_at_the_bottom() -> None:
    low, high = (tone(1.0, 16_000, hertz)[0] for hertz in (200, 4000))
    grey = spectrogram(np.concatenate([low, high]), MelSpec(), 40)
    assert grey.shape == (128, 40)
    assert grey.dtype == np.uint8
    assert grey.max() == 255
    assert grey[:, 5].argmax() > 100
    assert grey[:, 35].argmax() < 60


def test_spectrogram_of_silence() -> None:
    assert spectrogram(np.zeros(1600, np.float32), MelSpec()).max() == 0
