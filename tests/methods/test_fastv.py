"""FastV against its rule written out with loops."""

import pytest
import torch

from seats.errors import SettingsError
from seats.methods import AfterLayer, ModelShape, Retention
from seats.methods.fastv import FastV, FastVOm
from seats.tokens.layout import Modality
from tests.methods.layouts import layout_of

SHAPE_7B = ModelShape("qwen2.5-omni", 28, {})


def after_layer(layout, scores):
    asked = []

    def relevance():
        asked.append(1)
        return scores

    return AfterLayer(2, torch.zeros(len(layout), 4), layout, relevance, relevance), asked


def highest(scores, where, count):
    """Positions of the `count` highest scores among `where`, lower index first where equal."""
    return set(sorted(where, key=lambda i: (-float(scores[i]), i))[:count])


def positions(layout, kind):
    return [i for i in range(len(layout)) if layout.modality[i] == int(kind)]


@pytest.mark.parametrize(
    ("layers", "ratio", "sigma"),
    [(28, 0.30, 0.2462), (28, 0.10, 0.0308), (28, 0.65, 0.6231), (48, 0.07, 0.0296), (48, 0.45, 0.4261)],
)
def test_what_stays_pays_for_the_two_layers_that_see_all(layers, ratio, sigma):
    method = FastVOm(ratio, ratio, layers)
    assert method._sigma(ratio) == pytest.approx(sigma, abs=1e-4)
    assert (2 + (layers - 2) * method._sigma(ratio)) / layers == pytest.approx(ratio)


@pytest.mark.parametrize("kind", [FastV, FastVOm])
def test_ten_percent_of_a_7b_is_out_of_reach(kind):
    with pytest.raises(
        SettingsError,
        match=r"cannot keep 6 % of the video.*28 layers.*--keep-video above 7.2 %, or",
    ):
        kind.for_model(SHAPE_7B, Retention(0.06, 0.35), 0)


def test_what_two_layers_alone_would_hold_is_out_of_reach():
    with pytest.raises(SettingsError, match=r"cannot keep 25 % of the audio.*above 25 %"):
        FastVOm(0.3, 0.25, 8)


@pytest.mark.parametrize(("grid", "audio"), [((5, 3, 4), 103), (None, 61), ((3, 3, 4), 0)])
@pytest.mark.parametrize("ties", [False, True])
def test_om_keeps_the_most_relevant_of_each_modality(grid, audio, ties):
    layout = layout_of("qwen2.5-omni", grid, audio)
    scores = torch.rand(len(layout), generator=torch.Generator().manual_seed(1))
    if ties:
        scores = (scores * 4).round()
    method = FastVOm.for_model(SHAPE_7B, Retention(0.3, 0.65), 0)
    state, _ = after_layer(layout, scores)
    keep = method.after_layer(state).keep
    for kind, sigma in ((Modality.VIDEO, 6.4 / 26), (Modality.AUDIO, 16.2 / 26)):
        mine = positions(layout, kind)
        expected = highest(scores, mine, max(1, round(sigma * len(mine)))) if mine else set()
        assert {i for i in mine if keep[i]} == expected
    assert method.layers == (2,)


def test_audio_stays_and_video_pays():
    layout = layout_of("qwen2.5-omni", (9, 8, 16), 120)
    scores = torch.rand(len(layout), generator=torch.Generator().manual_seed(1))
    state, _ = after_layer(layout, scores)
    keep = FastV.for_model(SHAPE_7B, Retention(0.3, 0.65), 0).after_layer(state).keep
    video, audio = positions(layout, Modality.VIDEO), positions(layout, Modality.AUDIO)
    budget = int(len(video) * 6.4 / 26 + len(audio) * 16.2 / 26)
    assert all(keep[i] for i in audio)
    assert {i for i in video if keep[i]} == highest(scores, video, budget - len(audio))


def test_scarce_budgets_drop_audio_at_random_but_reproducibly():
    layout = layout_of("qwen2.5-omni", (2, 4, 5), 200)
    state, _ = after_layer(layout, torch.rand(len(layout)))
    kept = [FastV.for_model(SHAPE_7B, Retention(0.3, 0.65), seed).after_layer(state).keep for seed in (0, 0, 1)]
    audio = layout.is_modality(Modality.AUDIO)
    budget = int(40 * 6.4 / 26 + 200 * 16.2 / 26)
    assert torch.equal(kept[0], kept[1])
    assert not torch.equal(kept[0][audio], kept[2][audio])
    assert int(kept[0][audio].sum()) == budget - 2
    assert int(kept[0][layout.is_modality(Modality.VIDEO)].sum()) == 2  # 5 %


def test_relevance_is_not_computed_where_nothing_goes():
    layout = layout_of("qwen2.5-omni", None, 30)
    state, asked = after_layer(layout, torch.rand(len(layout)))
    assert FastVOm(1.0, 1.0, 8).after_layer(state).keep.all()
    assert not asked
