"""Methods by name, from other packages too, and what `--keep` means."""

import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from seats.errors import SeatsError, SettingsError
from seats.keep import ENTRY_POINT_GROUP, METHODS, method_names
from seats.methods import (
    Full,
    Method,
    ModelShape,
    Random,
    Retention,
    Seats,
    method_class,
    registry,
    retention_for,
    set_up,
)
from seats.methods.registry import BUILT_IN
from seats.models.signals import EncoderWants

PUBLISHED = {
    "qwen2.5-omni": {35: (0.30, 0.65), 25: (0.20, 0.55), 15: (0.10, 0.45), 10: (0.06, 0.35)},
    "qwen3-omni": {35: (0.32, 0.70), 25: (0.22, 0.60), 15: (0.12, 0.50), 10: (0.07, 0.45)},
}
WANTS = {
    "seats": EncoderWants(video_grids=2, audio="blocks"),
    "seats+": EncoderWants(video_grids=2, audio="blocks"),
    "saliency": EncoderWants(video_grids=2, audio="blocks"),
    "visionzip": EncoderWants(video_grids=1, keys=True),
    "visionzip-om": EncoderWants(video_grids=1, audio="blocks", keys=True),
    "fastvid": EncoderWants(video_grids=1, mean_query=True),
    "omnizip": EncoderWants(audio="clip"),
}


def pair(family: str, percent: float) -> tuple[float, float]:
    found = retention_for(family, percent)
    return found.video, found.audio


def test_every_method_is_found_by_its_own_name():
    classes = {name: method_class(name) for name in method_names()}
    assert {"seats": Seats, "full": Full, "random": Random}.items() <= classes.items()
    for name, cls in classes.items():
        assert cls.name == name
        assert method_class(name) is cls
        assert cls.source


@pytest.mark.parametrize("cls", BUILT_IN, ids=lambda cls: cls.name)
def test_what_methods_read(cls):
    """Saliency that is not asked for is 0 for the whole modality, and nothing else would tell."""
    assert cls.wants == WANTS.get(cls.name, EncoderWants())
    assert cls.reads_text_before_llm == (cls.name in ("full", "fastv", "fastv-om"))


@pytest.mark.parametrize("cls", BUILT_IN, ids=lambda cls: cls.name)
def test_methods_get_the_target_and_the_seed(cls):
    made = cls.for_model(ModelShape("qwen2.5-omni", 28, {}), Retention(0.4, 0.6), 7)
    settings = made.settings()
    assert (settings.get("video", 0.4), settings.get("audio", 0.6), settings.get("seed", 7)) == (0.4, 0.6, 7)


@pytest.mark.parametrize("share", [0.0, 1.2, float("nan")])
@pytest.mark.parametrize("what", ["video", "audio"])
@pytest.mark.parametrize("cls", [cls for cls in BUILT_IN if cls is not Full], ids=lambda cls: cls.name)
def test_shares_outside_the_range_are_refused(cls, what, share):
    """Also where a method is made by hand: shares of 30 and 65, meant as percent, would keep all and say nothing."""
    made = cls.for_model(ModelShape("qwen2.5-omni", 28, {}), Retention(0.4, 0.6), 0)
    with pytest.raises(SettingsError, match=f"cannot keep {100 * share:g} % of the {what} tokens"):
        replace(made, **{what: share})


@pytest.mark.parametrize(
    ("made", "said"), [(None, "None"), ("random", "'random'"), (Random, "of type ABCMeta"), (7, "7")]
)
def test_what_a_method_s_class_hands_out_is_a_method(monkeypatch, made, said):
    """A forgotten `return`, say."""

    class Mine(Random):
        @classmethod
        def for_model(cls, shape, retention, seed):
            return made

    monkeypatch.setitem(registry._BUILT_IN, "mine", Mine)
    with pytest.raises(SettingsError) as caught:
        set_up("mine", ModelShape("qwen2.5-omni", 28, {}), Retention(0.4, 0.6), 7)
    assert str(caught.value) == f"what Mine.for_model returns is {said}; it must be a seats.Method"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"wants": "saliency"}, r"V\.wants is 'saliency'; it must be a seats\.methods\.EncoderWants"),
        ({"layers": (29,)}, r"v\.layers is \(29,\); this model's decoder layers are 1 to 28"),
        ({"layers": 3}, r"v\.layers is 3; it must be a tuple of whole numbers"),
        ({"settings": lambda self: {"weights": {1}}}, r"its settings\(\) must be of plain values.*set is not JSON"),
        (
            {"settings": lambda self: {"name": "v", "power": float("nan")}},
            r".* plain values, .*\(finite numbers.* not JSON",
        ),
        ({"settings": lambda self: ["v"]}, r"its settings\(\) must have its name: \{'name': 'v', \.\.\.\}"),
        ({"settings": lambda self: {"power": 2}}, r"its settings\(\) must have its name"),
        ({"settings": lambda self: {"name": "seats"}}, r"its settings\(\) must have its name"),
    ],
)
def test_what_another_package_s_method_must_not_say_is_no_wrong_setting(monkeypatch, changed, said):
    monkeypatch.setitem(sys.modules, "their_package", SimpleNamespace(V=type("V", (Random,), {"name": "v", **changed})))
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: [EntryPoint("v", "their_package:V", ENTRY_POINT_GROUP)]
    )
    with pytest.raises(SeatsError, match=f"method 'v' cannot be set up: {said}") as caught:
        set_up("v", ModelShape("qwen2.5-omni", 28, {}), Retention(0.4, 0.6), 7)
    assert not isinstance(caught.value, SettingsError)


