"""The clip with the mask burnt in, read back."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from seats.errors import MediaError, SettingsError
from seats.media import load_clip
from seats.models.omni import OmniModel
from seats.view.film import LINE, _Panel, _pictures, check_film, write_film
from seats.view.letters import written
from seats.view.look import look
from seats.view.token_map import TokenMap
from tests.media.make import read_number, tone, write_clip
from tests.view.conftest import question


def white(number: int, width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), 235, np.uint8)


def looked(model: OmniModel, path: Path, *methods: str) -> list[TokenMap]:
    clip = load_clip(path, sampling=model.sampling)
    return look(model, clip, [question(method) for method in methods or ("seats",)])


def read(path: Path) -> tuple[np.ndarray, float, float]:
    """Pictures `[F, H, W, 3]`, frames per second, seconds of sound."""
    with av.open(str(path)) as film:
        assert film.streams.video[0].codec_context.name == "h264"
        pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)])
        rate = float(film.streams.video[0].average_rate or 0)
        sound = film.streams.audio
        return pictures, rate, float(sound[0].duration * sound[0].time_base) if sound else 0.0


def test_a_film_that_breaks_off_leaves_nothing(
    maps: dict[str, TokenMap], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise MediaError("gone")

    monkeypatch.setattr("seats.view.film._pictures", broken)
    with pytest.raises(MediaError):
        write_film([maps["seats"]], tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


def test_a_film_of_a_clip_that_is_gone_is_none(model: OmniModel, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=20, rate=10)
    (seen,) = looked(model, path)
    path.unlink()
    with pytest.raises(MediaError, match="no such file"):
        write_film([seen], tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


def test_patches_that_left_are_veiled_and_no_others(model: OmniModel, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=40, rate=10, picture=white)
    (seen,) = looked(model, path)
    write_film([seen], tmp_path / "film.mp4")
    pictures, rate, sound = read(tmp_path / "film.mp4")
    assert (len(pictures), rate, sound) == (40, 10.0, 0.0)
    assert seen.grid is not None
    assert seen.video is not None
    grids, rows, columns = seen.grid
    left = seen.video.left.reshape(grids, rows, columns)
    pictures = pictures[:, LINE : LINE + pictures.shape[2] * rows // columns]  # without the name and the key
    height, width = pictures.shape[1:3]
    veiled = 0
    assert seen.clip.video is not None
    for grid, times in enumerate(np.reshape(seen.clip.video.times, (grids, 2))):
        frame = round(10 * times.mean())
        for row in range(rows):
            for column in range(columns):
                y, x = int((row + 0.5) * height / rows), int((column + 0.5) * width / columns)
                patch = pictures[frame, y - 8 : y + 8, x - 8 : x + 8]
                first = left[grid, row, column] == 0
                late = seen.moments[left[grid, row, column]].stage == "late"
                assert not first or patch.mean() < 110
                assert not late or patch.mean() > 220
                veiled += first
    assert 0 < veiled < 4 * rows * columns


def test_pictures_move_at_the_file_s_rate_beside_the_sound(
    model: OmniModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seats.view.film._PIECE_S", 0.7)  # decoded in several pieces, as a long clip is
    path = write_clip(tmp_path / "a.mp4", frames=48, rate=24, sound=tone(2))
    (seen,) = looked(model, path, "full")
    assert {picture.shape[:2] for _, picture in _pictures(seen, Fraction(24))} == {seen.clip.video.pixels.shape[2:]}
    write_film([seen], tmp_path / "film.mp4")
    pictures, rate, sound = read(tmp_path / "film.mp4")
    assert rate == 24.0
    assert sound == pytest.approx(2, abs=0.1)
    assert [read_number(picture[LINE:-80].transpose(2, 0, 1)) for picture in pictures] == list(range(48))


def _numbers(seen: TokenMap, fps: int) -> list[int]:
    return [read_number(picture.transpose(2, 0, 1)) for _, picture in _pictures(seen, Fraction(fps))]


def test_timestamps_that_a_file_rounds_cost_no_picture(model: OmniModel, tmp_path: Path) -> None:
    (seen,) = looked(model, write_clip(tmp_path / "a.mkv", frames=60, rate=30), "full")
    assert _numbers(seen, 30) == list(range(60))


@pytest.mark.parametrize("apart", [1.0, 3.0, 10.0])
def test_pictures_that_change_slowly_are_shown_when_they_come(model: OmniModel, tmp_path: Path, apart: float) -> None:
    times = [round(1000 * apart * number) for number in range(7)]
    (seen,) = looked(model, write_clip(tmp_path / "a.mkv", frames=7, rate=10, pts_ms=times, sound=tone(7 * apart)))
    assert _numbers(seen, 10) == [int(number / 10 / apart) for number in range(round(10 * seen.seconds))]


def test_a_part_of_a_file_shows_the_pictures_of_that_part(model: OmniModel, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=40, rate=10)
    clip = load_clip(path, start_s=2.0, end_s=3.0, sampling=model.sampling)
    (seen,) = look(model, clip, [question("full")])
    assert _numbers(seen, 10) == list(range(20, 20 + round(10 * seen.seconds)))


def test_a_picture_is_veiled_as_the_nearest_grid(model: OmniModel, tmp_path: Path) -> None:
    (seen,) = looked(model, write_clip(tmp_path / "a.mp4", frames=40, rate=10, picture=white))
    assert seen.grid is not None
    assert seen.clip.video is not None
    assert seen.video is not None
    left = np.where(np.arange(len(seen.video.left)) < len(seen.video.left) // seen.grid[0], 0, len(seen.moments))
    seen = replace(seen, video=replace(seen.video, left=left))  # a model may keep the same of every grid
    times = np.reshape(seen.clip.video.times, (seen.grid[0], 2))
    between, picture = (times[0, 1] + times[1, 0]) / 2, white(0, 56, 56)
    first, before, after, second = (
        _Panel(seen).at(time, picture) for time in (times[0, 0], between - 0.01, between + 0.01, times[1, 1])
    )
    assert np.array_equal(first, before)
    assert np.array_equal(after, second)
    assert not np.array_equal(first, second)


def test_while_a_picture_stays_its_veil_changes_with_the_grids(model: OmniModel, tmp_path: Path) -> None:
    times = [*range(0, 2000, 100), *range(20_000, 22_000, 100)]
    (seen,) = looked(model, write_clip(tmp_path / "a.mkv", frames=40, rate=10, pts_ms=times, picture=white))
    assert seen.grid is not None
    assert seen.video is not None
    grids, patches = seen.grid[0], seen.grid[1] * seen.grid[2]
    for grid in (3, 12, 17):
        left = np.where(np.arange(len(seen.video.left)) // patches == grid, 0, len(seen.moments))
        panel = _Panel(replace(seen, video=replace(seen.video, left=left)))
        veiled = [time for time in range(22) if panel.at(time + 0.4, white(0, 56, 56))[LINE : LINE + 56].mean() < 200]
        assert veiled == [grid]
    assert grids == 22


def test_two_methods_stand_beside_each_other(model: OmniModel, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=20, rate=10, picture=white)
    maps = looked(model, path, "seats", "full")
    write_film(maps, tmp_path / "film.mp4")
    (picture, *_), _, _ = read(tmp_path / "film.mp4")
    half = picture.shape[1] // 2
    assert picture[LINE:300, half + 8 :].mean() > 225
    assert picture[LINE:300, :half].mean() < 180
    assert _reads(picture[:LINE, :half], "seats 35%: veiled")
    assert _reads(picture[:LINE, half:], "full: every token")
    for moment in maps[0].moments[::2]:  # the first of each line
        assert _reads(picture[-2 * LINE :], moment.label)


def test_pictures_narrower_than_a_word_leave_room_for_the_key(model: OmniModel, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=20, rate=10, picture=white, size=(16, 1600))
    maps = looked(model, path, "seats", "full")
    write_film(maps, tmp_path / "film.mp4")
    (picture, *_), _, _ = read(tmp_path / "film.mp4")
    assert _reads(picture[LINE + 720 : 2 * LINE + 720], maps[0].moments[0].label, 1)


def test_a_part_of_a_file_says_from_when_it_is(model: OmniModel, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=90, rate=1, picture=white)
    clip = load_clip(path, start_s=75.0, end_s=77.0, sampling=model.sampling)
    write_film(look(model, clip, [question()]), tmp_path / "film.mp4")
    pictures, *_ = read(tmp_path / "film.mp4")
    assert _reads(pictures[0][:LINE], "seats 35%, from 1:15: veiled")


def _reads(part: np.ndarray, text: str, scale: int = 2) -> bool:
    """Whether a line of text stands somewhere in a part of a picture, as far as compression leaves it alone."""
    ink, bright = written(text, scale), part.mean(axis=2) > 120
    height, width = ink.shape
    return any(
        (bright[y : y + height, x : x + width] == ink).mean() > 0.95
        for y in range(len(bright) - height + 1)
        for x in range(min(40, bright.shape[1] - width + 1))
    )


def test_sound_alone(model: OmniModel, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.m4a", sound=tone(2), container_format="mp4")
    write_film(looked(model, path), tmp_path / "film.mp4")
    pictures, _, sound = read(tmp_path / "film.mp4")
    assert len(pictures) == pytest.approx(20, abs=2)
    assert sound == pytest.approx(2, abs=0.1)
    columns = pictures[:, LINE + 20].mean(axis=2)
    places = columns.argmax(axis=1)  # of the mark of the present moment
    np.testing.assert_allclose(places, np.arange(len(places)) / 20 * columns.shape[1], atol=4)


def test_sound_that_ends_early_is_drawn_as_long_as_it_lasts(model: OmniModel, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=40, rate=10, sound=tone(2))
    write_film(looked(model, path, "full"), tmp_path / "film.mp4")
    strip = read(tmp_path / "film.mp4")[0][0, -40:]
    half = strip.shape[1] // 2
    assert strip[:, 20 : half - 20].max() > 60
    assert strip[:, half + 20 :].max() < 40


def test_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"\.mp4"):
        check_film(Path("a.webm"))
    monkeypatch.setattr("av.codecs_available", {"aac"})
    with pytest.raises(SettingsError, match="libx264"):
        check_film(Path("a.mp4"))
