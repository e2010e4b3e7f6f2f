"""Which frames are chosen from lists of timestamps, and what is said of them."""

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from seats.media import load_clip
from seats.media.sampling import FrameSampling, smart_nframes
from seats.media.timeline import choose_frames
from seats.plan.clip import clip_facts, take
from tests.media.make import numbered_picture, write_clip

_ALL = {"start_s": 0.0, "end_s": float("inf")}


@pytest.mark.parametrize(
    ("rate", "rounding_s"),
    [*product([10, 24000 / 1001, 25, 30000 / 1001, 30, 60], [1e-9, 1 / 90_000, 1e-3]), (240, 1e-3), (960, 1 / 90_000)],
)
def test_constant_rate_gives_the_frames_of_the_reference(rate, rounding_s):
    """However the container rounds timestamps: linspace over the indices, rounded, as in `_read_video_*`.

    In the last count are ties that fall so only where positions are counted from both ends.
    """
    torch = pytest.importorskip("torch")
    for count in (2, 5, 47, 300, 1801, 9211):
        times = np.round(np.arange(count) / rate / rounding_s) * rounding_s
        choice = choose_frames(times, 1 / rate, **_ALL, sampling=FrameSampling(), rates=(rate,))
        frames = smart_nframes(count, rate)
        expected = torch.linspace(0, count - 1, frames).round().long()
        assert choice.indices.tolist() == expected.tolist()
        assert choice.fps == pytest.approx(frames / count * rate)
        assert choice.source_fps == pytest.approx(rate)


def test_a_range_takes_the_frames_of_the_reference():
    times = np.arange(300) / 30
    choice = choose_frames(times, 1 / 30, start_s=2.01, end_s=5.0, sampling=FrameSampling(), rates=(30,))
    # decord and torchcodec readers: first frame ceil(2.01 * 30) = 61, last floor(5 * 30) = 150, 90 frames
    assert choice.indices.tolist() == np.round(np.linspace(61, 150, 6)).astype(int).tolist()


@pytest.mark.parametrize(("late_s", "end_s"), [(0, 2.98), (0, 2.99), (1e-4, 3.0)])
def test_a_range_that_ends_while_a_picture_is_shown_holds_it_whole(late_s, end_s):
    times = late_s + np.arange(120) / 30
    choice = choose_frames(times, 1 / 30, start_s=0.0, end_s=end_s, sampling=FrameSampling(), rates=(30.0,))
    assert (len(choice.indices), choice.source_fps) == (6, 30.0)


def test_varying_rate_takes_the_picture_on_the_screen():
    # 10 s: one second at 30 fps, a still of 8 s, one second at 30 fps
    times = np.concatenate([np.arange(30) / 30, 9 + np.arange(30) / 30])
    choice = choose_frames(times, 1 / 30, **_ALL, sampling=FrameSampling())
    assert len(choice.indices) == 20
    assert choice.fps == pytest.approx(2.0)
    assert choice.source_fps == pytest.approx(6.0)
    # 300 steps of 1/30 s; frames 29 (0.97 s) to 30 (9.0 s) stand still between
    steps = np.round(np.linspace(0, 299, 20)).astype(int)
    expected = [step if step < 30 else 29 if step < 270 else step - 240 for step in steps.tolist()]
    assert choice.indices.tolist() == expected


def test_pictures_that_come_later_and_vary_have_the_rate_from_the_first_on():
    times = np.concatenate([5 + np.arange(30) / 30, 14 + np.arange(30) / 30])
    choice = choose_frames(times, 1 / 30, **_ALL, sampling=FrameSampling())
    assert choice.source_fps == pytest.approx(6.0)
    assert len(choice.indices) / choice.fps == pytest.approx(15.0)


def test_slides_behind_a_film_are_taken_once_each():
    times = np.concatenate([np.arange(300) / 30, 10.0 + np.arange(20)])
    choice = choose_frames(times, 1.0, start_s=15.0, end_s=24.0, sampling=FrameSampling())
    assert choice.indices.tolist() == list(range(305, 315))
    assert (choice.fps, choice.source_fps) == (pytest.approx(1.0), pytest.approx(1.0))


