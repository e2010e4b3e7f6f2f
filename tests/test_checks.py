"""What is of the wrong kind is told by name, in one line, before anything runs."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import seats
from seats.checks import check_kind, check_number, check_whole
from seats.errors import SettingsError
from seats.media import FrameSampling
from seats.methods import ModelShape
from seats.methods.registry import BUILT_IN
from seats.selection.masks import random_mask

CLIP = Path(__file__).parents[1] / "samples" / "crossing.mp4"


@pytest.fixture(scope="module")
def model():
    return seats.load_model(seats.find_checkpoint("seats-nano"))


@pytest.fixture(scope="module")
def clip(model):
    return seats.load_clip(CLIP, sampling=model.sampling, end_s=2)


@pytest.mark.parametrize("value", [1, 2.5, np.float32(0.5), np.float64(2), np.int64(3), np.uint8(3)])
def test_numbers(value):
    checked = check_number("it", value)
    assert checked == value
    assert type(checked) is (int if isinstance(value, (int, np.integer)) else float)


@pytest.mark.parametrize("value", [1, np.int64(3), np.uint8(3)])
def test_whole_numbers(value):
    assert type(check_whole("it", value)) is int


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("10%", "it is '10%'; it must be a whole number"),
        (None, "it is None; it must be a whole number"),
        (2.5, "it is 2.5; it must be a whole number"),
        (np.float64(2.5), "it is 2.5; it must be a whole number"),
        (True, "it is True; it must be a whole number"),
        ([1], "it is of type list; it must be a whole number"),
    ],
)
def test_what_is_no_whole_number(value, said):
    with pytest.raises(SettingsError) as caught:
        check_whole("it", value)
    assert str(caught.value) == said


def test_a_long_value_is_told_by_its_type(clip):
    with pytest.raises(SettingsError, match=r"^it is of type Clip; it must be text$"):
        check_kind("it", clip, str, "text")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: seats.Question(3), "the question is 3; it must be text"),
        (lambda: seats.Question("What?", keep="10%"), "keep is '10%'; it must be a number"),
        (lambda: seats.Question("What?", keep_video="6%"), "keep_video is '6%'; it must be a number"),
        (lambda: seats.Question("What?", keep_audio=True), "keep_audio is True; it must be a number"),
        (lambda: seats.Question("What?", system=["x"]), "the system prompt is of type list; it must be text"),
        (lambda: seats.Question("What?", decoding={"seed": 1}), "decoding is of type dict; it must be a"),
        (lambda: seats.Question("What?", method=3), "method is 3; it must be text"),
        (lambda: seats.Question("What?", kv=3), "kv policy 3 is unknown: choose keep or drop"),
        (lambda: seats.Question("What?", kv=np.array(["keep"] * 2)), "kv policy array("),
        (lambda: seats.Question("What?", compare="no"), "compare is 'no'; it must be True or False"),
        (lambda: seats.Question("What?", compare=2), "compare is 2; it must be True or False"),
        (lambda: seats.Question("What?", compare=np.ones(2)), "compare is of type ndarray; it must be True or False"),
        (lambda: seats.Question("What?", history="no"), "history is 'no'; it must be a tuple of seats.Turn"),
        (lambda: seats.Question("What?", history=(("a", "b"),)), "a part of history is of type tuple"),
        (lambda: seats.Turn("What?", None), "an earlier answer is None; it must be text"),
        (lambda: seats.Decoding(max_new_tokens="5"), "max_new_tokens is '5'; it must be a whole number"),
        (lambda: seats.Decoding(temperature=None), "temperature is None; it must be a number"),
        (lambda: seats.Decoding(seed=1.5), "seed is 1.5; it must be a whole number"),
        (lambda: seats.Retention("10%", 0.1), "the share of video tokens is '10%'; it must be a number"),
        (lambda: seats.method_class(["seats"]), "the method is of type list; it must be text"),
        (lambda: ModelShape("qwen", 28, {}), "unknown family 'qwen': choose qwen2.5-omni or qwen3-omni"),
        (lambda: ModelShape("qwen3-omni", "48", {}), "num_layers is '48'; it must be a whole number"),
        (lambda: ModelShape("qwen3-omni", 0, {}), "num_layers is 0; a decoder has at least 1"),
        (lambda: ModelShape("qwen3-omni", 48, None), "settings is None; it must be a dict"),
        (lambda: ModelShape([], 48, {}), "unknown family []: choose qwen2.5-omni or qwen3-omni"),
        (lambda: ModelShape("qwen3-omni", 8, {"drop_layers": [2, 5]}), "settings: lacks late_layer"),
        (lambda: ModelShape("qwen3-omni", 8, {"late_layer": 7}), "settings: lacks drop_layers"),
        (
            lambda: ModelShape("qwen3-omni", 8, {"drop_layers": 3, "late_layer": 7}),
            "settings: drop_layers is 3; it must be a list of rising layers from 1 to 8",
        ),
        (
            lambda: ModelShape("qwen3-omni", 8, {"drop_layers": [2], "late_layer": 9, "single_turn": True}),
            "settings: late_layer is 9; it must be a layer from 2 to 8",
        ),
        (lambda: seats.find_checkpoint(None), "the model is None; it must be seats-nano, a folder or a hub id"),
        (lambda: seats.load_model("seats-nano"), "the checkpoint is 'seats-nano'; it must be what"),
        (lambda: seats.load_model(seats.find_checkpoint("seats-nano"), device=None), "unknown device None"),
        (lambda: seats.load_clip(None), "the clip is None; it must be a path, as text or pathlib.Path"),
        (lambda: seats.load_clip(io.BytesIO()), "the clip is of type BytesIO; it must be a path"),
        (lambda: seats.load_clip(CLIP, start_s="25:00"), "start_s is '25:00'; it must be a number"),
        (lambda: seats.load_clip(CLIP, timeout_s="9"), "timeout_s is '9'; it must be a number"),
        (lambda: seats.load_clip(CLIP, sampling={"fps": 1}), "sampling is of type dict; it must be a seats.media."),
        (lambda: seats.load_clip(CLIP, use_video="no"), "use_video is 'no'; it must be True or False"),
        (lambda: seats.load_clip(CLIP, use_audio=None), "use_audio is None; it must be True or False"),
        (lambda: FrameSampling(fps="2"), "fps is '2'; it must be a number"),
        (lambda: FrameSampling(max_frames=2.5), "max_frames is 2.5; it must be a whole number"),
        (lambda: FrameSampling().changed(max_pixels="9"), "max_pixels is '9'; it must be a number"),
        (lambda: FrameSampling(max_pixels=None), "max_pixels is None; it must be a number"),
    ],
)  # fmt: skip
def test_arguments(make, said):
    with pytest.raises(SettingsError) as caught:
        make()
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_a_model_s_settings_may_hold_numbers_of_numpy():
    plain = {"drop_layers": [2, 5], "late_layer": 7, "temperature": 0.5}
    others = {"drop_layers": (np.int64(2), np.int32(5)), "late_layer": np.int64(7), "temperature": np.float64(0.5)}
    method = seats.method_class("seats").for_model(ModelShape("qwen3-omni", 8, others), seats.Retention(0.1, 0.2), 0)
    again = seats.method_class("seats").for_model(ModelShape("qwen3-omni", 8, plain), seats.Retention(0.1, 0.2), 0)
    assert method.settings() == again.settings()


@pytest.mark.parametrize("flag", [True, False, np.True_, np.False_, 1, 0])
def test_flags_of_any_library_are_taken(flag):
    assert seats.Question("What?", compare=flag).compare == flag


@pytest.mark.parametrize("real", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("whole", [np.int64, np.int32, np.uint8])
def test_numbers_of_numpy_are_as_good_as_those_of_python(model, real, whole):
    sampling = dataclasses.replace(model.sampling, fps=real(3), max_frames=whole(6), min_pixels=real(3136))
    assert sampling == dataclasses.replace(model.sampling, fps=3, max_frames=6, min_pixels=3136)
    clip = seats.load_clip(CLIP, sampling=sampling, start_s=real(1), end_s=real(3), timeout_s=real(60))
    decoding = seats.Decoding(max_new_tokens=whole(2), temperature=real(1), seed=whole(3))
    asked = seats.Question("What?", method="random", keep=real(25), decoding=decoding)
    plain = seats.Question("What?", method="random", keep=25, decoding=seats.Decoding(2, 1.0, 3))
    assert asked == plain
    documents = [
        json.loads(json.dumps(seats.answer_json(seats.answer(model, clip, question, decode_ms=ms))))
        for question, ms in ((asked, real(5)), (plain, 5.0))
    ]
    for key in ("clip", "answer", "method", "tokens", "retention", "flops", "seed"):
        assert documents[0][key] == documents[1][key]
    assert documents[0]["clip"]["start_s"] == 1
    assert documents[0]["latency_ms"]["decode_clip"] == 5


@pytest.mark.parametrize("name", [cls.name for cls in BUILT_IN])
def test_the_settings_of_a_method_made_of_numpy_s_numbers_are_plain(model, name):
    share = np.float32(0.5)
    shape = ModelShape("qwen3-omni", np.int64(8), {})
    method = seats.method_class(name).for_model(shape, seats.Retention(share, share), np.int64(3))
    plain = seats.method_class(name).for_model(ModelShape("qwen3-omni", 8, {}), seats.Retention(0.5, 0.5), 3)
    assert json.loads(json.dumps(method.settings())) == json.loads(json.dumps(plain.settings()))
    given = dataclasses.replace(plain, video=share) if hasattr(plain, "video") else plain
    assert json.dumps(given.settings()) == json.dumps(plain.settings())


def test_a_seed_of_numpy_s_draws_the_same():
    cpu = torch.device("cpu")
    assert torch.equal(random_mask(40, 0.5, np.int64(3), cpu), random_mask(40, 0.5, 3, cpu))


@pytest.mark.parametrize("ask", [seats.answer, seats.stream], ids=["answer", "stream"])
def test_what_is_no_model_or_clip(model, clip, ask):
    asked = seats.Question("What?")
    with pytest.raises(SettingsError, match=r"the clip is '.*mp4'; it must be what seats.load_clip or seats.read_clip"):
        ask(model, str(CLIP), asked)
    with pytest.raises(SettingsError, match=r"the model is 'seats-nano'; it must be what seats.load_model gives"):
        ask("seats-nano", clip, asked)
    with pytest.raises(SettingsError, match="the model is of type Clip"):
        ask(clip, model, asked)


def test_a_conversation_about_no_clip(model):
    with pytest.raises(SettingsError, match="the clip is of type PosixPath"):
        seats.Conversation(model, CLIP)


def test_what_is_no_question(model, clip):
    for ask in (lambda: seats.answer(model, clip, None), lambda: seats.Conversation(model, clip).ask(None)):
        with pytest.raises(SettingsError, match=r"the question is None; it must be a seats.Question or text"):
            ask()
