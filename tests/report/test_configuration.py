from __future__ import annotations

from typing import Any

from seats.report.configuration import Configuration, labels


def configuration(name: str = "a/seats-nano", device: str = "cpu", **method: Any) -> Configuration:
    model = {"name": name, "dtype": "float32", "device": device, "attention": "sdpa"}
    return Configuration(model, {"name": "seats", "video": 0.06, "audio": 0.35, **method})


def test_one_configuration() -> None:
    (label,) = labels([configuration()])
    assert label.full == "seats-nano · float32 · cpu · seats (video 6%, audio 35%)"
    assert label.short == "seats (video 6%, audio 35%)"


def test_short_labels_say_what_differs() -> None:
    made = labels([configuration(), configuration(device="cuda"), configuration(name="b/other")])
    assert [label.short for label in made] == ["seats-nano · cpu", "seats-nano · cuda", "other · cpu"]


def test_settings_outside_the_usual_pieces_are_added() -> None:
    made = labels([configuration(kv="keep"), configuration(kv="drop"), configuration(video=0.2)])
    assert [label.full.rpartition("cpu · ")[2] for label in made] == [
        "seats (video 6%, audio 35%) · kv keep",
        "seats (video 6%, audio 35%) · kv drop",
        "seats (video 20%, audio 35%)",
    ]


def test_models_of_one_name_in_two_places_are_told_apart() -> None:
    made = labels([configuration("a/nano"), configuration("b/nano")])
    assert len({label.full for label in made}) == len({label.short for label in made}) == 2


def test_no_configurations() -> None:
    assert labels([]) == []
