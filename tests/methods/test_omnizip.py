"""OmniZip against its rule with loops over tokens, anchors and windows."""

import math

import pytest
import torch

from seats.errors import SettingsError
from seats.methods import BeforeLLM
from seats.methods.omnizip import OmniZip, drop_ratios
from seats.tokens.layout import Modality
from tests.methods.layouts import cosine, cosines, layout_of, random_state


def zip_audio(audio, saliency, video, share):
    """Kept tokens with their embeddings."""
    n = len(audio)
    dominant = round((share - 0.05) * n)
    kept = {i: audio[i].double() for i in sorted(range(n), key=lambda i: (-float(saliency[i]), i))[:dominant]}
    rest = [i for i in range(n) if i not in kept]
    number = min(round(0.05 * n), len(rest))
    if not number:
        return kept
    anchors = rest[:: max(1, len(rest) // number)][:number]
    others = [i for i in rest if i not in anchors]
    alike, seen_by = cosines(audio, audio), cosines(audio, video)
    nearest = {i: max(anchors, key=lambda a, i=i: alike[i][a]) for i in others}
    for anchor in anchors:
        mine = [i for i in others if nearest[i] == anchor]
        seen = {i: max(seen_by[i], default=alike[i][anchor]) for i in mine}
        taken = sorted(mine, key=lambda i: (-seen[i], i))[:3]
        kept[anchor] = audio[anchor].double()
        if taken:
            weights = [math.exp(seen[i]) for i in taken]
            mean = sum(w * audio[i].double() for w, i in zip(weights, taken, strict=True)) / sum(weights)
            kept[anchor] = (kept[anchor] + mean) / 2
    return kept


def peaks(features, count):
    n = len(features)
    d = [[1 - x for x in row] for row in cosines(features, features)]
    density = []
    for i in range(n):
        near = sorted(d[i][j] for j in range(n) if j != i)[:5]
        density.append(math.exp(-sum(near) / len(near)))
    score = []
    for i in range(n):
        denser = [d[i][j] for j in range(n) if density[j] > density[i]]
        score.append(density[i] * (min(denser) if denser else max(d[i][j] for j in range(n) if j != i)))
    return set(sorted(range(n), key=lambda i: (-score[i], i))[:count])


def zip_run(features, size, drop):
    """Kept tokens of one run of video."""
    if len(features) < size:
        return set(range(len(features)))
    kept, count = set(), int(size * (1 - drop))
    for t in range(len(features) // size):
        mine = features[t * size : (t + 1) * size]
        if t % 2:
            before = features[(t - 1) * size : t * size]
            found = sorted(range(size), key=lambda i: (cosine(mine[i], before[i]), i))[:count]
        else:
            found = peaks(mine, count)
        kept |= {t * size + i for i in found}
    return kept


def runs(layout, kind):
    """Positions of each run of one modality."""
    found, previous = [], None
    for i, modality in enumerate(layout.modality.tolist()):
        if modality == int(kind):
            if previous != modality:
                found.append([])
            found[-1].append(i)
        previous = modality
    return found


CLIPS = [
    ("qwen2.5-omni", (9, 3, 4), 215, 2.0),
    ("qwen2.5-omni", (11, 3, 3), 120, 2.0),  # sound ends before the picture
    ("qwen2.5-omni", (4, 3, 3), 500, 0.4),  # grids further apart than a window: runs of single tokens
    ("qwen3-omni", (7, 3, 4), 88, 2.0),
    ("qwen3-omni", (4, 2, 2), 50, 2.0),  # grids of fewer tokens than a density has neighbours
    ("qwen3-omni", (5, 3, 4), 0, 2.0),
    ("qwen2.5-omni", (5, 3, 4), 0, 2.0),
    ("qwen2.5-omni", None, 90, 2.0),
]


@pytest.mark.parametrize(("family", "grid", "audio_tokens", "fps"), CLIPS)
@pytest.mark.parametrize(("video", "audio"), [(0.3, 0.65), (0.6, 0.4), (0.25, 0.05), (0.4, 1.0)])
def test_clips(family, grid, audio_tokens, fps, video, audio):
    layout = layout_of(family, grid, audio_tokens, fps)
    state = random_state(layout, smooth=True)
    found = OmniZip(video, audio).before_llm(state)
    is_audio, is_video = layout.is_modality(Modality.AUDIO), layout.is_modality(Modality.VIDEO)
    heard = is_audio.nonzero()[:, 0].tolist()
    kept = set()
    if heard:
        sound = zip_audio(state.embeds[is_audio], state.saliency[is_audio], state.embeds[is_video], audio)
        for i, embed in sound.items():
            torch.testing.assert_close(found.embeds[heard[i]].double(), embed, rtol=1e-4, atol=1e-5)
        kept = {heard[i] for i in sound}
    seen, sounds = runs(layout, Modality.VIDEO), runs(layout, Modality.AUDIO)
    retained = [sum(i in kept for i in run) / len(run) for run in sounds[: len(seen)]]
    drops = drop_ratios(retained, [len(run) for run in seen], 1 - video)
    for run, drop in zip(seen, drops, strict=True):
        kept |= {run[i] for i in zip_run(state.embeds[run], grid[1] * grid[2], drop)}
    assert set((found.keep & (is_audio | is_video)).nonzero()[:, 0].tolist()) == kept


def test_the_clips_of_this_test_have_runs_shorter_than_a_grid():
    layout = layout_of(*CLIPS[2])
    assert 1 in {len(run) for run in runs(layout, Modality.VIDEO)}


def test_two_windows_go_by_their_audio_and_the_rest_by_the_target():
    assert drop_ratios([1.0, 0.0], [10, 10, 10], 0.6) == pytest.approx([0.35, 0.75, 0.6])
    assert drop_ratios([], [10, 20], 0.6) == [0.6, 0.6]


def test_windows_between_the_ends_are_scaled_to_the_target():
    # Half of the audio gives 0.55. The ends hold 0.35 and 0.75 of 100 tokens; 240 of 400 leave 130 for 110 at 0.55.
    found = drop_ratios([0.5, 1.0, 0.0, 0.5], [100, 100, 100, 100], 0.6)
    assert found == pytest.approx([0.65, 0.35, 0.75, 0.65])
    assert sum(found) / 4 == pytest.approx(0.6)


def test_windows_between_the_ends_keep_their_proportion():
    # 220 of 400 leave 110 for the 120 that 0.55 and 0.65 would drop.
    found = drop_ratios([1.0, 0.0, 0.5, 0.25], [100, 100, 100, 100], 0.55)
    assert found == pytest.approx([0.35, 0.75, 0.55 * 11 / 12, 0.65 * 11 / 12])


def test_what_one_window_cannot_take_the_other_does_in_part():
    # 0.55 and 0.39 scale by 150/94; the first is clipped at 0.75, and each gets half of what that leaves.
    found = drop_ratios([1.0, 0.0, 0.5, 0.9], [100, 100, 100, 100], 0.65)
    second = 0.39 * 150 / 94
    assert found == pytest.approx([0.35, 0.75, 0.75, second + (1.5 - 0.75 - second) / 2])


def test_what_clipping_leaves_is_spread_over_the_windows_between():
    # 0.55 and 0.39 scale by 260/94 past 0.75; nothing is left to give, and the total is missed.
    found = drop_ratios([1.0, 0.0, 0.5, 0.9], [100, 100, 100, 100], 0.925)
    assert found == pytest.approx([0.35, 0.75, 0.75, 0.75])
    # Sizes 100, 100, 300, 10: the large window is clipped at 0.35 from below, the small one takes none of it.
    found = drop_ratios([1.0, 0.0, 0.6, 0.2], [100, 100, 300, 10], 0.4)
    others = 0.51 * 300 + 0.67 * 10
    scale = (0.4 * 510 - 110) / others
    first = [max(0.35, 0.51 * scale), max(0.35, 0.67 * scale)]
    each = (0.4 * 510 - 110 - first[0] * 300 - first[1] * 10) / 310
    assert each < 0
    assert found == pytest.approx([0.35, 0.75, max(0.35, first[0] + each), max(0.35, first[1] + each)])


def test_an_anchor_lies_halfway_to_what_it_takes_in():
    layout = layout_of("qwen2.5-omni", None, 20)
    state = random_state(layout)
    where = layout.is_modality(Modality.AUDIO)
    axes = torch.eye(16)
    state.embeds[where] = axes[0].repeat(20, 1)
    state.embeds[where.nonzero()[5:8, 0]] = axes[1]
    state.saliency[where] = torch.arange(20.0)
    # 17 of 20 by saliency; of the first three, the first is the anchor and takes in the other two, equal to itself.
    found = OmniZip(0.3, 0.9).before_llm(state)
    assert found.keep[where].tolist() == [True, False, False] + [True] * 17
    torch.testing.assert_close(found.embeds[where], state.embeds[where])


@pytest.mark.parametrize(
    ("video", "audio", "message"),
    [
        (0.2, 0.55, "keep 20 % of the video tokens: choose --keep-video 25% to 65%, or a higher --keep"),
        (0.676923, 0.8, "keep 67.69 % of the video tokens: choose --keep-video 25% to 65%, or a lower --keep"),
        (0.3, 0.01, "keep 1 % of the audio"),
    ],
)
def test_what_is_out_of_reach_is_said(video, audio, message):
    with pytest.raises(SettingsError, match=message):
        OmniZip(video, audio)


def test_sound_without_saliency_is_refused():
    state = random_state(layout_of("qwen2.5-omni", None, 30))
    with pytest.raises(ValueError, match="needs the encoder's saliency"):
        OmniZip(0.3, 0.5).before_llm(BeforeLLM(state.embeds, state.layout, None))
