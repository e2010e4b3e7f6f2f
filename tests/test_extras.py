"""What needs a library that isn't installed says in one line which: what an extra of the package holds."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from seats.errors import SettingsError

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def plot() -> None:
    from seats.evaluation.plot import check_plot

    check_plot(Path("plot.png"))


def figure() -> None:
    from seats.view.figure import check_figure

    check_figure(Path("figure.png"))


def parquet() -> None:
    from seats.batch.tables import check_kind

    check_kind(Path("rows.parquet"))


def ray() -> None:
    from seats.batch.ray_engine import check_ray

    check_ray()


def quantized() -> None:
    from seats.models.quantization import check_libraries

    check_libraries()


@pytest.mark.parametrize(
    ("use", "package", "extra"),
    [
        (plot, "matplotlib", "eval"),
        (figure, "matplotlib", "eval"),
        (parquet, "pyarrow", "parquet"),
        (ray, "ray", "ray"),
        (quantized, "bitsandbytes", "quant"),
    ],
)
def test_what_is_missing_is_said_with_all_that_its_extra_holds(
    use: Callable[[], None], package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    wanted = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"][extra]
    libraries = sorted((Requirement(one).name for one in wanted), key=lambda name: name != package)
    with pytest.raises(SettingsError, match=rf"pip install {' '.join(libraries)}(, or |$)") as caught:
        use()
    assert "\n" not in str(caught.value)
