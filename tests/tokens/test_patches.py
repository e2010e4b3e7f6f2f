"""Patches against the stock video processor, which is imported with stand-ins for torchvision in another process."""

import subprocess
import sys
import textwrap

import pytest
import torch
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from benchmarks.allocations import allocations
from seats.tokens.patches import PatchSpec, patchify

# Only `patchify` is called, which needs nothing of torchvision but that its names exist.
STOCK = textwrap.dedent(
    """
    import importlib.machinery, sys, types
    from unittest.mock import MagicMock
    import torch

    def stand_in(name):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        module.__path__, module.__version__ = [], "0.0"
        module.__getattr__ = lambda attribute: (
            (_ for _ in ()).throw(AttributeError(attribute)) if attribute.startswith("__") else MagicMock()
        )
        sys.modules[name] = module

    for name in ("", ".io", ".transforms", ".transforms.v2", ".transforms.v2.functional", ".transforms.functional"):
        stand_in("torchvision" + name)
    import transformers.utils.import_utils as checks
    for check in ("is_torchvision_available", "is_torchvision_v2_available", "is_vision_available"):
        if hasattr(checks, check):
            setattr(checks, check, lambda: True)
    import transformers.models.qwen2_vl.video_processing_qwen2_vl as stock

    cases = torch.load(sys.argv[1])
    made = []
    for case in cases:
        mean, std = (torch.tensor(case[name]).mul(255).view(-1, 1, 1) for name in ("mean", "std"))
        pixels = (case["frames"].float() - mean) / std
        patches, *grid = stock.Qwen2VLVideoProcessor.patchify(None, pixels[None], case["patch"], 2, 2)
        made.append((patches[0], tuple(int(n) for n in grid)))
    torch.save(made, sys.argv[2])
    """
)
CASES = [
    {"patch": 14, "frames": 4, "size": (56, 84)},
    {"patch": 14, "frames": 5, "size": (84, 56)},
    {"patch": 16, "frames": 1, "size": (64, 32)},
    {"patch": 16, "frames": 35, "size": (64, 96)},
]


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patches")
    torch.manual_seed(0)
    cases = []
    for case in CASES:
        frames = torch.randint(0, 256, (case["frames"], 3, *case["size"]), dtype=torch.uint8)
        spec = PatchSpec(case["patch"])
        cases.append({**case, "frames": frames, "mean": spec.mean, "std": spec.std})
    torch.save(cases, folder / "in.pt")
    done = subprocess.run(
        [sys.executable, "-c", STOCK, str(folder / "in.pt"), str(folder / "out.pt")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return cases, torch.load(folder / "out.pt")


@pytest.mark.parametrize("number", range(len(CASES)))
def test_equal_the_stock_patches(stock, number):
    case, (theirs, their_grid) = stock[0][number], stock[1][number]
    ours, grid = patchify(case["frames"], PatchSpec(case["patch"]))
    assert grid == their_grid
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_a_checkpoint_that_says_nothing_has_the_stock_settings():
    spec = PatchSpec()
    assert (spec.mean, spec.std) == (tuple(OPENAI_CLIP_MEAN), tuple(OPENAI_CLIP_STD))
    assert spec.token_side == 28


def test_blocks_change_nothing():
    frames = torch.randint(0, 256, (35, 3, 56, 84), dtype=torch.uint8)
    whole, _ = patchify(frames, PatchSpec(), block_grids=100)
    for block in (1, 5):
        assert torch.equal(patchify(frames, PatchSpec(), block_grids=block)[0], whole)


def test_the_dtype_asked_for_is_the_rounded_result():
    frames = torch.randint(0, 256, (4, 3, 56, 56), dtype=torch.uint8)
    assert torch.equal(patchify(frames, PatchSpec(), torch.bfloat16)[0], patchify(frames, PatchSpec())[0].bfloat16())


@pytest.mark.parametrize(("dtype", "block"), [(torch.float32, 1), (torch.bfloat16, 5)])
def test_memory_is_what_a_plan_counts(dtype, block):
    """Beside the patches one block's values as bytes, in 16 bits as float32, too."""
    frames = torch.zeros(80, 3, 56, 84, dtype=torch.uint8)
    patchify(frames, PatchSpec(), dtype)
    with allocations() as taken:
        patchify(frames, PatchSpec(), dtype, block_grids=10)
    assert taken.peak == pytest.approx(frames.numel() * (dtype.itemsize + block * 10 / 40), rel=0.01)
