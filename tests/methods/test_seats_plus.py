"""`seats+`: what differs from `seats`, and that the retention doesn't."""

import pytest
import torch

from seats.methods import AfterLayer, ModelShape, Retention, Seats, SeatsPlus, retention_for
from seats.selection.counts import windowed_count
from seats.selection.diversity import select_diverse
from seats.tokens.layout import Modality
from tests.methods.layouts import layout_of, random_state
from tests.schedules import decay_schedule

OWN = {"drop_layers": [4, 5, 6], "late_layer": 8, "pre_llm_scale": 1.7, "removal_free_after": 6}


def plus(percent: float, settings: dict | None = None, layers: int = 10) -> Seats:
    return SeatsPlus.for_model(
        ModelShape("qwen2.5-omni", layers, settings or {}), retention_for("qwen2.5-omni", percent), 0
    )


@pytest.mark.parametrize("percent", [3, 5, 10, 15, 25])
def test_tokens_go_when_removal_is_free(percent):
    method = plus(percent, OWN)
    assert (method.name, method.drop_layers, method.late_layer, method.layers) == ("seats+", (4, 5), 7, (4, 5, 6))
    assert Seats.for_model(ModelShape("qwen2.5-omni", 10, OWN), retention_for("qwen2.5-omni", 10), 0).late_layer == 8
    for ratio in (method.video, method.audio):
        schedule = decay_schedule(10, method.drop_layers, method.late_layer, ratio, method.pre_llm_scale)
        assert schedule.mean() == pytest.approx(ratio, abs=1e-4)


def test_tokens_stay_longer_where_the_target_needs_it():
    # 65 % of the audio on average over ten layers needs seven that hold it.
    assert (plus(35, OWN).drop_layers, plus(35, OWN).late_layer) == ((4, 5, 6), 8)
    # Six layers can hold 60 % only if nothing goes before the seventh.
    method = SeatsPlus.for_model(ModelShape("qwen2.5-omni", 10, OWN), Retention(0.1, 0.6), 0)
    assert (method.late_layer, method.pre_llm_scale) == (7, pytest.approx(1 / 0.6))
    assert method._keep_ratios() == (1.0, 1.0)


@pytest.mark.parametrize(
    "settings", [{}, {"drop_layers": [4, 5, 6], "late_layer": 8}, {**OWN, "removal_free_after": 9}]
)
def test_borders_are_those_of_seats_where_none_were_measured(settings):
    shape = ModelShape("qwen2.5-omni", 28 if not settings else 10, settings)
    usual = Seats.for_model(shape, retention_for("qwen2.5-omni", 10), 0)
    method = SeatsPlus.for_model(shape, retention_for("qwen2.5-omni", 10), 0)
    assert {**method.settings(), "name": "seats"} == usual.settings()


def test_stage_one_weighs_pictures_with_squared_saliency_and_hears_evenly():
    layout = layout_of("qwen2.5-omni", (12, 3, 4), 130)
    state = random_state(layout, seed=2)
    method = plus(10, OWN)
    keep = method.before_llm(state).keep
    at, share = layout.positions(Modality.VIDEO), method.video * method.pre_llm_scale
    assert torch.equal(keep[at], select_diverse(state.embeds[at], state.saliency[at] ** 2, 24, share))
    assert not torch.equal(keep[at], select_diverse(state.embeds[at], state.saliency[at], 24, share))
    heard = keep[layout.positions(Modality.AUDIO)]
    assert heard.sum() == windowed_count(130, 50, method.audio * method.pre_llm_scale)
    steps = heard.nonzero()[:, 0].diff()
    assert steps.max() - steps.min() <= 1


def test_stage_two_keeps_diverse_tokens_by_the_attention_of_the_whole_question():
    layout = layout_of("qwen2.5-omni", (12, 3, 4), 300)
    method = plus(10, OWN)
    generator = torch.Generator().manual_seed(0)
    hidden, scores = torch.randn(len(layout), 8, generator=generator), torch.rand(len(layout), generator=generator)

    def wrong():
        raise AssertionError("the last token was asked")

    ratio = method._keep_ratios()[0]
    assert 0.8 < ratio < 1
    chosen = method.after_layer(AfterLayer(4, hidden, layout, wrong, lambda: scores))
    assert chosen.counts is not None
    macs = 0
    for kind, count in ((Modality.VIDEO, chosen.counts.video), (Modality.AUDIO, chosen.counts.audio)):
        at = layout.positions(kind)
        expected = select_diverse(hidden[at], scores[at], 128, ratio)
        assert torch.equal(chosen.keep[at], expected)
        assert not torch.equal(expected, select_diverse(hidden[at], None, 128, ratio))
        assert count == expected.sum() == pytest.approx(ratio * len(at), abs=1 + len(at) // 128)
        macs += -(-len(at) // min(128, len(at))) * min(128, len(at)) ** 2 * 8
    assert chosen.macs == macs
    assert chosen.keep[layout.positions(Modality.TEXT)].all()


def test_little_of_what_enters_the_llm_is_pruned_on_the_way():
    method = plus(10, OWN)
    levels = decay_schedule(10, method.drop_layers, method.late_layer, 0.06, method.pre_llm_scale).levels()
    assert levels[0] > levels[4] > levels[5] >= 0.6 * levels[0] > levels[6] == 0
