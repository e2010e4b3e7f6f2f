"""Windows, and stretches of windows in which one modality goes on alone."""

import pytest
import torch

from seats.models.families import FAMILIES
from seats.selection import run_windows
from seats.tokens import build_sequence
from seats.tokens.layout import Modality
from tests.tiny import IDS, tiny_config


def layout_of(family, grids, audio):
    config = tiny_config(family.name)
    placeholder = IDS["video"] if grids else IDS["audio"]
    grid = (grids, 2, 3) if grids else None
    return build_sequence([1, 2, placeholder, 3], family.sequence_rule(config), grid, 1.0, audio).layout


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize(("grids", "seconds"), [(12, 12), (30, 7), (6, 21), (1, 9), (9, 1), (8, 0), (0, 9)])
def test_stretches_are_the_published_windows(family, grids, seconds):
    """Runs of the sequence, as the published code finds them, but for its pairs where a run is alone."""
    layout = layout_of(family, grids, round(seconds * (25 if family.name == "qwen2.5-omni" else 13)))
    runs = run_windows(layout.modality)
    video, audio = (layout.positions(kind) for kind in (Modality.VIDEO, Modality.AUDIO))
    for where in (video, audio):
        stretch, run = layout.stretch[where], runs[where]
        same = (stretch[:, None] == stretch) == (run[:, None] == run)
        assert same.all()
    for window in layout.window.unique().tolist():  # no window is torn apart
        assert len(layout.stretch[layout.window == window].unique()) == 1
    assert (layout.stretch[layout.modality == int(Modality.TEXT)] == -1).all()


def test_stretches_are_sliced_with_the_rest():
    layout = layout_of(FAMILIES[0], 20, 100)
    keep = torch.arange(len(layout)) % 3 > 0
    assert torch.equal(layout.select(keep).stretch, layout.stretch[keep])
    assert torch.equal(layout.to("cpu").stretch, layout.stretch)
