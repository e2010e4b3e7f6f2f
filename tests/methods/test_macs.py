"""What methods say their choice cost, against torch's own count of their matrix products."""

import pytest

from seats.methods import method_class
from tests.costs.counting import counted
from tests.methods.layouts import layout_of, random_state


@pytest.mark.parametrize("name", ["visionzip", "visionzip-om", "divprune", "divprune-om", "omnizip"])
@pytest.mark.parametrize(("grid", "audio"), [((9, 4, 5), 170), ((9, 4, 5), 0), (None, 170)])
@pytest.mark.parametrize("family", ["qwen2.5-omni", "qwen3-omni"])
def test_choices_cost_what_torch_counts(family, grid, audio, name):
    state = random_state(layout_of(family, grid, audio), smooth=True)
    method = method_class(name)(0.6, 0.85)
    chosen = []

    products = counted(lambda: chosen.append(method.before_llm(state)))

    # Odd grids of OmniZip's windows are compared token by token, which is no matrix product.
    single = family == "qwen3-omni" and audio > 0
    odd_grids = 4 if name == "omnizip" and grid and not single else 0
    assert 2 * chosen[0].macs == products + 2 * odd_grids * 20 * 16
