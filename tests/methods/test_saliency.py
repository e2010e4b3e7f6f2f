"""The saliency control against sorting each window by hand."""

from dataclasses import replace

import pytest

from seats.methods import method_class
from seats.tokens.layout import Modality
from tests.methods.layouts import layout_of, random_state


@pytest.mark.parametrize("family", ["qwen2.5-omni", "qwen3-omni"])
@pytest.mark.parametrize(("grid", "audio"), [((5, 4, 6), 130), ((4, 2, 2), 0), (None, 70)])
def test_each_window_keeps_its_most_salient_tokens(family, grid, audio):
    state = random_state(layout_of(family, grid, audio))
    keep = method_class("saliency")(0.3, 0.5).before_llm(state).keep
    for kind, ratio in ((Modality.VIDEO, 0.3), (Modality.AUDIO, 0.5)):
        where = state.layout.is_modality(kind).nonzero()[:, 0].tolist()
        window = 2 * grid[1] * grid[2] if kind is Modality.VIDEO and grid else 50
        for first in range(0, len(where), window):
            mine = where[first : first + window]
            best = sorted(mine, key=lambda place: -state.saliency[place].item())
            expected = set(best[: max(1, round(ratio * len(mine)))])
            assert {place for place in mine if keep[place]} == expected
    assert keep[state.layout.modality == int(Modality.TEXT)].all()


def test_without_saliency_it_says_what_is_needed():
    state = replace(random_state(layout_of("qwen2.5-omni", (2, 2, 2), 50)), saliency=None)
    with pytest.raises(ValueError, match="encode the clip with the method's wants"):
        method_class("saliency")(0.3, 0.5).before_llm(state)
