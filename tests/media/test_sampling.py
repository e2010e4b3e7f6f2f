"""The sampling rule against the installed qwen-omni-utils, on random cases."""

import math
import random
import sys
import types

import pytest

from seats.errors import MediaError, SettingsError
from seats.media.sampling import FrameSampling, frame_size, smart_nframes, smart_resize

_STUBS = ("torchvision", "torchvision.io", "torchvision.transforms", "torchvision.transforms.functional")


@pytest.fixture(scope="module")
def reference():
    """The reference's module, imported with empty stand-ins where torchvision is not installed."""
    before = set(sys.modules)
    held = {name: sys.modules.get(name) for name in _STUBS}
    for name in _STUBS:
        sys.modules[name] = types.ModuleType(name)
    torchvision = sys.modules["torchvision"]
    torchvision.__version__ = "0.0"
    torchvision.io = sys.modules["torchvision.io"]
    torchvision.transforms = sys.modules["torchvision.transforms"]
    torchvision.transforms.functional = sys.modules["torchvision.transforms.functional"]
    torchvision.transforms.InterpolationMode = types.SimpleNamespace(BICUBIC="bicubic")
    try:
        from qwen_omni_utils.v2_5 import vision_process

        yield vision_process
    finally:
        for name in set(sys.modules) - before:
            if name.startswith("qwen_omni_utils"):
                del sys.modules[name]
        for name, module in held.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def test_nframes_equals_the_reference(reference):
    rng = random.Random(0)
    for _ in range(2000):
        total = rng.choice([rng.randint(2, 12), rng.randint(2, 200), rng.randint(2, 200_000)])
        rate = rng.choice([23.976023976, 24, 25, 29.97002997, 30, 59.94, 60, 1, 0.2, rng.uniform(0.1, 240)])
        fps = rng.choice([2.0, 1.0, 0.5, 4.0, rng.uniform(0.05, 40)])
        low, high = rng.choice([(4, 768), (rng.randint(2, 40), rng.randint(2, 900))])
        ours = smart_nframes(total, rate, FrameSampling(fps=fps, min_frames=low, max_frames=high))
        given = {"fps": fps, "min_frames": low, "max_frames": high}
        assert ours == reference.smart_nframes(given, total, rate), (total, rate, given)
        if (low, high) == (4, 768):
            default = smart_nframes(total, rate, FrameSampling(fps=fps))
            assert default == reference.smart_nframes({"fps": fps}, total, rate)


def test_resize_equals_the_reference(reference):
    rng = random.Random(1)
    for _ in range(2000):
        height, width = rng.randint(1, 3000), rng.randint(1, 3000)
        if max(height, width) / min(height, width) > 200:
            continue
        factor = rng.choice([28, 32])
        low = rng.choice([128, 4, 16]) * factor**2
        high = low + rng.randint(0, 2000) * factor**2 // 3
        theirs = reference.smart_resize(height, width, factor=factor, min_pixels=low, max_pixels=high)
        ours = smart_resize(height, width, factor=factor, min_pixels=low, max_pixels=high)
        assert ours == tuple(max(side, factor) for side in theirs), (height, width, factor, low, high)


@pytest.mark.parametrize("patch", [14, 16])
def test_frame_size_equals_fetch_video(reference, monkeypatch, patch):
    """`fetch_video` run whole, with a reader and a resize which only pass sizes on."""
    torch = pytest.importorskip("torch")
    rng = random.Random(patch)
    factor = patch * 2

    def resize(video, size, **_):
        resized.append(tuple(size))
        return video

    monkeypatch.setattr(reference.transforms.functional, "resize", resize, raising=False)
    monkeypatch.setattr(reference, "get_video_reader_backend", lambda: "fake")
    resized: list[tuple[int, int]] = []
    for _ in range(200):
        height, width = rng.randint(40, 2200), rng.randint(40, 3900)
        frames = rng.choice([2, 4, 20, 120, 400, 768])
        video = torch.empty(1).expand(frames, 3, height, width)
        monkeypatch.setitem(reference.VIDEO_READER_BACKENDS, "fake", lambda ele, video=video: (video, {}, 2.0))
        bounds = {"max_pixels": rng.randint(128, 768) * factor**2, "total_pixels": rng.randint(1, 10**5) * factor**2}
        given = {name: bound for name, bound in bounds.items() if rng.random() < 0.5}
        reference.fetch_video({"video": "x", **given}, image_patch_size=patch)
        ours = FrameSampling.for_factor(factor).changed(**given)
        assert frame_size(height, width, frames, ours) == resized[-1]