def test_a_target_that_another_package_s_method_cannot_reach_is_a_wrong_setting(monkeypatch):
    def for_model(cls, shape, retention, seed):
        raise SettingsError("too little")

    their_method(monkeypatch, for_model)
    with pytest.raises(SettingsError, match=r"^too little$"):
        set_up("v", ModelShape("qwen2.5-omni", 28, {}), Retention(0.4, 0.6), 7)


def their_method(monkeypatch, for_model):
    """A method `v` of another package."""
    made = type("V", (Random,), {"name": "v", "for_model": classmethod(for_model)})
    monkeypatch.setitem(sys.modules, "their_package", SimpleNamespace(V=made))
    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda group: [EntryPoint("v", "their_package:V", ENTRY_POINT_GROUP)]
    )


def test_another_package_s_method_that_cannot_be_set_up_is_no_wrong_setting(monkeypatch):
    their_method(monkeypatch, lambda cls, shape, retention: None)
    with pytest.raises(SeatsError, match="'v' cannot be set up: its for_model raises unexpected TypeError: ") as caught:
        set_up("v", ModelShape("qwen2.5-omni", 28, {}), Retention(0.4, 0.6), 7)
    assert not isinstance(caught.value, SettingsError)
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize("what", ["settings", "layers", "wants"])
@pytest.mark.parametrize(("error", "said"), [(KeyError(1), "KeyError: 1"), (SystemExit(0), "SystemExit: 0")])
def test_what_another_package_s_method_fails_to_say_is_no_wrong_setting(monkeypatch, what, error, said):
    def fails(self):
        raise error

    made = type("V", (Random,), {"name": "v", what: fails if what == "settings" else property(fails)})
    their_method(monkeypatch, lambda cls, shape, retention, seed: made(0.4, 0.6, seed))
    with pytest.raises(SeatsError, match=rf"'v' cannot be set up: its {what}.* raises unexpected {said}") as caught:
        set_up("v", ModelShape("qwen2.5-omni", 28, {}), Retention(0.4, 0.6), 7)
    assert not isinstance(caught.value, SettingsError)


def test_another_package_s_method_that_ends_the_program_is_told_as_one_that_raises(monkeypatch):
    their_method(monkeypatch, lambda cls, shape, retention, seed: sys.exit("no licence"))
    with pytest.raises(SeatsError, match="its for_model raises unexpected SystemExit: no licence"):
        set_up("v", ModelShape("qwen2.5-omni", 28, {}), Retention(0.4, 0.6), 7)


def test_memory_that_another_package_s_method_lacks_is_told_as_such(monkeypatch):
    def for_model(cls, shape, retention, seed):
        raise torch.OutOfMemoryError("CUDA out of memory")

    their_method(monkeypatch, for_model)
    with pytest.raises(torch.OutOfMemoryError):
        set_up("v", ModelShape("qwen2.5-omni", 28, {}), Retention(0.4, 0.6), 7)


def test_the_names_that_need_no_torch_are_those_of_the_methods():
    assert [cls.name for cls in BUILT_IN] == list(METHODS)


def test_an_unknown_method_lists_the_known_ones():
    with pytest.raises(SettingsError, match=r"unknown method 'sheats': choose one of .*full.*random.*seats"):
        method_class("sheats")


def test_methods_of_other_packages(monkeypatch):
    """Offered as entry points; a built-in name cannot be taken over."""
    theirs = type("Theirs", (Random,), {"name": "theirs"})
    monkeypatch.setitem(sys.modules, "their_package", SimpleNamespace(Theirs=theirs))
    offered = [
        EntryPoint("theirs", "their_package:Theirs", ENTRY_POINT_GROUP),
        EntryPoint("seats", "their_package:Theirs", ENTRY_POINT_GROUP),
    ]

    def entry_points(group):
        assert group == "seats.methods"
        return offered

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    assert method_class("theirs") is theirs
    assert method_class("seats") is Seats
    with pytest.raises(SettingsError, match="theirs"):
        method_class("nobody's")


