"""FastVID against its rule with loops over segments, grids and tokens."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from seats.errors import SettingsError
from seats.methods.fastvid import FastVID
from seats.tokens.layout import Modality
from tests.methods.layouts import cosine, cosines, layout_of, random_state


def spread(total, parts):
    return [total // parts + (1 if i < total % parts else 0) for i in range(parts)]


def peaks(features, count):
    n, rows = len(features), features.double().numpy()
    e = [[float(np.linalg.norm(a - b)) / 4 for b in rows] for a in rows]
    density = [math.exp(-sum(x**2 for x in sorted(e[i])[:4]) / min(4, n)) for i in range(n)]
    score = []
    for i in range(n):
        denser = [e[i][j] for j in range(n) if (density[j], -j) > (density[i], -i)]
        score.append(density[i] * (min(denser) if denser else max(map(max, e))))
    return sorted(sorted(range(n), key=lambda i: (-score[i], i))[:count])


def fastvid(embeds, saliency, share):
    """Embeddings [T, G, D], saliency [T, G] → kept (grid, token) with their embeddings."""
    number, size, _ = embeds.shape
    whole = embeds.double().mean(1)
    like = [cosine(whole[t], whole[t + 1]) for t in range(number - 1)]
    smallest = sorted(range(number - 1), key=lambda t: like[t])[:7]
    cuts = [t + 1 for t in range(number - 1) if t in smallest or like[t] < 0.84]
    budget = int(size * share)
    flat = embeds.reshape(number * size, -1)
    alike = cosines(flat, flat)
    result = {}
    for start, stop in zip([0, *cuts], [*cuts, number], strict=True):
        length = stop - start
        context = max(1, int(0.4 * budget * length))
        salient = budget * length - context
        if length == 1:
            quota = {start: (salient, context)}
        else:
            targets = [t for t in range(start, stop) if t == stop - 1 or like[t] < 0.95]
            from_last = [targets[::-1][i] for i in range(0, len(targets), 4)]
            contexts = {t: min(c, size // 2) for t, c in zip(from_last, spread(context, len(from_last)), strict=True)}
            quota = {}
            for t, s in zip(targets, spread(salient, len(targets)), strict=True):
                c = contexts.get(t, 0)
                quota[t] = (min(s, size - c), c)
        chosen = set()
        for t, (s, _) in quota.items():
            chosen |= {(t, i) for i in sorted(range(size), key=lambda i, t=t: (-float(saliency[t, i]), i))[:s]}
        result |= {(t, i): embeds[t, i].double() for t, i in chosen}
        for t, (_, c) in quota.items():
            if not c:
                continue
            left = [i for i in range(size) if (t, i) not in chosen]
            anchors = [(t, left[i]) for i in peaks(embeds[t, left], c)]
            taken = {anchor: [] for anchor in anchors}
            for other in [(u, i) for u in range(start, stop) for i in range(size)]:
                if other not in chosen and other not in taken:
                    taken[max(anchors, key=lambda a, o=other: alike[o[0] * size + o[1]][a[0] * size + a[1]])].append(
                        other
                    )
            for anchor, others in taken.items():
                new = embeds[anchor].double()
                if others:
                    w = max(1 / (len(others) + 1), 0.6)
                    new = w * new + (1 - w) * sum(embeds[o].double() for o in others) / len(others)
                result[anchor] = new
    return result


def check(found, state, where, share):
    expected = fastvid(state.embeds[where], state.saliency[where], share)
    assert {tuple(at) for at in found.keep[where].nonzero().tolist()} == set(expected)
    for (t, i), embed in expected.items():
        torch.testing.assert_close(found.embeds[where[t, i]].double(), embed, rtol=1e-4, atol=1e-5)
    return expected


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("grid", "share"), [((24, 3, 4), 0.3), ((17, 2, 5), 0.61), ((3, 3, 4), 0.1), ((1, 2, 2), 0.3)])
def test_silent_clips(grid, share, seed):
    layout = layout_of("qwen3-omni", grid, 0)
    state = random_state(layout, seed, smooth=True)
    where = layout.video_grids()
    expected = check(FastVID(share, 0.5).before_llm(state), state, where, share)
    assert len(expected) <= grid[0] * int(share * grid[1] * grid[2])


def test_every_fourth_grid_of_a_long_segment_takes_in_the_others():
    """Pictures that change steadily have no near-duplicates, and no more cuts than there must be."""
    layout = layout_of("qwen3-omni", (48, 2, 3), 0)
    state = random_state(layout)
    where = layout.video_grids()
    turn = 0.45 * torch.arange(48)[:, None]
    state.embeds[where, :2] += 20 * torch.stack([turn.cos(), turn.sin()], -1)
    check(FastVID(0.5, 0.5).before_llm(state), state, where, 0.5)


def test_the_clips_of_this_test_have_segments_runs_and_single_grids():
    """Else the test above would not see half of the rule."""
    lengths, duplicates = set(), 0
    for seed in range(4):
        layout = layout_of("qwen3-omni", (24, 3, 4), 0)
        whole = random_state(layout, seed, smooth=True).embeds[layout.video_grids()].mean(1)
        like = torch.tensor([cosine(whole[t], whole[t + 1]) for t in range(23)])
        cut = like < 0.84
        cut[like.argsort()[:7]] = True
        ends = [0, *(cut.nonzero()[:, 0] + 1).tolist(), 24]
        lengths |= {stop - start for start, stop in pairwise(ends)}
        duplicates += int(((like >= 0.95) & ~cut).sum())
    assert 1 in lengths
    assert max(lengths) > 2
    assert duplicates


def test_one_grid_by_hand():
    """Four tokens, two stay: the salient one, and of the others the densest, which takes in the two left."""
    layout = layout_of("qwen3-omni", (1, 2, 2), 0)
    state = random_state(layout)
    where = layout.video_grids()[0]
    state.embeds[where] = torch.tensor([[5.0, 0], [1, 0], [1, 0.2], [1, -0.2]]).repeat(1, 8)
    state.saliency[where] = torch.tensor([0.7, 0.1, 0.1, 0.1])
    found = FastVID(0.5, 1.0).before_llm(state)
    assert found.keep[where].tolist() == [True, True, False, False]
    torch.testing.assert_close(found.embeds[where[1]], state.embeds[where[1]])  # the mean of the others is itself
    # 1 cosine grid pair none; 3 candidates; 2 tokens compared with 1 anchor and averaged.
    assert found.macs == 3 * 3 * 16 + 2 * 2 * 1 * 16


def test_of_equal_tokens_one_takes_in_the_others():
    """Ten tokens, six stay: four salient ones, and as density peaks one of the four equal tokens and one of the two
    unlike them, not two of the equal ones."""
    layout = layout_of("qwen3-omni", (1, 2, 5), 0)
    state = random_state(layout)
    where = layout.video_grids()[0]
    equal, unlike = torch.ones(4, 16), torch.cat([torch.ones(2, 8), -torch.ones(2, 8)], 1)
    state.embeds[where[4:]] = torch.cat([equal, unlike])
    state.saliency[where] = torch.tensor([0.2] * 4 + [0.1] * 6)
    found = FastVID(0.6, 1.0).before_llm(state)
    assert found.keep[where].nonzero()[:, 0].tolist() == [0, 1, 2, 3, 4, 8]


def test_audio_stays_and_video_pays():
    layout = layout_of("qwen2.5-omni", (6, 5, 8), 100)
    state = random_state(layout, smooth=True)
    where = layout.video_grids()
    found = FastVID(0.4, 0.8).before_llm(state)
    assert found.keep[layout.is_modality(Modality.AUDIO)].all()
    check(found, state, where, (int(240 * 0.4 + 100 * 0.8) - 100) / 240)


def test_at_the_floor_audio_is_drawn():
    layout = layout_of("qwen2.5-omni", (3, 4, 5), 200)
    state = random_state(layout)
    kept = [FastVID(0.1, 0.5, seed).before_llm(state).keep[layout.is_modality(Modality.AUDIO)] for seed in (0, 0, 1)]
    assert [int(k.sum()) for k in kept] == [int(60 * 0.1 + 200 * 0.5) - 3] * 3  # 5 % of the video are 3 tokens
    assert torch.equal(kept[0], kept[1])
    assert not torch.equal(kept[0], kept[2])


def test_a_target_of_everything_merges_nothing():
    found = FastVID(1.0, 1.0).before_llm(random_state(layout_of("qwen2.5-omni", (6, 2, 3), 30)))
    assert found.keep.all()
    assert found.embeds is None


def test_less_than_a_token_a_grid_is_refused():
    state = random_state(layout_of("qwen3-omni", (5, 2, 3), 0))
    with pytest.raises(SettingsError, match=r"fastvid cannot keep 10 % of the video.*16.7 %"):
        FastVID(0.1, 0.5).before_llm(state)