def test_slides_with_a_burst_are_sampled_by_time():
    times = np.array([0.0, 50, 51, 52, 53, 54, 55, 56, 57, 58])
    choice = choose_frames(times, 2.0, **_ALL, sampling=FrameSampling())
    assert choice.fps == pytest.approx(1.0, rel=0.05)
    assert set(choice.indices.tolist()) >= {0, 1, 2, 3, 4, 5, 6, 7, 8}
    assert (choice.indices == 0).sum() >= 48
    assert len(choice.indices) / choice.fps == pytest.approx(60)  # the last one is shown for 2 s


@pytest.mark.parametrize(("minutes", "dropped"), [(1, 15), (10, 40), (60, 500)])
def test_a_few_dropped_frames_do_not_shift_the_clock(minutes, dropped):
    """The header says 30; pictures over the time they cover must be `fps`, or sound and pictures drift apart."""
    seconds = 60 * minutes
    kept = np.setdiff1d(np.arange(30 * seconds), np.random.default_rng(0).integers(1, 30 * seconds - 1, dropped))
    choice = choose_frames(np.round(kept / 30, 3), 1 / 30, **_ALL, sampling=FrameSampling(), rates=(30,))
    assert len(choice.indices) / choice.fps == pytest.approx(seconds, abs=0.01)
    assert choice.source_fps == pytest.approx(len(kept) / seconds, rel=1e-4)


def test_a_start_just_before_the_end_has_a_true_rate():
    times = np.arange(60) / 30
    choice = choose_frames(times, 1 / 30, start_s=1.999, end_s=float("inf"), sampling=FrameSampling(), rates=(30,))
    assert set(choice.indices.tolist()) == {59}
    assert choice.source_fps == pytest.approx(30)
    assert len(choice.indices) / choice.fps == pytest.approx(1 / 30)


def test_a_last_picture_of_unknown_length_is_shown_as_long_as_others():
    times = np.arange(60) / 30
    choice = choose_frames(times, 0.0, start_s=1.99, end_s=float("inf"), sampling=FrameSampling())
    assert set(choice.indices.tolist()) == {59}
    assert choose_frames(times, 0.0, start_s=2.01, end_s=float("inf"), sampling=FrameSampling()) is None


@pytest.mark.parametrize(("last_s", "rates", "rate"), [(0.5, (10,), 2), (0.0, (10, 20), 10), (0.0, (), 25)])
def test_a_single_picture_has_the_rate_that_the_file_tells(last_s, rates, rate):
    choice = choose_frames(np.zeros(1), last_s, **_ALL, sampling=FrameSampling(), rates=rates)
    assert choice.indices.tolist() == [0, 0]
    assert choice.source_fps == pytest.approx(rate)
    assert len(choice.indices) / choice.fps == pytest.approx(1 / rate)


def test_a_still_inside_the_range_is_taken():
    times = np.array([0.0, 1.0, 20.0, 21.0])
    choice = choose_frames(times, 1.0, start_s=5, end_s=10, sampling=FrameSampling())
    assert set(choice.indices.tolist()) == {1}


def test_a_range_that_begins_within_a_still_shows_it_until_the_next_picture():
    times = np.array([0.0, 1.0, 20.0, 21.0])
    choice = choose_frames(times, 1.0, start_s=5, end_s=22, sampling=FrameSampling())
    shown_s = 5 + np.round(np.linspace(0, 16, len(choice.indices)))  # 17 steps of a second
    assert choice.indices.tolist() == np.where(shown_s < 20, 1, np.where(shown_s < 21, 2, 3)).tolist()


@pytest.mark.parametrize(
    ("seconds", "start_s", "end_s", "chosen"),
    [(10, 0, 9.5, [0, 0]), (10, 11, 19.5, [1, 1]), (1, 2.2, 2.92, [2, 2]), (1, 0, 2.92, [0, 2])],
)
def test_a_picture_that_appears_after_the_end_is_not_taken(seconds, start_s, end_s, chosen):
    times = seconds * np.arange(30.0)
    choice = choose_frames(times, float(seconds), start_s=start_s, end_s=end_s, sampling=FrameSampling())
    assert choice.indices.tolist() == chosen


@pytest.mark.parametrize("gop", [1, 1000])
def test_slides_behind_a_film_are_the_same_however_far_around_them_is_read(tmp_path, gop):
    pts = [*(40 * number for number in range(150)), *(6000 + 60_000 * number for number in range(1, 8))]
    options = {"preset": "ultrafast", "x264-params": "scenecut=0"}
    path = write_clip(tmp_path / "slides.mp4", frames=len(pts), pts_ms=pts, gop=gop, options=options)
    video = load_clip(path, start_s=75, end_s=125).video
    assert len(video.times) == take(clip_facts(path), FrameSampling(), 75, 125).frames == 2


