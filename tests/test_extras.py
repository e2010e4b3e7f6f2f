"""What needs an extra says in one line which, where it isn't installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seats.errors import SettingsError


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
    from seats import find_checkpoint, load_model

    load_model(find_checkpoint("seats-nano"), quantize="4bit")


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
def test_what_is_missing_is_said_with_its_extra(
    use: Callable[[], None], package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SettingsError, match=rf"pip install 'seats\[{extra}\]'") as caught:
        use()
    assert "\n" not in str(caught.value)
