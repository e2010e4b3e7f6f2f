"""The layer average in the trace of a real run is the target, at the depths and pairs of the paper."""

import pytest

from seats.inference.attach import attach
from seats.methods import ModelShape, Seats, retention_for
from tests.tiny import tiny_inputs, tiny_thinker

DEPTHS = {"qwen2.5-omni": 28, "qwen3-omni": 48}
GRID, SECONDS = (10, 24, 24), 10  # 144 tokens a grid, as the published frame limits give


@pytest.fixture(scope="module", params=DEPTHS)
def prompt(request):
    """A model of the published depth, and a clip of ten seconds at the published tokens per frame."""
    family = request.param
    return family, tiny_thinker(family, layers=DEPTHS[family]), tiny_inputs(family, grid=GRID, mel_frames=100 * SECONDS)


@pytest.mark.parametrize("percent", [35, 25, 15, 10])
def test_layer_average_equals_the_published_pair(prompt, percent):
    family, thinker, inputs = prompt
    target = retention_for(family, percent)
    method = Seats.for_model(ModelShape(family, DEPTHS[family], {}), target, 0)
    with attach(thinker, method) as attached:
        thinker.generate(**inputs, max_new_tokens=1, do_sample=False)
    trace = attached.trace
    assert trace.full.video == 1440
    # Stage I rounds once a window, Stage II once a step, and keep ratios have four decimals. The windows of Stage II
    # share one budget, whose split between the modalities rounds once a window too.
    windows = len(trace.layout.window.unique()) - 1
    for modality, wanted in (("video", target.video), ("audio", target.audio)):
        count = getattr(trace.full, modality)
        slack = 0.5 * windows / count + 1e-3
        assert trace.retention(modality) == pytest.approx(wanted, abs=slack), modality
    both = (target.video * trace.full.video + target.audio * trace.full.audio) / (trace.full.video + trace.full.audio)
    stage_one_windows = GRID[0] // 2 + -(-trace.full.audio // 50)
    slack = (0.5 * stage_one_windows + 1.5) / (trace.full.video + trace.full.audio) + 1e-3
    assert trace.retention("overall") == pytest.approx(both, abs=slack)


def test_the_trace_holds_what_the_schedule_says(prompt):
    family, thinker, inputs = prompt
    depth = DEPTHS[family]
    method = Seats.for_model(ModelShape(family, depth, {}), retention_for(family, 25), 0)
    with attach(thinker, method) as attached:
        thinker.generate(**inputs, max_new_tokens=1, do_sample=False)
    totals = [counts.video + counts.audio for counts in attached.trace.layers]
    assert len(totals) == depth
    changes = [number for number in range(2, depth + 1) if totals[number - 1] != totals[number - 2]]
    assert changes == [*(layer + 1 for layer in method.drop_layers), method.late_layer]
    assert totals[-1] == 0
    assert attached.trace.layers[-1].text == attached.trace.full.text
