"""Encoder formulas against torch's own count of the stock encoders, to the last FLOP."""

from typing import Any

import pytest
import torch

from seats.costs.encoders import audio_macs, saliency_macs, vision_macs
from seats.models.signals import EncoderWants
from seats.models.thinker import Thinker
from seats.models.window_attention import use_window_attention
from tests.costs.counting import countable_thinker, counted, family_named
from tests.tiny import FAMILIES

# Qwen2.5's tiny windows are 2 x 2 merged tokens, 4 x 4 patches: grids with whole windows only, with a ragged
# right edge, a ragged bottom edge, both, and one smaller than a window.
GRIDS = [(2, 8, 8), (3, 8, 10), (1, 6, 8), (3, 6, 10), (5, 2, 2)]
# One window, chunks with and without a rest, a rest of one frame, a Qwen3 inference window (400) with a rest.
MELS = [7, 200, 330, 401, 1333]


def _thinkers(**text: Any) -> dict[str, Thinker]:
    return {family: Thinker(countable_thinker(family, **text)) for family in FAMILIES}


@pytest.fixture(scope="module")
def thinkers() -> dict[str, Thinker]:
    return _thinkers()


def _patches(thinker: Thinker, grid: tuple[int, int, int]) -> torch.Tensor:
    return torch.randn(grid[0] * grid[1] * grid[2], 6 * thinker.vision.config.patch_size**2)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_vision_equals_the_counter(thinkers, family, grid):
    thinker = thinkers[family]
    patches = _patches(thinker, grid)

    measured = counted(lambda: thinker.encode_video(patches, grid))

    assert 2 * vision_macs(thinker.config, grid, thinker.family) == measured


@pytest.mark.parametrize("mel_frames", MELS)
@pytest.mark.parametrize("family", FAMILIES)
def test_audio_equals_the_counter(thinkers, family, mel_frames):
    thinker = thinkers[family]
    mel = torch.randn(128, mel_frames)

    measured = counted(lambda: thinker.encode_audio(mel))

    assert 2 * audio_macs(thinker.config, mel_frames, thinker.family) == measured


@pytest.mark.parametrize(
    "wants",
    [
        EncoderWants(video_grids=2, audio="blocks"),
        EncoderWants(video_grids=1, audio="blocks", keys=True),
        EncoderWants(video_grids=1, mean_query=True),
        EncoderWants(audio="clip"),
        EncoderWants(keys=True),
    ],
)
@pytest.mark.parametrize(("grid", "mel_frames"), [((4, 6, 8), 400), ((5, 6, 10), 1333), ((3, 4, 4), 60)])
@pytest.mark.parametrize("family", FAMILIES)
def test_saliency_is_what_the_encoders_do_more(thinkers, family, grid, mel_frames, wants):
    thinker = thinkers[family]
    patches, mel = _patches(thinker, grid), torch.randn(128, mel_frames)

    def encode(*wants: EncoderWants) -> int:
        return counted(lambda: (thinker.encode_video(patches, grid, *wants), thinker.encode_audio(mel, *wants)))

    assert 2 * saliency_macs(thinker.config, grid, mel_frames, wants, thinker.family) == encode(wants) - encode()


@pytest.mark.parametrize("family", FAMILIES)
def test_batched_windows_cost_the_same(family):
    thinker = Thinker(countable_thinker(family))
    use_window_attention(thinker.vision, thinker.audio)
    grid, mel_frames = (3, 6, 10), 1333
    patches, mel = _patches(thinker, grid), torch.randn(128, mel_frames)

    vision = counted(lambda: thinker.encode_video(patches, grid))
    audio = counted(lambda: thinker.encode_audio(mel))

    assert 2 * vision_macs(thinker.config, grid, thinker.family) == vision
    assert 2 * audio_macs(thinker.config, mel_frames, thinker.family) == audio


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_costs_nothing(thinkers, family):
    config, adapter = thinkers[family].config, family_named(family)
    assert vision_macs(config, None, adapter) == 0
    assert audio_macs(config, 0, adapter) == 0
    assert saliency_macs(config, None, 0, EncoderWants(video_grids=2, audio="blocks"), adapter) == 0


def test_windows_are_cheaper_than_full_attention_by_their_pairs(thinkers):
    # 6 x 10 patches are 3 x 5 merged tokens in windows of 2 x 2: 4 windows of 16 and 8, ... patches.
    thinker = thinkers["qwen2.5-omni"]
    grid, dim = (1, 6, 10), thinker.config.vision_config.hidden_size
    windows = [16, 16, 8, 8, 8, 4]
    assert sum(windows) == 60
    windowed = vision_macs(thinker.config, grid, thinker.family)
    thinker.config.vision_config.fullatt_block_indexes = [0, 1, 2]
    try:
        full = vision_macs(thinker.config, grid, thinker.family)
    finally:
        thinker.config.vision_config.fullatt_block_indexes = [1, 2]

    assert full - windowed == 2 * dim * (60**2 - sum(n**2 for n in windows))
