"""Clips through the encoders: whole, in parts, and while they are being read."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
import torch

from seats.costs.timers import StepTimer
from seats.errors import MediaError, OutOfMemoryError, SettingsError
from seats.inference import encode
from seats.inference.answer import Question, answer
from seats.inference.encode import encode_clip
from seats.inference.generate import Decoding
from seats.media import FrameSampling, load_clip, read_clip
from seats.media import video as video_module
from seats.media.reading import ReadingClip
from seats.methods import Seats
from seats.models.checkpoint import find_checkpoint
from seats.models.omni import load_model
from tests.checkpoints import save_tiny_checkpoint
from tests.media.make import tone, write_clip
from tests.tiny import FAMILIES

STEPS = ("prepare", "encode_video", "encode_audio")


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tmp_path_factory):
    folder = save_tiny_checkpoint(tmp_path_factory.mktemp("model"), request.param)
    return load_model(find_checkpoint(str(folder)), device="cpu")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=150, sound=tone(5.0))


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Frames are encoded as they come, two grids at a time."""
    monkeypatch.setattr(encode, "encodes_beside_reading", lambda _: True)
    monkeypatch.setattr("seats.models.thinker.PATCHES_AT_ONCE", 1)


def wants_of(model):
    return [Question("", keep=25.0).method_for(model.shape).wants]


def same(one, other):
    assert one.grid == other.grid
    assert torch.equal(one.video.embeds, other.video.embeds)
    assert torch.equal(one.audio.embeds, other.audio.embeds)
    assert all(map(torch.equal, one.video.deepstack, other.video.deepstack))
    for mine, theirs in ((one.video, other.video), (one.audio, other.audio)):
        assert mine.signals.keys() == theirs.signals.keys()
        for want, signals in mine.signals.items():
            assert torch.equal(signals.saliency, theirs.signals[want].saliency)


