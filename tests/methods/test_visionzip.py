"""VisionZip against its rule, token by token."""

import pytest
import torch

from seats.errors import SettingsError
from seats.methods import BeforeLLM
from seats.methods.visionzip import VisionZip, VisionZipOm
from seats.tokens.layout import Modality
from tests.methods.layouts import cosines, layout_of, random_state


def zipped(embeds, saliency, keys, ratio):
    """Kept tokens of one window, in order, with their new embeddings."""
    n = len(embeds)
    share = max(ratio - 0.05, 0.0)
    dominant = min(n, max(1, int(share * n))) if share else 0
    contextual = min(n - dominant, max(1, round(0.05 * n)))
    by_saliency = sorted(range(n), key=lambda i: (-float(saliency[i]), i))
    kept = {i: embeds[i].double() for i in by_saliency[:dominant]}
    rest = [i for i in range(n) if i not in kept]
    if contextual:
        anchors = rest[:: max(1, len(rest) // contextual)][:contextual]
        taken = {anchor: [] for anchor in anchors}
        alike = cosines(keys, keys)
        for i in rest:
            if i not in taken:
                taken[max(anchors, key=lambda anchor, i=i: alike[i][anchor])].append(i)
        for anchor, others in taken.items():
            kept[anchor] = embeds[anchor].double()
            if others:
                kept[anchor] = kept[anchor] + sum(embeds[i].double() for i in others) / len(others)
    return dict(sorted(kept.items()))


def check(found, state, kind, window, ratio):
    where = state.layout.is_modality(kind).nonzero()[:, 0]
    for start in range(0, len(where), window):
        at = where[start : start + window]
        keys = state.keys[kind][start : start + window]
        expected = zipped(state.embeds[at], state.saliency[at], keys, ratio)
        assert found.keep[at].nonzero()[:, 0].tolist() == list(expected)
        for i, embed in expected.items():
            torch.testing.assert_close(found.embeds[at[i]].double(), embed, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["qwen2.5-omni", "qwen3-omni"])
@pytest.mark.parametrize(("grid", "audio"), [((3, 5, 6), 123), (None, 61), ((4, 3, 4), 0), ((2, 1, 2), 7)])
@pytest.mark.parametrize(("video", "sound"), [(0.06, 0.35), (0.3, 0.65), (0.05, 0.05), (0.97, 0.99)])
def test_om_zips_each_window(family, grid, audio, video, sound):
    layout = layout_of(family, grid, audio)
    state = random_state(layout)
    before = state.embeds.clone()
    found = VisionZipOm(video, sound).before_llm(state)
    assert torch.equal(state.embeds, before)
    if grid:
        check(found, state, Modality.VIDEO, grid[1] * grid[2], video)
    if audio:
        check(found, state, Modality.AUDIO, 50, sound)
    text = layout.is_modality(Modality.TEXT)
    assert torch.equal(found.embeds[text], before[text])


def test_multiply_adds_of_a_window():
    state = random_state(layout_of("qwen2.5-omni", (2, 10, 10), 0))
    # 25 dominant, 5 anchors, 70 tokens compared by 6-wide keys and summed over 16-wide embeddings.
    assert VisionZipOm(0.3, 1.0).before_llm(state).macs == 2 * 70 * 5 * (6 + 16)


def test_audio_stays_and_video_pays():
    layout = layout_of("qwen2.5-omni", (4, 6, 6), 50)
    state = random_state(layout)
    found = VisionZip(0.3, 0.65).before_llm(state)
    assert found.keep[layout.is_modality(Modality.AUDIO)].all()
    check(found, state, Modality.VIDEO, 36, (int(144 * 0.3 + 50 * 0.65) - 50) / 144)


def test_at_the_floor_video_is_merged_only_and_audio_drawn():
    layout = layout_of("qwen2.5-omni", (4, 6, 6), 100)
    state = random_state(layout)
    found = VisionZip(0.1, 0.5, seed=3).before_llm(state)
    check(found, state, Modality.VIDEO, 36, 0.05)
    audio = layout.is_modality(Modality.AUDIO)
    left = (int(144 * 0.1 + 100 * 0.5) - 0.05 * 144) / 100
    assert int(found.keep[audio].sum()) == round(left * 100)
    assert torch.equal(found.keep, VisionZip(0.1, 0.5, seed=3).before_llm(state).keep)


def test_what_is_out_of_reach_or_missing_is_said():
    said = r"visionzip-om cannot keep 4 % of the video tokens.*--keep-video 5% to 100%, or a higher --keep"
    with pytest.raises(SettingsError, match=said):
        VisionZipOm(0.04, 0.5)
    silent = random_state(layout_of("qwen2.5-omni", (2, 3, 4), 0))
    with pytest.raises(SettingsError, match="visionzip cannot keep 4 % of the video"):
        VisionZip(0.04, 0.5).before_llm(silent)
    with pytest.raises(ValueError, match="saliency and keys"):
        VisionZipOm(0.1, 0.5).before_llm(BeforeLLM(silent.embeds, silent.layout, silent.saliency))
