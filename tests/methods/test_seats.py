"""SEATS as a method: its settings for every model, and what it may and may not drop on random clips."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seats.errors import SettingsError
from seats.methods import ModelShape, Retention, Seats
from seats.methods.base import AfterLayer
from seats.selection.budget import choose_relevant, paired_runs, run_windows
from seats.selection.counts import keep_count
from seats.tokens.layout import Modality
from tests.methods.layouts import layout_of, random_state
from tests.schedules import decay_schedule

TARGET = Retention(0.06, 0.35)


def schedule_of(method: Seats, ratio: float):
    return decay_schedule(method.num_layers, method.drop_layers, method.late_layer, ratio, method.pre_llm_scale)


class TestForModel:
    def test_published_settings_of_the_7b(self):
        method = Seats.for_model(ModelShape("qwen2.5-omni", 28, {}), TARGET, 0)
        assert (method.drop_layers, method.late_layer) == ((16, 18, 20), 24)
        assert (method.pre_llm_scale, method.temperature) == (1.4, 0.1)
        assert (method.video, method.audio) == (0.06, 0.35)
        assert method.layers == (16, 18, 20, 23)
        assert schedule_of(method, 0.06).keep == (0.9298, 0.7949, 0.2986)

    def test_published_settings_of_the_30b(self):
        method = Seats.for_model(ModelShape("qwen3-omni", 48, {}), TARGET, 0)
        assert (method.drop_layers, method.late_layer) == ((27, 31, 35), 40)
        assert (method.pre_llm_scale, method.temperature) == (1.4, 0.3)
        assert schedule_of(method, 0.06).keep == (0.9255, 0.7813, 0.2390)

    def test_the_3b_at_the_same_relative_depth(self):
        method = Seats.for_model(ModelShape("qwen2.5-omni", 36, {}), TARGET, 0)
        assert (method.drop_layers, method.late_layer) == ((21, 23, 26), 31)
        assert schedule_of(method, 0.06).mean() == pytest.approx(0.06, abs=1e-4)

    @pytest.mark.parametrize("family", ["qwen2.5-omni", "qwen3-omni"])
    @pytest.mark.parametrize("depth", range(3, 81))
    def test_every_depth_meets_its_target(self, family, depth):
        method = Seats.for_model(ModelShape(family, depth, {}), TARGET, 0)
        for ratio in (0.06, 0.35):
            assert schedule_of(method, ratio).mean() == pytest.approx(ratio, rel=1e-3)
        assert method.layers[-1] == method.late_layer - 1
        assert 2 <= method.late_layer <= depth
        assert sorted(set(method.layers)) == list(method.layers)

    def test_the_model_s_own_settings_go_first(self):
        own = {"drop_layers": [2, 5], "late_layer": 7, "temperature": 0.5, "pre_llm_scale": 1.3}
        method = Seats.for_model(ModelShape("qwen2.5-omni", 8, own), TARGET, 0)
        assert (method.drop_layers, method.late_layer) == ((2, 5), 7)
        assert (method.temperature, method.pre_llm_scale) == (0.5, pytest.approx(1.3335, abs=1e-3))
        assert schedule_of(method, 0.35).mean() == pytest.approx(0.35, abs=1e-4)

    def test_settings_that_say_nothing_of_stages_leave_them_to_the_depth(self):
        alone = Seats.for_model(ModelShape("qwen2.5-omni", 28, {"single_turn": True}), TARGET, 0)
        assert alone == Seats.for_model(ModelShape("qwen2.5-omni", 28, {}), TARGET, 0)

    def test_a_target_too_large_for_the_scale_takes_a_smaller_one(self):
        method = Seats.for_model(ModelShape("qwen2.5-omni", 28, {}), Retention(0.75, 0.3), 0)
        assert method.pre_llm_scale == pytest.approx(1 / 0.75)
        assert schedule_of(method, 0.75).mean() == pytest.approx(0.75, abs=1e-4)

    @pytest.mark.parametrize(
        ("video", "audio", "said"),
        [(0.83, 0.3, "83 % of the video"), (0.3, 0.9, "90 % of the audio")],
    )
    def test_targets_beyond_its_reach(self, video, audio, said):
        with pytest.raises(SettingsError, match=said) as caught:
            Seats.for_model(ModelShape("qwen2.5-omni", 28, {}), Retention(video, audio), 0)
        assert "at most --keep 66%, or --keep-" in str(caught.value)
        assert str(caught.value).endswith(" 82.1% where you give that, or --method full for all")

    @pytest.mark.parametrize(
        ("video", "audio", "said"), [(0.0, 0.3, "0 % of the video"), (0.3, 0.8, "80 % of the audio .* at most 71.4 %")]
    )
    def test_targets_that_its_scale_does_not_allow(self, video, audio, said):
        with pytest.raises(SettingsError, match=f"seats cannot keep {said}"):
            Seats(video, audio, num_layers=8, drop_layers=(2,), late_layer=6)

    def test_the_largest_target_within_reach(self):
        assert Seats.for_model(ModelShape("qwen2.5-omni", 28, {}), Retention(1 / 1.4, 0.7), 0).video == 1 / 1.4

    def test_settings_for_reports(self):
        method = Seats.for_model(ModelShape("qwen2.5-omni", 28, {}), TARGET, 0)
        assert method.settings() == {
            "name": "seats",
            "video": 0.06,
            "audio": 0.35,
            "num_layers": 28,
            "drop_layers": (16, 18, 20),
            "late_layer": 24,
            "pre_llm_scale": 1.4,
            "temperature": 0.1,
        }


@st.composite
def cases(draw):
    """A clip's layout and a method for it: both modalities or one, any windows, any ratios and borders."""
    family = draw(st.sampled_from(["qwen2.5-omni", "qwen3-omni"]))
    grid = draw(st.none() | st.tuples(st.integers(1, 7), st.integers(1, 5), st.integers(1, 5)))
    audio = draw(st.integers(1 if grid is None else 0, 160))
    layout = layout_of(family, grid, audio, fps=draw(st.sampled_from([2.0, 1.0, 0.5, 1.998, 5.0])))
    method = Seats.for_model(ModelShape(family, draw(st.integers(4, 40)), {}), Retention(0.01, 0.01), 0)
    ratios = st.floats(0.01, min(0.7, 1 / method.pre_llm_scale))
    temperature = draw(st.sampled_from([0.02, 0.1, 0.3, 5.0]))
    method = replace(method, video=draw(ratios), audio=draw(ratios), temperature=temperature)
    return layout, method, draw(st.integers(0, 10**6))


