"""What a layout counts and finds, the same whether the host knows it beforehand or looks at the tokens."""

from copy import copy
from dataclasses import replace

import pytest
import torch

from seats.tokens.counts import Counts
from seats.tokens.layout import Modality, TokenLayout, count_modalities, positions_of
from tests.methods.layouts import layout_of
from tests.waits import hide_values

CLIPS = {"both": ((3, 2, 5), 60), "one grid": ((1, 2, 5), 60), "no sound": ((3, 2, 5), 0), "no picture": (None, 60)}


def known(layout: TokenLayout, beforehand: bool) -> TokenLayout:
    return layout.to("cpu") if beforehand else layout


@pytest.mark.parametrize("beforehand", [False, True])
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("family", ["qwen2.5-omni", "qwen3-omni"])
def test_what_a_layout_says(family, clip, beforehand):
    grid, audio = CLIPS[clip]
    layout = known(layout_of(family, grid, audio), beforehand)
    assert (layout.known is not None) == beforehand
    kinds = layout.modality.tolist()
    assert layout.counts() == Counts(*(kinds.count(kind) for kind in (0, 1, 2))) == count_modalities(layout.modality)
    assert (layout.counts().video, layout.counts().audio) == (10 * grid[0] if grid else 0, audio)
    assert layout.counts().total == len(layout)
    for kind in Modality:
        assert layout.positions(kind).tolist() == [i for i, of in enumerate(kinds) if of == kind]
    assert layout.tokens_per_grid() == (10 if grid else 0)
    grids = layout.video_grids()
    assert grids.shape == ((grid[0], 10) if grid else (0, 0))
    for t, at in enumerate(grids):
        assert (layout.grid[at, 0] == t).all()
    # Behind the clip: the end of the sound where there are pictures too, the end of the clip, and two words.
    assert layout.question() == (4 if grid and audio else 3)


@pytest.mark.parametrize("beforehand", [False, True])
def test_a_selection_leaves_the_question(beforehand):
    layout = known(layout_of("qwen2.5-omni", (3, 2, 5), 60), beforehand)
    keep = layout.is_modality(Modality.TEXT) | (layout.row % 2 == 0)
    counts = Counts(layout.counts().text, 15, 30)
    for kept in (layout.select(keep), layout.select(keep, counts), layout.select(keep.nonzero()[:, 0], counts)):
        assert kept.counts() == counts
        assert kept.question() == 4
        assert kept.positions(Modality.VIDEO).tolist() == kept.is_modality(Modality.VIDEO).nonzero()[:, 0].tolist()
    nothing_left = layout.select(layout.is_modality(Modality.TEXT), Counts(counts.text, 0, 0))
    assert nothing_left.question() == (4 if beforehand else counts.text)


@pytest.mark.parametrize(("sound", "parted"), [(2, False), (0, True)])
def test_text_between_pictures_and_sound(sound, parted):
    """A selection can take a whole part, but never makes one."""
    between = torch.tensor([0, 1, 1, sound, 2, 2, 0], dtype=torch.int8)
    layout = replace(layout_of("qwen2.5-omni", (1, 1, 1), 1), modality=between)
    assert layout.parted() is None
    layout = layout.to("cpu")
    assert layout.parted() is parted
    kept = layout.select(torch.tensor([0, 1, 3, 6]), Counts(2, 1, 1))
    assert kept.parted() is (None if parted else False)
    assert layout.select(torch.tensor([0, 1, 3, 6])).parted() is None


def test_what_a_selection_leaves_is_looked_up_when_asked_for(monkeypatch):
    layout = layout_of("qwen2.5-omni", (3, 2, 5), 60)
    looked_up = []
    index_select = torch.Tensor.index_select
    monkeypatch.setattr(torch.Tensor, "index_select", lambda x, *a: looked_up.append(x) or index_select(x, *a))
    first, second = torch.arange(0, len(layout), 2), torch.arange(0, len(layout) // 2, 3)
    kept = layout.select(first).select(second)
    assert looked_up == []
    assert len(kept) == len(second)
    for name in ("modality", "window", "row", "grid", "time_s", "origin"):
        assert torch.equal(getattr(kept, name), getattr(layout, name)[first][second])
        looked_up.clear()
        assert getattr(kept, name) is getattr(kept, name)
        assert looked_up == []
    assert torch.equal(copy(kept).to("cpu").origin, kept.origin)
    with pytest.raises(AttributeError, match="nothing"):
        _ = kept.nothing


def test_a_clip_at_the_very_end_is_followed_by_a_question_of_one():
    layout = layout_of("qwen2.5-omni", None, 30)
    assert layout.select(torch.arange(len(layout) - 3)).question() == 1


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_positions_are_those_of_nonzero_wherever_the_mask_is(share, monkeypatch):
    mask = torch.rand(50, generator=torch.Generator().manual_seed(0)) < share
    seen = positions_of(mask, int(mask.sum()))
    hide_values(monkeypatch)
    assert torch.equal(positions_of(mask, len(seen)), seen)
    assert torch.equal(seen, mask.nonzero()[:, 0])


@pytest.mark.parametrize(("count", "expected"), [(1, [1]), (3, [1, 3, 0])])
def test_positions_of_another_number_than_was_said(count, expected, monkeypatch):
    """As where numbers overflowed; on a GPU, a place out of range would fail everything after it."""
    hide_values(monkeypatch)
    assert positions_of(torch.tensor([False, True, False, True]), count).tolist() == expected