def test_defaults_are_those_of_the_first_model():
    assert FrameSampling.for_factor(28) == FrameSampling()


def test_a_size_of_just_the_most_pixels_is_kept(reference):
    budget = {"factor": 28, "min_pixels": 784, "max_pixels": 112 * 112}
    assert smart_resize(120, 104, **budget) == reference.smart_resize(120, 104, **budget) == (112, 112)


def test_short_clips():
    assert [smart_nframes(n, 30.0) for n in (1, 2, 3, 4, 5)] == [2, 2, 2, 4, 4]


def test_more_pixels_than_the_reference_allows_are_honoured():
    assert math.prod(frame_size(2160, 3840, 4, FrameSampling(max_pixels=2000 * 784))) > 1900 * 784


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"fps": 0}, "fps"),
        ({"fps": float("nan")}, "fps"),
        ({"max_frames": 1}, "max_frames"),
        ({"min_frames": 0}, "min_frames"),
        ({"max_pixels": 1000}, "lower both"),
        ({"total_pixels": 0}, "total_pixels"),
        ({"min_pixels": float("nan")}, "min_pixels is nan"),
        ({"max_pixels": float("nan")}, "max_pixels is nan"),
        ({"total_pixels": float("nan")}, "total_pixels is nan"),
    ],
)
def test_bad_settings_are_named(settings, says):
    with pytest.raises(SettingsError, match=says):
        FrameSampling(**settings)


def test_bounds_that_exclude_each_other_are_refused():
    with pytest.raises(SettingsError, match="lower both"):
        smart_resize(100, 100, factor=28, min_pixels=7840, max_pixels=7839)


def test_pixels_below_the_fewest_are_honoured():
    changed = FrameSampling().changed(max_pixels=56 * 56, fps=None)
    assert changed == FrameSampling(min_pixels=56 * 56, max_pixels=56 * 56)
    assert FrameSampling().changed(max_pixels=784, min_pixels=28).min_pixels == 28
    assert FrameSampling().changed(max_frames=8, fps=1.0) == FrameSampling(max_frames=8, fps=1.0)


@pytest.mark.parametrize("factor", [28, 32])
def test_a_lower_bound_than_the_model_s_is_passed_by_enlarged_frames_alone_and_by_half(factor):
    rng = random.Random(factor)
    for _ in range(2000):
        height = rng.randint(16, 3000)
        width = rng.randint(max(16, height // 8), 8 * height)
        most = rng.randint(16, 127) * factor**2
        chosen = frame_size(height, width, 2, FrameSampling.for_factor(factor).changed(max_pixels=most))
        enlarged = math.prod(chosen) > height * width
        assert math.prod(chosen) <= (1.5 if enlarged else 1) * most, (height, width, most)


def test_thin_pictures():
    assert smart_resize(40, 8000, factor=28, min_pixels=100352, max_pixels=105369)[0] == 28
    assert smart_resize(1, 200, factor=28, min_pixels=784, max_pixels=784 * 99)[0] == 28
    assert smart_resize(200, 1, factor=28, min_pixels=784, max_pixels=784 * 99)[1] == 28
    with pytest.raises(MediaError, match="200:1"):
        smart_resize(10, 2001, factor=28, min_pixels=784, max_pixels=784 * 99)


@pytest.mark.parametrize(("total", "rate"), [(0, 30.0), (30, 0.0), (30, math.inf), (30, math.nan)])
def test_no_frames_cannot_be_sampled(total, rate):
    with pytest.raises(MediaError, match="no frames to sample"):
        smart_nframes(total, rate)


@pytest.mark.parametrize("size", [(0, 100), (100, 0)])
def test_pictures_without_pixels(size):
    with pytest.raises(MediaError, match="no pixels"):
        smart_resize(*size, factor=28, min_pixels=784, max_pixels=784 * 99)