def stage_one_counts(total: int, window: int, ratio: float) -> int:
    full, rest = divmod(total, window)
    return full * keep_count(window, ratio) + (keep_count(rest, ratio) if rest else 0)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(case=cases())
def test_what_may_be_dropped(case):
    """Text never, order kept, budgets exact, and no window left without a modality it had when Stage I was done."""
    layout, method, seed = case
    full = layout.counts()
    generator = torch.Generator().manual_seed(seed)

    selection = method.before_llm(random_state(layout, seed))
    alive = layout.select(selection.keep)
    counts = alive.counts()
    assert selection.counts == counts
    grid_size = int((layout.grid[:, 0] == 0).sum())
    assert counts.text == full.text
    for total, kept, window, ratio in (
        (full.video, counts.video, 2 * grid_size, method.video),
        (full.audio, counts.audio, 50, method.audio),
    ):
        if total:
            assert kept == stage_one_counts(total, window, min(1.0, ratio * method.pre_llm_scale))
    for kind, window in ((Modality.VIDEO, 2 * grid_size), (Modality.AUDIO, 50)):
        rows = alive.row[alive.is_modality(kind)]
        if len(rows):  # every index window keeps a token
            total = full.video if kind is Modality.VIDEO else full.audio
            assert set((rows // window).tolist()) == set(range(-(-total // window)))

    kappas = schedule_of(method, method.video).keep
    assert len(method.layers) == len(kappas) + 1
    for number, layer in enumerate(method.layers):
        scores = torch.rand(len(alive), generator=generator) * 10 ** (-3 * torch.rand(1, generator=generator))
        scores = scores / scores.sum()
        state = AfterLayer(layer, torch.zeros(len(alive), 4), alive, lambda s=scores: s, lambda s=scores: s)
        selection = method.after_layer(state)
        chosen = alive.select(selection.keep)
        assert selection.counts == chosen.counts()
        assert chosen.counts().text == full.text
        assert (chosen.origin.diff() > 0).all()
        assert set(chosen.origin.tolist()) <= set(alive.origin.tolist())
        before, after = alive.counts(), chosen.counts()
        if number == len(kappas):
            assert (after.video, after.audio) == (0, 0)
            break
        budget = [max(1, round(kappas[number] * n)) if n else 0 for n in (before.video, before.audio)]
        windows = paired_runs(alive.modality)[alive.modality != int(Modality.TEXT)].unique()
        floors = 2 * len(windows)
        assert sum(budget) <= after.video + after.audio <= max(sum(budget), floors)
        if 0 in budget or len(windows) == 1:
            assert [after.video, after.audio] == budget
        for kind in (Modality.VIDEO, Modality.AUDIO):
            had = paired_runs(alive.modality)[alive.is_modality(kind)].unique().tolist()
            has = paired_runs(chosen.modality)[chosen.is_modality(kind)].unique().tolist()
            if 0 not in budget and len(windows) > 1:
                assert has == had
        alive = chosen


def test_stage_two_keeps_the_most_relevant_of_each_window():
    layout = layout_of("qwen2.5-omni", (8, 3, 3), 200)
    method = Seats(0.4, 0.4, num_layers=8, drop_layers=(2,), late_layer=6, pre_llm_scale=2.2)
    scores = torch.rand(len(layout), generator=torch.Generator().manual_seed(0))
    keep = method.after_layer(AfterLayer(2, torch.zeros(len(layout), 4), layout, lambda: scores, lambda: scores)).keep
    for kind in (Modality.VIDEO, Modality.AUDIO):
        for window in layout.window[layout.is_modality(kind)].unique():
            here = layout.is_modality(kind) & (layout.window == window)
            kept, gone = scores[here & keep], scores[here & ~keep]
            assert len(gone) > 0
            assert kept.min() > gone.max()


@pytest.mark.parametrize("family", ["qwen2.5-omni", "qwen3-omni"])
@pytest.mark.parametrize("heard", [5, 20, 60])
def test_windows_are_the_published_ones_where_sound_ends_early(family, heard):
    """What is seen after its end is one window; of as many as its seconds fill, the sound would lose its budget."""
    layout = layout_of(family, (60, 3, 3), heard * (25 if family == "qwen2.5-omni" else 13))
    method = Seats(0.4, 0.4, num_layers=8, drop_layers=(2,), late_layer=6, pre_llm_scale=2.2)
    scores = torch.rand(len(layout), generator=torch.Generator().manual_seed(0)) / len(layout)
    keep = method.after_layer(AfterLayer(2, torch.zeros(len(layout), 4), layout, lambda: scores, lambda: scores)).keep
    (ratio,) = method._keep_ratios()
    published = choose_relevant(scores, layout.modality, run_windows(layout.modality), ratio, ratio, method.temperature)
    assert torch.equal(keep, published.keep)
    assert keep[layout.is_modality(Modality.AUDIO)].float().mean() > 0.9 * ratio


@pytest.mark.parametrize(
    ("family", "audio_rate", "seconds"), [("qwen2.5-omni", 25, 600), ("qwen2.5-omni", 25, 141), ("qwen3-omni", 13, 300)]
)
def test_windows_are_the_published_ones_where_stage_one_took_whole_runs(family, audio_rate, seconds):
    """Of grids far apart the first tokens are windows of one token. Sound before and behind such a one that went is one
    window: as one of its own, each would get a budget that the pictures lose."""
    layout = layout_of(family, (64, 3, 5), seconds * audio_rate, fps=128 / seconds)
    method = Seats.for_model(ModelShape(family, 28 if family == "qwen2.5-omni" else 48, {}), Retention(0.06, 0.35), 0)
    alive = layout.select(method.before_llm(random_state(layout)).keep)
    for layer in method.layers[:-1]:
        scores = torch.rand(len(alive), generator=torch.Generator().manual_seed(layer)) / len(alive)
        state = AfterLayer(layer, torch.zeros(len(alive), 4), alive, lambda s=scores: s, lambda s=scores: s)
        keep = method.after_layer(state).keep
        ratio = method._keep_ratios()[method.layers.index(layer)]
        runs = run_windows(alive.modality)
        published = choose_relevant(scores, alive.modality, runs, ratio, ratio, method.temperature)
        assert torch.equal(keep, published.keep)
        alive = alive.select(keep)


def test_the_temperature_decides_how_much_the_best_window_gets():
    layout = layout_of("qwen2.5-omni", (8, 3, 3), 200)
    scores = torch.where(layout.window == 2, 0.02, 0.001)
    shares = []
    for temperature in (0.1, 0.01):
        method = Seats(0.4, 0.4, num_layers=8, drop_layers=(2,), late_layer=6, pre_llm_scale=2.2)
        method = replace(method, temperature=temperature)
        chosen = method.after_layer(AfterLayer(2, torch.zeros(len(layout), 4), layout, lambda: scores, lambda: scores))
        shares.append(int((layout.window[chosen.keep] == 2).sum()))
    assert shares[1] > shares[0] + 5


def test_stage_one_counts_its_own_work():
    """Multiply-adds of the distances inside windows of 18 tokens, the last one padded to that size, and of 50."""
    layout = layout_of("qwen2.5-omni", (5, 3, 3), 130)
    state = random_state(layout)
    chosen = Seats(0.3, 0.3, num_layers=8, drop_layers=(2,), late_layer=6).before_llm(state)
    assert chosen.macs == (3 * 18**2 + 3 * 50**2) * state.embeds.shape[1]
    nothing_to_choose = Seats(1.0, 1.0, num_layers=8, drop_layers=(2,), late_layer=8, pre_llm_scale=1.0)
    everything = nothing_to_choose.before_llm(state)
    assert everything.keep.all()
    assert everything.macs == 0


def test_a_share_a_hair_above_all_is_all():
    layout = layout_of("qwen2.5-omni", (5, 3, 3), 130)
    method = Seats((1 + 5e-10) / 1.4, 0.3, num_layers=8, drop_layers=(2,), late_layer=7, pre_llm_scale=1.4)
    assert method.before_llm(random_state(layout)).keep[layout.is_modality(Modality.VIDEO)].all()


@pytest.mark.parametrize(("family", "temperature"), [("qwen2.5-omni", 0.1), ("qwen3-omni", 0.3)])
def test_borders_of_a_model_s_own_leave_the_family_s_temperature(family, temperature):
    own = {"drop_layers": [10, 12], "late_layer": 16}
    assert Seats.for_model(ModelShape(family, 20, own), Retention(0.1, 0.4), 0).temperature == temperature
    own["temperature"] = 0.7
    assert Seats.for_model(ModelShape(family, 20, own), Retention(0.1, 0.4), 0).temperature == 0.7