def test_frames_are_encoded_as_they_come(model, path, as_on_a_gpu, monkeypatch):
    keep, encoded, kept, first = video_module._Frames._keep, [], [], threading.Event()

    def waits_for_the_first_part(self, frame, place):
        if len(kept) == 5:
            assert first.wait(30)
        keep(self, frame, place)
        kept.append(frame.pts)

    monkeypatch.setattr(video_module._Frames, "_keep", waits_for_the_first_part)
    monkeypatch.setattr(video_module, "_RESIZING_THREADS", 1)
    handle = model.thinker.vision.register_forward_hook(lambda *_: encoded.append(1) or first.set())
    timer = StepTimer()
    try:
        made = encode_clip(model, read_clip(path, sampling=model.sampling, timeout_s=60), wants_of(model), timer)
    finally:
        handle.remove()
    assert len(kept) > 5
    assert len(encoded) == -(-made.grid[0] // 2)
    assert all(timer.ms()[step] > 0 for step in STEPS)
    assert set(timer.ms()) == {*STEPS, "saliency"}
    same(made, encode_clip(model, load_clip(path, sampling=model.sampling), wants_of(model), StepTimer()))


def test_a_part_has_as_many_patches_as_are_worked_on_at_once(model, path, monkeypatch):
    clip = load_clip(path, sampling=model.sampling)
    grid, sizes = encode_clip(model, clip, wants_of(model), StepTimer()).grid, []
    area = grid[1] * grid[2]
    monkeypatch.setattr("seats.models.thinker.PATCHES_AT_ONCE", 4 * area)
    handle = model.thinker.vision.register_forward_hook(lambda _, args, __: sizes.append(len(args[0])))
    encode_clip(model, clip, wants_of(model), StepTimer())
    handle.remove()
    assert sizes == [4 * area] * (grid[0] // 4) + [grid[0] % 4 * area]


def test_sound_is_encoded_once_while_pictures_are_read(model, path, as_on_a_gpu, monkeypatch):
    keep, heard = video_module._Frames._keep, threading.Event()

    def waits(self, frame, place):
        assert heard.wait(30)
        keep(self, frame, place)

    monkeypatch.setattr(video_module._Frames, "_keep", waits)
    calls = []
    handle = model.thinker.audio.register_forward_hook(lambda *_: calls.append(1) or heard.set())
    try:
        made = encode_clip(model, read_clip(path, sampling=model.sampling, timeout_s=60), wants_of(model), StepTimer())
    finally:
        handle.remove()
    assert len(calls) == 1
    same(made, encode_clip(model, load_clip(path, sampling=model.sampling), wants_of(model), StepTimer()))


def test_on_a_cpu_reading_comes_first(model, path, monkeypatch):
    monkeypatch.setattr(encode._VideoEncoder, "arriving", lambda *_: pytest.fail("encoded beside reading"))
    reading = read_clip(path, sampling=model.sampling, timeout_s=60)
    made = encode_clip(model, reading, wants_of(model), StepTimer())
    assert made.clip is reading.result()
    same(made, encode_clip(model, load_clip(path, sampling=model.sampling), wants_of(model), StepTimer()))


def test_reading_that_begins_anew_voids_what_was_encoded(model, path, as_on_a_gpu, monkeypatch):
    """A stream whose frames cannot be left out exactly is decoded a second time, whole."""
    needed = video_module._needed_frames

    def breaks_off(*args):
        for number, frame in enumerate(needed(*args)):
            if number == 100:
                assert first.wait(30)
                return
            time.sleep(0.01)  # so that what was taken before is resized by now
            yield frame

    monkeypatch.setattr(video_module, "_needed_frames", breaks_off)
    encoded, first = [], threading.Event()
    handle = model.thinker.vision.register_forward_hook(lambda *_: encoded.append(1) or first.set())
    try:
        made = encode_clip(model, read_clip(path, sampling=model.sampling), wants_of(model), StepTimer())
    finally:
        handle.remove()
    assert len(encoded) > -(-made.grid[0] // 2)
    monkeypatch.setattr(video_module, "_needed_frames", needed)
    same(made, encode_clip(model, load_clip(path, sampling=model.sampling), wants_of(model), StepTimer()))


def test_a_second_reading_that_ends_early_leaves_nothing_of_the_first(model, path, as_on_a_gpu):
    whole = load_clip(path, sampling=model.sampling)
    short = replace(whole, video=replace(whole.video, pixels=whole.video.pixels[:2]))
    first = threading.Event()

    def read(frames):
        frames.begin(whole.video.pixels.numpy())
        frames.reach(8)
        assert first.wait(30)
        frames.begin(short.video.pixels.numpy())
        frames.reach(2)
        return short

    handle = model.thinker.vision.register_forward_hook(lambda *_: first.set())
    try:
        made = encode_clip(model, ReadingClip(read), wants_of(model), StepTimer())
    finally:
        handle.remove()
    same(made, encode_clip(model, short, wants_of(model), StepTimer()))


@pytest.mark.parametrize("fps", [1.0, 2.0, 8.0])
def test_grids_are_as_far_apart_as_they_are_in_the_clip(model, path, fps):
    """Whatever the rate, they fill its five seconds: positions come from the true rate."""
    sampling = replace(model.sampling, fps=fps, max_pixels=model.sampling.min_pixels)
    clip = replace(load_clip(path, sampling=sampling), audio=None)
    made = encode_clip(model, clip, wants_of(model), StepTimer())
    assert made.grid[0] * made.seconds_per_grid == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize(
    ("part", "said"), [("vision", "the clip's pictures do not fit"), ("audio", "the clip's sound does not fit")]
)
def test_a_full_device_is_told_in_one_line(model, path, monkeypatch, part, said):
    def full(*_args, **_settings):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\n many lines")

    monkeypatch.setattr(getattr(model.thinker, part), "forward", full)
    with pytest.raises(OutOfMemoryError, match=f"^{said} into cpu: lower --max-frames") as caught:
        answer(model, load_clip(path, sampling=model.sampling), Question("what ?"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reads_on", [False, True])
@pytest.mark.parametrize("factor", [8, 20, 28, 32])
def test_frames_of_another_model_are_told_where_they_are_no_whole_tokens(model, path, monkeypatch, factor, reads_on):
    monkeypatch.setattr(encode, "encodes_beside_reading", lambda _: reads_on)
    clip = read_clip(path, sampling=FrameSampling(factor=factor, min_pixels=1, max_pixels=(factor + 1) ** 2))
    if factor == model.patches.token_side:
        assert encode_clip(model, clip, wants_of(model), StepTimer()).grid[1:] == (2, 2)
        return
    with pytest.raises(SettingsError, match=rf"frames are {factor}x{factor}, but .* sampling=model\.sampling$"):
        encode_clip(model, clip, wants_of(model), StepTimer())
    assert encode_clip(model, load_clip(path, use_video=False), wants_of(model), StepTimer()).audio is not None


def test_a_file_that_breaks_is_told(model, tmp_path, as_on_a_gpu):
    path = tmp_path / "text.mp4"
    path.write_text("no clip")
    with pytest.raises(MediaError, match=r"text\.mp4"):
        encode_clip(model, read_clip(path), [Seats.wants], StepTimer())


def test_an_answer_about_a_clip_that_is_being_read(model, path, as_on_a_gpu):
    asked = Question("what ?", keep=25.0, decoding=Decoding(max_new_tokens=3))
    began = time.perf_counter()
    reading = read_clip(path, sampling=model.sampling, timeout_s=60)
    made, alone = answer(model, reading, asked), answer(model, load_clip(path, sampling=model.sampling), asked)
    assert made.text == alone.text
    assert made.clip is reading.result()
    latency = made.latency_ms
    assert latency["decode_clip"] == pytest.approx(1e3 * reading.seconds)
    assert latency["decode_clip"] < latency["first_token"] < 1e3 * (time.perf_counter() - began)
    summed = sum(alone.latency_ms[step] for step in (*STEPS, "selection", "prefill"))
    assert summed < alone.latency_ms["first_token"]


def test_reading_is_not_counted_twice(model, path, as_on_a_gpu):
    began = time.perf_counter()
    made = answer(model, read_clip(path, sampling=model.sampling), Question("what ?", decoding=Decoding(1)))
    assert made.latency_ms["first_token"] <= 1e3 * (time.perf_counter() - began)
