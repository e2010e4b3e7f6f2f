"""Descriptions: deterministic, disjoint between splits, inside the picture, crowded."""

import numpy as np
import pytest

from seats.nano.render_video import NOBODY, render_frames, token_owners
from seats.nano.world import FRAME_SIZE, describe_clip, describe_practice_clip, seed_of

SPLITS = ("train", "practice", "validation", "test", "sample")


def test_no_two_splits_share_a_seed_or_a_clip():
    seeds = {split: {seed_of(split, index) for index in range(3000)} for split in SPLITS}
    assert sum(len(found) for found in seeds.values()) == len(set.union(*seeds.values()))
    content = {}
    for split in SPLITS:
        for index in range(200):
            clip = describe_clip(split, index)
            assert content.setdefault((clip.objects, clip.sounds), split) == split


def test_descriptions_do_not_depend_on_what_was_drawn_before():
    assert describe_clip("test", 7) == describe_clip("test", 7)
    first = [describe_clip("test", index) for index in range(5)]
    backwards = [describe_clip("test", index) for index in reversed(range(5))]
    assert first == backwards[::-1]


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_objects_stay_inside_and_appear_one_at_a_time(difficulty):
    for index in range(100):
        clip = describe_clip("train", index, difficulty=difficulty)
        births = [item.first_second for item in clip.objects]
        assert births == sorted(set(births))
        assert len({(item.shape, item.colour) for item in clip.objects}) == len(clip.objects)
        assert [sound.second for sound in clip.sounds] == sorted({sound.second for sound in clip.sounds})
        for item in clip.objects:
            assert item.first_second <= item.start < item.first_second + 0.21
            assert item.last_second + 0.9 < item.end <= item.last_second + 1 <= clip.seconds
            for time in (item.start, item.end):
                x, y = item.position(time)
                assert 10 <= x <= FRAME_SIZE - 10
                assert 10 <= y <= FRAME_SIZE - 10


def test_the_picture_is_crowded_beyond_the_smallest_budget():
    """At 6 % of the video tokens not even half of those that show an object can be kept."""
    shown = total = 0
    for index in range(30):
        clip = describe_clip("test", index)
        _, owners = render_frames(clip, (np.arange(2 * clip.seconds) + 0.4) * 0.5)
        labels = token_owners(owners, len(clip.objects))
        shown += (labels >= 0).sum()
        total += labels.size
    assert shown / total > 0.12


def test_some_objects_cross_the_post_and_go_behind_it():
    crossing = hidden = 0
    for index in range(60):
        clip = describe_clip("test", index)
        for number, item in enumerate(clip.objects):
            sides = [item.position(time)[0] < clip.post_x for time in (item.start, item.end)]
            if sides[0] != sides[1]:
                crossing += 1
                times = np.linspace(item.start, item.end - 1e-6, 30)
                areas = (render_frames(clip, times)[1] == number).sum(axis=(1, 2))
                hidden += areas.min() < 0.9 * areas.max()
    assert crossing > 10
    assert hidden > crossing / 2


def test_practice_clips_show_four_objects_in_every_second():
    clip = describe_practice_clip(3, 4)
    _, owners = render_frames(clip, np.arange(4) + 0.5)
    for owner in owners:
        assert len(set(np.unique(owner).tolist()) - {NOBODY}) == 4


def test_clips_without_sound_or_picture():
    assert describe_clip("test", 1, has_audio=False).sounds == ()
    assert describe_clip("test", 1, has_video=False).objects == ()
