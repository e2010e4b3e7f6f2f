"""Where the stages lie in models of any depth, with and without settings of their own."""

import pytest

from seats.errors import SettingsError
from seats.selection.stages import StageBorders, early_removal, pre_llm_scale, stage_borders

OWN = {"drop_layers": [4, 5, 6], "late_layer": 8, "pre_llm_scale": 1.7, "removal_free_after": 6}


@pytest.mark.parametrize(
    ("family", "layers", "drops", "late", "temperature"),
    [
        ("qwen2.5-omni", 28, (16, 18, 20), 24, 0.1),
        ("qwen2.5-omni", 36, (21, 23, 26), 31, 0.1),
        ("qwen3-omni", 48, (27, 31, 35), 40, 0.3),
    ],
)
def test_borders_are_the_published_ones_or_at_the_same_depth(family, layers, drops, late, temperature):
    borders = stage_borders(family, layers, {})
    assert (borders.drop_layers, borders.late_layer, borders.temperature) == (drops, late, temperature)
    assert pre_llm_scale(layers, borders, {}, 0.1) == 1.4
    assert early_removal(layers, borders, {}, 0.1) is None


def test_nothing_drops_at_or_after_the_removal_of_a_shallow_model():
    assert stage_borders("qwen2.5-omni", 6, {}) == StageBorders((3,), 5, 0.1)
    assert stage_borders("qwen2.5-omni", 4, {}) == StageBorders((), 3, 0.1)


def test_a_decoder_of_two_layers_has_no_room_for_the_stages():
    assert stage_borders("qwen2.5-omni", 3, {}) == StageBorders((), 3, 0.1)
    with pytest.raises(SettingsError, match=r"^seats needs a decoder of 3 layers or more, the model has 2: choose"):
        stage_borders("qwen2.5-omni", 2, {})
    assert stage_borders("qwen2.5-omni", 2, {"drop_layers": [], "late_layer": 2}) == StageBorders((), 2, 0.1)


def test_a_models_own_borders_go_first():
    borders = stage_borders("qwen3-omni", 10, OWN)
    assert (borders.drop_layers, borders.late_layer, borders.temperature) == ((4, 5, 6), 8, 0.3)
    assert pre_llm_scale(10, borders, OWN, 0.1) == 1.7
    assert pre_llm_scale(10, borders, OWN, 0.65) == pytest.approx(1 / 0.65)


def test_everything_goes_early_where_that_is_free_and_the_target_allows_it():
    borders = stage_borders("qwen2.5-omni", 10, OWN)
    found = early_removal(10, borders, OWN, 0.35)
    assert found is not None
    assert (found[0].drop_layers, found[0].late_layer) == ((4, 5), 7)
    assert early_removal(10, borders, OWN, 0.65) is None
