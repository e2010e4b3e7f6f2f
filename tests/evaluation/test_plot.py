import runpy
import sys
from dataclasses import replace

import pytest

from seats.errors import SeatsError, SettingsError
from seats.evaluation.layer_document import Analysis
from seats.evaluation.layer_plot import plot_layers
from seats.evaluation.layers import WHAT, Dependence
from seats.evaluation.plot import _styles, check_plot, plot
from tests.evaluation.made import made

METHODS = [
    "seats",
    "random",
    "fastv",
    "fastv-om",
    "visionzip",
    "visionzip-om",
    "divprune",
    "divprune-om",
    "dycoke",
    "fastvid",
    "omnizip",
    "seats+",
]


def test_methods_are_told_apart_by_more_than_colour():
    styles = _styles(METHODS)
    assert len(set(styles.values())) == len(METHODS)
    assert styles["fastv"][:2] == styles["fastv-om"][:2]
    assert styles["seats"][0] == styles["seats+"][0]
    assert [name for name in METHODS if styles[name][2]] == ["fastv-om", "visionzip-om", "divprune-om", "seats+"]
    families = [name for name in METHODS if not styles[name][2]]
    assert len({styles[name][0] for name in families}) == len({styles[name][1] for name in families}) == len(families)


def test_other_formats_are_refused_before_anything_is_drawn(tmp_path):
    with pytest.raises(SettingsError, match=r"\.png"):
        check_plot(tmp_path / "plot.gif")


def test_without_matplotlib_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("seats.evaluation.plot.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"pip install matplotlib$"):
        check_plot(tmp_path / "plot.png")


@pytest.mark.parametrize("name", ["plot", "layer_plot"])
def test_matplotlib_is_only_imported_to_draw(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, f"seats.evaluation.{name}")
    runpy.run_module(f"seats.evaluation.{name}")


def test_every_method_is_in_the_picture(tmp_path):
    pytest.importorskip("matplotlib")
    answers = {"full": "1110", "seats 35": "1110", "seats 10": "1100", "dycoke 10": "1u0u", "random 10": "1000"}
    path = tmp_path / "plot.svg"
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        plot(made(answers, "abab", unreachable=("fastv 10",)), path)
    text = path.read_text()
    for said in (
        "full tokens",
        ">seats<",
        ">dycoke<",
        ">random<",
        "a-model on made",
        "of the clips the method can serve",
    ):
        assert said in text
    assert ">fastv<" not in text

    plot(made(answers, "abab"), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("layers", [False, True])
def test_names_of_files_are_written_as_they_are_and_inside_the_picture(tmp_path, monkeypatch, layers):
    pytest.importorskip("matplotlib")
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    titles, drawn, set_title, save = [], [], Axes.set_title, Figure.savefig

    def keep_title(axes, *args, **more):
        titles.append(set_title(axes, *args, **more))

    def measure(figure, *args, **more):
        save(figure, *args, **more)
        drawn.append((titles[0].get_window_extent(), figure.bbox))

    monkeypatch.setattr(Axes, "set_title", keep_title)
    monkeypatch.setattr(Figure, "savefig", measure)
    name = f"/data/$_^{{$/{'long-folder/' * 12}set.jsonl"
    path = tmp_path / "plot.svg"
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        if layers:
            curve = {layer: (layer > 0, True) for layer in range(5)}
            found = Dependence(4, 2, 0, ("a", "b"), dict.fromkeys(WHAT, curve))
            plot_layers(Analysis(name, "a-model", found, 0.05, None, None), path)
        else:
            plot(replace(made({"full": "11"}, "ab"), benchmark=name), path)
    assert "a-model on /data/$_^{$/long-folder/" in path.read_text()
    ((title, whole),) = drawn
    assert whole.x0 <= title.x0 < title.x1 <= whole.x1
    assert title.y1 <= whole.y1


def test_a_full_disk_leaves_the_older_picture(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    path = tmp_path / "plot.png"
    path.write_text("older")

    def full_disk(_, target, **options):
        target.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full_disk)
    with pytest.raises(SeatsError, match=r"No space left on device\); make room"):
        plot(made({"full": "1110", "seats 10": "1100"}, "abab"), path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["older"]