def test_of_two_packages_the_first_counts(monkeypatch):
    one, two = (type(name, (Random,), {"name": "theirs"}) for name in ("One", "Two"))
    monkeypatch.setitem(sys.modules, "their_package", SimpleNamespace(One=one, Two=two))
    offered = [EntryPoint("theirs", f"their_package:{name}", ENTRY_POINT_GROUP) for name in ("One", "Two")]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: offered)
    assert method_class("theirs") is one


def test_a_method_must_have_the_name_it_is_offered_by(monkeypatch):
    """Or an evaluation would take its answers for those of the method it was made from."""
    variant, nameless = type("V", (Seats,), {}), type("N", (Method,), {})
    monkeypatch.setitem(sys.modules, "their_package", SimpleNamespace(v=variant, n=nameless))
    offered = [EntryPoint(name, f"their_package:{name}", ENTRY_POINT_GROUP) for name in "vn"]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: offered)
    with pytest.raises(SettingsError, match=r"method 'v' .*does not have that name in its class \(name = 'seats'\)"):
        method_class("v")
    with pytest.raises(SettingsError, match=r"\(name = None\)"):
        method_class("n")


def package(folder, name: str, source: str | None, offers: str) -> None:
    """An installed package as `pip` leaves it, that offers a method. source: of its module; None without one."""
    if source is not None:
        (folder / f"{name}.py").write_text(source)
    (folder / f"{name}-1.0.dist-info").mkdir()
    (folder / f"{name}-1.0.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (folder / f"{name}-1.0.dist-info" / "entry_points.txt").write_text(f"[seats.methods]\n{offers}\n")


@pytest.mark.parametrize(
    ("source", "offers", "why"),
    [
        ("import a_package_that_is_not_there", "Theirs", "No module named 'a_package_that_is_not_there'"),
        ("def broken(:\n", "Theirs", "invalid syntax"),
        ("raise RuntimeError('no\\nluck')", "Theirs", "RuntimeError: no luck"),
        ("import sys; sys.exit(3)", "Theirs", "SystemExit: 3"),
        ("", "Theirs", "has no attribute 'Theirs'"),
        (None, "Theirs", "No module named 'broken_plug_in'"),
        ("class Theirs: name = 'theirs'", "Theirs", "is no seats.Method"),
        ("Theirs = 7", "Theirs", "is no seats.Method"),
    ],
)
def test_a_broken_plug_in_stops_only_who_asks_for_it(tmp_path, monkeypatch, source, offers, why):
    package(tmp_path, "broken_plug_in", source, f"theirs = broken_plug_in:{offers}")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_plug_in", raising=False)
    assert method_class("seats") is Seats
    assert method_names() == [*(cls.name for cls in registry.BUILT_IN), "theirs"]
    with pytest.raises(SettingsError, match=r"unknown method 'nobodys': choose one of .*theirs"):
        method_class("nobodys")
    assert "broken_plug_in" not in sys.modules
    with pytest.raises(SettingsError) as caught:
        method_class("theirs")
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith("method 'theirs' (broken_plug_in:Theirs of the package broken_plug_in) ")
    assert why in said


@pytest.mark.parametrize("family", PUBLISHED)
def test_published_pairs(family):
    for percent, (video, audio) in PUBLISHED[family].items():
        assert pair(family, percent) == pytest.approx((video, audio))


@pytest.mark.parametrize("family", PUBLISHED)
def test_between_the_published_pairs(family):
    (v15, a15), (v25, a25) = PUBLISHED[family][15], PUBLISHED[family][25]
    assert pair(family, 20) == pytest.approx(((v15 + v25) / 2, (a15 + a25) / 2))
    v10, a10 = PUBLISHED[family][10]
    assert pair(family, 5) == pytest.approx((v10 / 2, a10 / 2))
    assert pair(family, 100) == (1.0, 1.0)
    series = [retention_for(family, percent) for percent in range(1, 101)]
    for less, more in pairwise(series):
        assert less.video < more.video
        assert less.audio < more.audio


@pytest.mark.parametrize("percent", [0, -5, 100.5, float("nan")])
def test_keep_outside_its_range(percent):
    with pytest.raises(SettingsError, match=r"--keep .* out of range"):
        retention_for("qwen2.5-omni", percent)
