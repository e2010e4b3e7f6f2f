"""Rendering: deterministic, and labelled rightly."""

import numpy as np

from seats.nano.examples import sample_times
from seats.nano.render_audio import render_waveform
from seats.nano.render_video import NOBODY, degrade, render_frames, shape_mask, token_owners
from seats.nano.vocabulary import COLOURS, SHAPES, SOUNDS
from seats.nano.world import describe_clip


def test_the_same_seed_gives_the_same_frames_and_sound():
    first, again, other = (describe_clip("train", index) for index in (3, 3, 4))
    times = np.arange(6) * 0.5
    assert first == again
    assert np.array_equal(render_frames(first, times)[0], render_frames(again, times)[0])
    assert np.array_equal(render_waveform(first), render_waveform(again))
    assert not np.array_equal(render_frames(first, times)[0], render_frames(other, times)[0])


def test_objects_are_drawn_in_their_colour_where_the_labels_say():
    for index in range(12):
        clip = describe_clip("train", index, difficulty=0.0)
        times = sample_times(clip, np.random.default_rng(index))
        frames, owners = render_frames(clip, times)
        for number, item in enumerate(clip.objects):
            expected = np.array(COLOURS[item.colour]) * item.gain
            for frame, owner, time in zip(frames, owners, times, strict=True):
                shown = owner == number
                assert shown.any() == (item.start <= time < item.end)
                if shown.any():
                    # Frame noise is unbiased; saturation at 255 pulls bright channels down a little.
                    error = np.abs(frame[shown].mean(axis=0) - np.minimum(expected, 255))
                    assert error.max() < 12, (index, item)


def test_every_object_is_seen_by_a_token_in_every_second_in_which_it_is_visible():
    missing = total = 0
    for index in range(40):
        clip = describe_clip("test", index)
        for seed in (2 * index, 2 * index + 1):
            _, owners = render_frames(clip, sample_times(clip, np.random.default_rng(seed)))
            labels = token_owners(owners, len(clip.objects))
            for number, item in enumerate(clip.objects):
                for second in range(item.first_second, item.last_second + 1):
                    total += 1
                    missing += number not in labels[second]
                outside = np.delete(labels, range(item.first_second, item.last_second + 1), axis=0)
                assert number not in outside
    assert missing <= total * 0.005


def test_shapes_cover_different_points():
    x, y = np.meshgrid(np.linspace(-1, 1, 41), np.linspace(-1, 1, 41))
    masks = [shape_mask(shape, x, y) for shape in SHAPES]
    for place, one in enumerate(masks):
        assert 0.2 < one.mean() < 0.9
        for other in masks[:place]:
            assert (one != other).mean() > 0.08


def test_nothing_is_owned_by_an_object_that_is_not_there():
    clip = describe_clip("test", 1, has_video=False)
    _, owners = render_frames(clip, np.arange(4) * 0.5)
    assert (owners == NOBODY).all()


def test_sounds_are_where_the_description_says():
    for index in range(20):
        clip = describe_clip("train", index, difficulty=0.0)
        energy = render_waveform(clip).reshape(-1, 400)  # 25 ms
        loud = np.sqrt((energy**2).mean(axis=1))
        times = (np.arange(len(loud)) + 0.5) * 0.025
        inside = np.zeros(len(loud), bool)
        for sound in clip.sounds:
            assert sound.kind in SOUNDS
            assert sound.second < sound.start < sound.start + sound.duration < sound.second + 1
            here = (times > sound.start) & (times < sound.start + sound.duration)
            assert loud[here].max() > 0.02
            inside |= (times > sound.start - 0.03) & (times < sound.start + sound.duration + 0.03)
        assert loud[~inside].max() < 0.02


def test_degrading_keeps_the_picture_recognisable():
    frames, _ = render_frames(describe_clip("train", 2, 4), np.arange(8) * 0.5)
    for seed in range(6):
        worse = degrade(frames, np.random.default_rng(seed))
        assert worse.dtype == np.uint8
        assert np.abs(worse.astype(float) - frames).mean() < 12