@pytest.mark.parametrize(("start_s", "first"), [(5.5, 0), (25.0, 0), (35.0, 1), (58.7, 1), (61.3, 1)])
def test_slides_keep_step_with_the_sound_wherever_the_range_begins(start_s, first):
    """The slide that is on the screen at the start is taken unless it goes soon."""
    times = 60 * np.arange(12.0)
    choice = choose_frames(times, 60.0, start_s=start_s, end_s=720.0, sampling=FrameSampling())
    seconds = start_s + np.arange(len(choice.indices)) / choice.fps
    assert choice.indices[0] == first
    assert len(choice.indices) / choice.fps == pytest.approx(720 - max(times[first], start_s))
    assert np.abs(times[choice.indices] - seconds)[:4].max() <= 30  # half a slide; one is left out later, to make pairs


def test_the_slide_on_the_screen_at_the_start_is_read_and_planned(tmp_path):
    path = write_clip(tmp_path / "slides.mp4", frames=8, pts_ms=[10_000 * number for number in range(8)], gop=1)
    clip = load_clip(path, start_s=11.5)
    assert clip.video.times == pytest.approx([-1.5, 8.5, 18.5, 38.5, 48.5, 58.5], abs=0.01)
    assert not any("late" in note for note in clip.notes)
    part = take(clip_facts(path), FrameSampling(), 11.5)
    assert (part.frames, part.fps) == (6, pytest.approx(clip.video.fps))


def test_nothing_shown():
    times = np.arange(30) / 30 + 5
    for start, end in ((0, 3), (times[-1] + 1 / 30, 9), (7, 9)):
        assert choose_frames(times, 1 / 30, start_s=start, end_s=end, sampling=FrameSampling()) is None
    assert choose_frames(np.zeros(0), 0, **_ALL, sampling=FrameSampling()) is None


@settings(max_examples=150, deadline=None)
@given(
    gaps=st.lists(st.floats(0.001, 3.0), min_size=0, max_size=80),
    offset=st.floats(0, 5),
    start=st.floats(0, 40),
    length=st.floats(0.05, 60),
    fps=st.floats(0.1, 30),
    most=st.integers(2, 50),
)
@example(gaps=[0.0625, 1.0, 0.0625], offset=0.0, start=0.0625, length=1.0, fps=1.0, most=2)
@example(gaps=[1.0, 1.0, 1.4, 1.0], offset=0.0, start=3.2, length=0.1, fps=2.0, most=4)  # inside a long picture
def test_every_chosen_frame_is_on_the_screen_in_the_range(gaps, offset, start, length, fps, most):
    times = offset + np.concatenate([[0.0], np.cumsum(gaps)])
    last_s = gaps[-1] if gaps else 1.0
    end = start + length
    sampling = FrameSampling(fps=fps, max_frames=most)
    choice = choose_frames(times, last_s, start_s=start, end_s=end, sampling=sampling)
    until = np.append(times[1:], times[-1] + last_s)
    if choice is None:
        assert not ((times <= end) & (until > start)).any()
        return
    assert len(choice.indices) % 2 == 0
    assert 2 <= len(choice.indices) <= most
    assert (np.diff(choice.indices) >= 0).all()
    # A tenth of the usual interval, that between pictures in the range where there are several, passes for rounding.
    inside = times[(times >= start) & (times <= end)]
    several = inside if len(inside) > 1 else times
    typical = np.median(np.diff(several)) if len(several) > 1 else last_s
    assert times[choice.indices[-1]] <= end + 0.5 * typical + 1e-9
    assert until[choice.indices[0]] >= start - 0.5 * typical - 1e-9
    assert choice.fps > 0


def test_a_rate_that_is_assumed_is_said(tmp_path):
    assumed = "the video has no timestamps; 30 frames per second assumed"
    raw, icon = write_clip(tmp_path / "raw.h264", frames=60, container_format="h264"), tmp_path / "one.ico"
    Image.fromarray(numbered_picture(1)).save(icon)
    for path, said in ((raw, True), (icon, False)):  # of one picture there is no rate
        assert (assumed in load_clip(path).notes) == said
        assert (assumed in take(clip_facts(path), FrameSampling()).notes) == said
        assert any("timestamps" in note for note in load_clip(path).notes) == said
