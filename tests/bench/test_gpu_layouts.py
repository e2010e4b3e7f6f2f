"""What is tried otherwise on a GPU is measured alike."""

import torch

from benchmarks import gpu_layouts
from seats.bench.build import random_thinker
from seats.models import fused
from seats.models import thinker as thinkers
from seats.models.presets import find_preset


def test_sizes_tried_in_turns_make_their_tables_once(monkeypatch):
    preset = find_preset("small")
    thinker = random_thinker(preset, torch.device("cpu"), torch.float32)
    vision = thinker.vision.config
    grid = (32, 4, 4)
    patches = torch.zeros(512, vision.in_channels * vision.temporal_patch_size * vision.patch_size**2)
    monkeypatch.setattr(gpu_layouts, "PARTS", (16, 32, 48, 64, 128, 256))
    made = []
    tables = thinker.family.grid_tables
    monkeypatch.setattr(type(thinker.family), "grid_tables", lambda _, *of: made.append(of[1]) or tables(*of))

    told = gpu_layouts.encoder_parts(thinker, patches, grid)

    assert [one["patches"] for one in told] == list(gpu_layouts.PARTS)
    assert made
    assert len(made) == len(set(made))
    assert (thinkers.PATCHES_AT_ONCE, thinkers._GRIDS_KNOWN) == (32_768, 4)


def test_fused_blocks_are_taken_apart_for_three_rounds_and_put_back():
    thinker = random_thinker(find_preset("small"), torch.device("cpu"), torch.float32)
    vision, blocks = thinker.vision.config, thinker.vision.blocks
    given = torch.zeros(64, vision.in_channels * vision.temporal_patch_size * vision.patch_size**2), (4, 4, 4)
    assert gpu_layouts.encoder_blocks(thinker, *given) is None
    fused.use_fused_blocks(thinker, anywhere=True)
    before = fused._inner, [block.forward for block in blocks]

    told = gpu_layouts.encoder_blocks(thinker, *given)

    assert {way: len(rounds) for way, rounds in told.items()} == {"encode": 3, "products_apart": 3, "steps_apart": 3}
    assert (fused._inner, [block.forward for block in blocks]) == before
