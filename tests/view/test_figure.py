"""The figure for a paper."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seats.errors import SettingsError
from seats.view import figure
from seats.view.figure import DPI, check_figure, write_figure
from seats.view.token_map import TokenMap
from seats.view.words import in_file
from tests.view.conftest import Look


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_formats(maps: dict[str, TokenMap], tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"figure.{suffix}"
    write_figure([maps["seats"]], path)
    begins = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    assert path.read_bytes().startswith(begins[suffix])


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_a_full_disk_leaves_the_older_figure(
    maps: dict[str, TokenMap], tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"figure.{suffix}"
    path.write_text("older")

    def full_disk(_: object, target: Path, *args: object, **options: object) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save" if suffix == "png" else "matplotlib.figure.Figure.savefig", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_figure([maps["seats"]], path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["older"]


def test_two_methods_and_a_question_that_looks_like_mathematics(look_at: Look, tmp_path: Path) -> None:
    plt = pytest.importorskip("matplotlib.image")
    path = tmp_path / "figure.png"
    write_figure(look_at("seats", "full", text="what costs $5^2 and $\\frac{ _ " * 30), path)
    picture = plt.imread(path)
    assert picture.shape[1] == round(7.1 * DPI)
    assert np.ptp(picture) > 0.5


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[Any]]:
    """The axes of each of some methods, as they were drawn."""
    pytest.importorskip("matplotlib")
    made: list[Any] = []
    save = figure._save_png
    monkeypatch.setattr(figure, "_save_png", lambda whole, path: (save(whole, path), made.append(whole)))

    def call(*maps: TokenMap) -> list[Any]:
        write_figure(maps, tmp_path / "figure.png")
        return np.reshape(made[-1].axes, (-1, len(maps))).T.tolist()

    return call


@pytest.mark.parametrize("methods", [("seats",), ("seats", "full"), ("full", "seats")])
def test_pictures_are_not_stretched(
    drawn: Callable[..., list[Any]], maps: dict[str, TokenMap], methods: tuple[str, ...]
) -> None:
    boxes, parts = [], drawn(*map(maps.__getitem__, methods))
    for pictures, *below in parts:
        box, (height, width) = pictures.get_window_extent(), pictures.images[0].get_size()
        assert box.width / box.height == pytest.approx(width / height, rel=0.01)
        assert {round(axis.get_window_extent().width) for axis in below} == {round(box.width)}  # the same times
        assert height == len(pictures.get_yticks()) * 2 * pictures.get_yticks()[0]  # their times are right below them
        boxes.append(box)
    assert len({round(box.y1) for box in boxes}) == len({round(box.width) for box in boxes}) == 1
    for beside in zip(*parts, strict=True):
        assert len({round(axis.get_window_extent().y1) for axis in beside}) == 1


def test_headings_of_three_methods_stand_apart(drawn: Callable[..., list[Any]], maps: dict[str, TokenMap]) -> None:
    parts = drawn(maps["seats"], maps["full"], maps["seats"])
    boxes = [part[0].title.get_window_extent() for part in parts]
    edges = [edge for box in boxes for edge in (box.x0, box.x1)]
    assert [0, *edges, 7.1 * DPI] == sorted([0, *edges, 7.1 * DPI])


def test_sound_is_shaded_where_tokens_left(drawn: Callable[..., list[Any]], late: TokenMap) -> None:
    axis = drawn(late)[0][1]
    seconds = late.clip.audio.seconds
    assert axis.images[0].get_extent() == [late.start, late.start + seconds, 0, 1]
    left = [(late.audio.left == number).nonzero()[0] for number in range(len(late.moments))]
    for shaded, tokens in zip(axis.collections, filter(len, left), strict=True):
        pieces = [path.get_extents() for path in shaded.get_paths()]
        step = seconds / len(late.audio)
        assert sum(piece.width for piece in pieces) == pytest.approx(len(tokens) * step)
        assert pieces[0].x0 == pytest.approx(late.start + tokens[0] * step)
        assert pieces[-1].x1 == pytest.approx(late.start + (tokens[-1] + 1) * step)


def test_budget_stacks_the_tokens_of_each_window(drawn: Callable[..., list[Any]], maps: dict[str, TokenMap]) -> None:
    seen = maps["seats"]
    axis = drawn(seen)[0][2]
    assert axis.get_xlim() == (0, seen.seconds)
    bars = iter(axis.containers)
    for tokens, up in ((seen.video, 1), (seen.audio, -1)):
        counts = np.bincount(tokens.window)
        heights = np.sum([[bar.get_height() for bar in next(bars)] for _ in range(len(seen.moments) + 1)], axis=0)
        np.testing.assert_allclose(up * heights, np.sqrt(counts / counts.max()))
    assert {text.get_text() for text in axis.get_legend().get_texts()} == {moment.label for moment in seen.moments}
    (stays,) = {text.get_text() for text in drawn(maps["full"])[0][2].get_legend().get_texts()}
    assert stays == "never"


@pytest.mark.parametrize("clip", [{"seconds": 0.0}, {"frames": 0}])
def test_one_modality(look_at: Look, tmp_path: Path, clip: dict) -> None:
    pytest.importorskip("matplotlib")
    write_figure(look_at(**clip), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def labels(seen: TokenMap, path: Path) -> list[str]:
    """Texts of a figure; in an .svg each stands as a comment beside its shapes."""
    write_figure([seen], path)
    return re.findall(r"<!-- (.*?) -->", path.read_text())


def test_times_are_those_of_the_file(late: TokenMap, maps: dict[str, TokenMap], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    said = labels(late, tmp_path / "late.svg")
    assert {"25:00", "25:01", "25:02", "25:03.5", "in the clip", "Stage I,"} <= set(said)
    assert not [text for text in said if text.endswith(" s") or "e+" in text]
    assert {"0 s", "1 s", "2 s"} <= set(labels(maps["seats"], tmp_path / "first.svg"))


@pytest.mark.parametrize(
    ("seconds", "step", "text"),
    [
        (0.0, 1.0, "0 s"),
        (12.5, 0.5, "12.5 s"),
        (59.96, 1.0, "59.96 s"),
        (59.999, 1.0, "1:00"),
        (62.0, 1.0, "1:02"),
        (62.5, 0.5, "1:02.5"),
        (1234.5, 2.0, "20:34"),
        (3599.97, 0.5, "59:59.9"),
        (3600.0, 0.5, "1:00:00.0"),
        (5400.04, 0.04, "1:30:00.04"),
    ],
)
def test_times_in_words(seconds: float, step: float, text: str) -> None:
    assert in_file(seconds, step) == text


def test_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SettingsError, match=r"pip install matplotlib$"):
        check_figure(Path("a.png"))
    with pytest.raises(SettingsError, match="must end in"):
        check_figure(Path("a.gif"))
