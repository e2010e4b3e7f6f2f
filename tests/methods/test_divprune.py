"""DivPrune against greedy max-min with loops."""

import pytest
import torch

from seats.methods.divprune import DivPrune, DivPruneOm
from seats.selection import counts
from seats.selection.farthest import select_farthest
from seats.tokens.layout import Modality
from tests.methods.layouts import cosines, layout_of, random_state


def farthest(features, count):
    n = len(features)
    distance = [[1 - x for x in row] for row in cosines(features, features)]
    chosen = [max(range(n), key=lambda j: (min(distance[i][j] for i in range(n) if i != j), -j))] if n > 1 else [0]
    while len(chosen) < count:
        left = [j for j in range(n) if j not in chosen]
        chosen.append(max(left, key=lambda j: (min(distance[i][j] for i in chosen), -j)))
    return sorted(chosen)


@pytest.mark.parametrize(("grid", "audio"), [((3, 3, 4), 23), (None, 41), ((2, 4, 5), 0), ((1, 1, 1), 1)])
def test_om_covers_each_modality(grid, audio):
    layout = layout_of("qwen3-omni", grid, audio)
    state = random_state(layout)
    found = DivPruneOm(0.3, 0.55).before_llm(state)
    macs = 0
    for kind, ratio in ((Modality.VIDEO, 0.3), (Modality.AUDIO, 0.55)):
        where = layout.is_modality(kind)
        n = int(where.sum())
        if n:
            count = max(1, round(ratio * n))
            assert found.keep[where].nonzero()[:, 0].tolist() == farthest(state.embeds[where], count)
            macs += 0 if count == n else n * n * 16 + (count - 1) * n * 16
    assert found.macs == macs
    assert found.embeds is None


@pytest.mark.parametrize("at_once", [1, 1000, counts.FARTHEST_BYTES])
def test_the_first_is_the_loneliest_of_all_however_many_are_compared_at_once(at_once, monkeypatch):
    monkeypatch.setattr(counts, "FARTHEST_BYTES", at_once)
    features = torch.randn(50, 8, generator=torch.Generator().manual_seed(1)).flip(0)
    for count in (1, 5):
        assert select_farthest(features, count).nonzero()[:, 0].tolist() == farthest(features, count)
    assert farthest(features, 1)[0] > 20  # not in the first part


def test_duplicates_are_never_chosen_twice():
    features = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).repeat(3, 1) * 7
    before = features.clone()
    for count in range(1, 13):
        keep = select_farthest(features, count)
        assert int(keep.sum()) == count
        assert len({i % 4 for i in keep.nonzero()[:, 0].tolist()}) == min(count, 4)
    assert torch.equal(features, before)
    with pytest.raises(ValueError, match="13 of 12"):
        select_farthest(features, 13)


def test_audio_stays_and_video_pays():
    layout = layout_of("qwen2.5-omni", (4, 6, 6), 50)
    state = random_state(layout)
    keep = DivPrune(0.3, 0.65).before_llm(state).keep
    video = layout.is_modality(Modality.VIDEO)
    assert keep[~video].all()
    count = int(144 * 0.3 + 50 * 0.65) - 50
    assert keep[video].nonzero()[:, 0].tolist() == farthest(state.embeds[video], count)
