"""The figure for a paper."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from seats.errors import SettingsError
from seats.view.figure import DPI, check_figure, write_figure
from seats.view.token_map import TokenMap
from tests.view.conftest import Look


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_formats(maps: dict[str, TokenMap], tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"figure.{suffix}"
    write_figure([maps["seats"]], path)
    begins = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    assert path.read_bytes().startswith(begins[suffix])


def test_two_methods_and_a_question_that_looks_like_mathematics(look_at: Look, tmp_path: Path) -> None:
    plt = pytest.importorskip("matplotlib.image")
    path = tmp_path / "figure.png"
    write_figure(look_at("seats", "full", text="what costs $5^2 and $\\frac{ _ " * 30), path)
    picture = plt.imread(path)
    assert picture.shape[1] == round(7.1 * DPI)
    assert np.ptp(picture) > 0.5


@pytest.mark.parametrize("clip", [{"seconds": 0.0}, {"frames": 0}])
def test_one_modality(look_at: Look, tmp_path: Path, clip: dict) -> None:
    pytest.importorskip("matplotlib")
    write_figure(look_at(**clip), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SettingsError, match=r"pip install matplotlib$"):
        check_figure(Path("a.png"))
    with pytest.raises(SettingsError, match="must end in"):
        check_figure(Path("a.gif"))
