from importlib.metadata import EntryPoint

import pytest

from seats.errors import SeatsError, SettingsError
from seats.evaluation.settings import Asking, named_settings, set_up
from seats.inference.generate import Decoding
from seats.keep import ENTRY_POINT_GROUP, Setting, method_names
from seats.methods import Full, ModelShape, Random

SHAPE = ModelShape("qwen2.5-omni", 10, {})


def test_full_is_asked_once_and_every_other_method_at_every_retention():
    labels = [setting.label for setting in named_settings(["full", "seats", "full"], [25.0, 10.0, 25.0])]
    assert labels == ["full", "seats 25%", "seats 10%"]


@pytest.mark.parametrize(
    ("video", "audio", "labels"),
    [
        (0.2, None, ["full", "seats 25% video 20%", "seats 10% video 20%"]),
        (None, 0.4, ["full", "seats 25% audio 40%", "seats 10% audio 40%"]),
        (0.2, 0.4, ["full", "seats video 20% audio 40%"]),  # no matter which retention
    ],
)
def test_a_setting_is_called_by_the_shares_that_overrule_its_retention(video, audio, labels):
    settings = named_settings(["full", "seats"], [25.0, 10.0], video, audio)
    assert [setting.label for setting in settings] == labels
    seats = set_up(settings, Asking(), SHAPE).methods[settings[1]]
    assert (seats.video, seats.audio) == (video or 0.2, audio or 0.55)


def test_all_stands_for_every_method_with_full_first():
    names = [setting.method for setting in named_settings(["all"], [10.0])]
    assert names[0] == "full"
    assert sorted(names) == sorted(method_names())


def test_an_unknown_method_is_refused():
    with pytest.raises(SettingsError, match="choose one of"):
        named_settings(["seats", "magic"], [10.0])


def test_a_broken_plug_in_does_not_stop_all(monkeypatch):
    offered = [EntryPoint("theirs", "a_package_that_is_not_there:Theirs", ENTRY_POINT_GROUP)]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: offered)
    settings = named_settings(["all"], [10.0])
    assert settings[-1] == Setting("theirs", 10.0)
    ready = set_up(settings, Asking(), SHAPE)
    assert Setting("random", 10.0) in ready.methods
    assert "a_package_that_is_not_there" in ready.unreachable[settings[-1]]
    with pytest.raises(SettingsError, match="a_package_that_is_not_there"):
        named_settings(["random", "theirs"], [10.0])


def test_what_a_method_cannot_reach_is_said_and_the_rest_set_up():
    settings = named_settings(["full", "fastv", "random"], [10.0])
    ready = set_up(settings, Asking(decoding=Decoding(seed=7)), SHAPE)

    assert ready.settings == tuple(settings)
    assert ready.methods == {settings[0]: Full(), settings[2]: Random(0.06, 0.35, 7)}
    assert list(ready.unreachable) == [Setting("fastv", 10.0)]
    assert "first 2 of 10 layers" in ready.unreachable[settings[1]]


def test_a_method_of_another_package_that_raises_costs_no_other():
    class Broken(Asking):
        def method_for(self, setting, shape):
            if setting.method == "theirs":
                raise SeatsError("method 'theirs' cannot be set up")
            return super().method_for(setting, shape)

    settings, shape = [Setting("random", 10.0), Setting("theirs", 10.0)], ModelShape("qwen2.5-omni", 10, {})
    ready = set_up(settings, Broken(), shape)
    assert list(ready.methods) == settings[:1]
    assert ready.broken == {settings[1]: "method 'theirs' cannot be set up"}
    assert not ready.unreachable
    with pytest.raises(SeatsError, match="'theirs' cannot be set up"):
        set_up(settings[1:], Broken(), shape)


def test_nothing_but_unreachable_settings_is_an_error():
    with pytest.raises(SettingsError, match="fastv cannot keep"):
        set_up(named_settings(["fastv"], [10.0, 15.0]), Asking(), SHAPE)
