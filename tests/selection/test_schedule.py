import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference_cases import CASES

from seats.errors import SettingsError
from seats.selection.schedule import feasible_scale, keep_ratios
from tests.schedules import decay_schedule

QWEN25 = (28, (16, 18, 20), 24)
QWEN3 = (48, (27, 31, 35), 40)


@pytest.mark.parametrize("case", CASES["schedule"])
@pytest.mark.parametrize("kind", ["video", "audio"])
def test_keep_ratios_are_the_published_ones(case, kind):
    layers = case["num_layers"], case["drop_layers"], case["late_layer"]
    assert list(keep_ratios(*layers, case["pre_llm_scale"])) == case[f"{kind}_keep"]


@pytest.mark.parametrize("layers", [QWEN25, QWEN3])
@pytest.mark.parametrize("ratio", [0.06, 0.1, 0.2, 0.3, 0.35, 0.45, 0.65, 0.7])
def test_published_settings_meet_the_target(layers, ratio):
    assert decay_schedule(*layers, ratio, 1.4).mean() == pytest.approx(ratio, abs=1e-4)


def test_levels_change_after_drop_layers_and_end_before_the_late_layer():
    levels = decay_schedule(*QWEN25, 0.5, 1.4).levels()
    assert len(levels) == 28
    assert levels[:16] == [0.7] * 16  # layers 1..16: the drop comes after layer 16
    assert levels[16:18] == pytest.approx([0.7 * 0.9298] * 2)
    assert levels[18:20] == pytest.approx([0.7 * 0.9298 * 0.7949] * 2)
    assert levels[20:23] == pytest.approx([0.7 * 0.9298 * 0.7949 * 0.2986] * 3)
    assert levels[23:] == [0.0] * 5  # layer 24 on


def test_drop_layers_with_nothing_left_to_drop_are_left_out():
    kept = keep_ratios(28, (16, 18, 23, 25), 24, 1.3)  # tokens are removed after layer 23
    assert len(kept) == 2
    assert kept == keep_ratios(28, (16, 18), 24, 1.3)


def test_saturated_settings_show_in_the_mean():
    # Qwen2.5-Omni-3B with the settings of the 7B: nothing is dropped inside, and the target is still missed.
    schedule = decay_schedule(36, (16, 18, 20), 24, 0.3, 1.4)
    assert schedule.keep == (1.0, 1.0, 1.0)
    assert schedule.mean() == pytest.approx(0.3 * 1.4 * 23 / 36)
    assert feasible_scale(36, (16, 18, 20), 24)[0] > 1.4


def test_feasible_scales_of_the_published_models():
    assert feasible_scale(*QWEN25) == pytest.approx((1.217, 1.462), abs=5e-4)
    assert feasible_scale(*QWEN3) == pytest.approx((1.231, 1.441), abs=5e-4)


@st.composite
def layer_settings(draw):
    num_layers = draw(st.integers(4, 60))
    late = draw(st.none() | st.integers(3, num_layers))
    last = num_layers if late is None else late - 1
    drops = draw(st.lists(st.integers(1, last - 1), min_size=1, max_size=4, unique=True).map(sorted))
    return num_layers, tuple(drops), late


@settings(deadline=None)
@given(layer_settings(), st.floats(0.01, 1), st.floats(0, 1))
def test_any_feasible_scale_meets_the_target(layers, ratio, between):
    low, high = feasible_scale(*layers)
    scale = low + between * (high - low)
    assume(scale * ratio <= 1)
    schedule = decay_schedule(*layers, ratio, scale)
    assert schedule.mean() == pytest.approx(ratio, abs=2e-4)
    levels = schedule.levels()
    assert levels == sorted(levels, reverse=True)
    assert 0 <= min(levels) <= max(levels) <= 1


@settings(deadline=None)
@given(layer_settings(), st.floats(0.01, 0.2), st.sampled_from([0.8, 1.25]))
def test_a_scale_outside_the_range_misses_the_target(layers, ratio, factor):
    low, high = feasible_scale(*layers)
    scale = (low if factor < 1 else high) * factor
    assume(scale * ratio <= 1)
    # Too little before the LLM leaves the mean short of the target, too much leaves it above.
    mean = decay_schedule(*layers, ratio, scale).mean()
    assert mean < ratio - 1e-3 * ratio if factor < 1 else mean > ratio + 1e-3 * ratio


@pytest.mark.parametrize(
    ("layers", "scale", "message"),
    [
        (QWEN25, 0.0, "positive"),
        (QWEN25, float("inf"), "positive"),
        ((28, (16, 16), 24), 1.4, "must rise"),
        ((28, (18, 16), 24), 1.4, "must rise"),
        ((28, (0, 16), 24), 1.4, "must rise"),
        ((28, (16, 29), None), 1.4, "must rise"),
        ((28, (16,), 1), 1.4, "late layer"),
        ((28, (16,), 29), 1.4, "late layer"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(layers, scale, message):
    with pytest.raises(SettingsError, match=message) as error:
        keep_ratios(*layers, scale)
    assert "\n" not in str(error.value)
