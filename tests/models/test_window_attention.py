"""Batched window attention against the stock encoders' own loop over windows."""

from types import SimpleNamespace

import pytest
import torch

from seats.models import window_attention
from seats.models.signals import EncoderWants
from seats.models.thinker import Thinker
from seats.models.window_attention import NAME, use_window_attention, windowed_attention
from tests.tiny import FAMILIES, tiny_thinker

# Qwen2.5's tiny windows are 2 x 2 merged tokens: whole windows only, ragged right, ragged bottom, both, and a picture
# smaller than a window.
GRIDS = [(2, 8, 8), (3, 8, 10), (1, 6, 8), (3, 6, 10), (5, 2, 2)]
# Less than a chunk, whole chunks, chunks and a rest, a rest of one frame, several of Qwen3's inference windows.
MELS = [7, 200, 330, 401, 1333]
WANTS = EncoderWants(video_grids=2, audio="blocks")
both_families = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def pairs():
    """Per family a stock thinker, and the same with batched windows."""
    made = {}
    for family in FAMILIES:
        stock, ours = Thinker(tiny_thinker(family)), Thinker(tiny_thinker(family))
        use_window_attention(ours.vision, ours.audio)
        made[family] = stock, ours
    return made


@pytest.fixture
def sdpa_calls(monkeypatch):
    calls = []
    original = torch.nn.functional.scaled_dot_product_attention

    def counting(query, *args, **kwargs):
        calls.append(tuple(query.shape))
        return original(query, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counting)
    return calls


def patches_for(thinker, grid):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(grid[0] * grid[1] * grid[2], 6 * thinker.vision.config.patch_size**2, generator=generator)


@both_families
@pytest.mark.parametrize("grid", GRIDS)
def test_vision_equals_the_stock_loop(pairs, family, grid):
    stock, ours = (thinker.encode_video(patches_for(thinker, grid), grid, WANTS) for thinker in pairs[family])
    assert stock.embeds.shape == (grid[0] * grid[1] * grid[2] // 4, 48)
    torch.testing.assert_close(ours.embeds, stock.embeds, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.signals[WANTS].saliency, stock.signals[WANTS].saliency, rtol=1e-4, atol=1e-5)
    assert len(ours.deepstack) == len(stock.deepstack) == (3 if family == "qwen3-omni" else 0)
    for mine, theirs in zip(ours.deepstack, stock.deepstack, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@both_families
@pytest.mark.parametrize("mel_frames", MELS)
def test_audio_equals_the_stock_loop(pairs, family, mel_frames):
    mel = torch.randn(128, mel_frames, generator=torch.Generator().manual_seed(2))
    stock, ours = (thinker.encode_audio(mel, WANTS) for thinker in pairs[family])
    assert len(stock.embeds) == pairs[family][0].family.audio_tokens(mel_frames, pairs[family][0].config)
    torch.testing.assert_close(ours.embeds, stock.embeds, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.signals[WANTS].saliency, stock.signals[WANTS].saliency, rtol=1e-4, atol=1e-5)


@both_families
def test_calls_do_not_grow_with_the_windows(pairs, family, sdpa_calls):
    """At most one call a layer and window length: inner, right, bottom and corner; whole and last for sound."""
    stock, ours = pairs[family]
    grid, mel = (6, 10, 14), torch.zeros(128, 2 * 1333)

    def calls(run) -> int:
        sdpa_calls.clear()
        run()
        return len(sdpa_calls)

    depth = len(ours.vision.blocks)
    assert calls(lambda: ours.encode_video(patches_for(ours, grid), grid)) <= 4 * depth
    assert calls(lambda: stock.encode_video(patches_for(stock, grid), grid)) >= 6 * depth
    layers = len(ours.audio.layers)
    assert calls(lambda: ours.encode_audio(mel)) <= 2 * layers
    assert calls(lambda: stock.encode_audio(mel)) > 2 * layers


@both_families
def test_only_the_encoders_are_touched(pairs, family):
    _, ours = pairs[family]
    assert ours.vision.config._attn_implementation == NAME
    assert ours.audio.config._attn_implementation == NAME
    assert ours.text.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("lengths", [[5], [4, 4, 4], [3, 7, 3, 1, 7], [1, 1, 1]])
def test_windows_do_not_see_each_other(lengths):
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, sum(lengths), 8)
    cu = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()], dtype=torch.int32)
    out, _ = windowed_attention(torch.nn.Identity(), q, k, v, None, 0.5, cu_seq_lens_q=cu)
    window = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    scores = (q[0] @ k[0].transpose(1, 2) * 0.5).masked_fill(window[:, None] != window, -torch.inf)
    torch.testing.assert_close(out[0].transpose(0, 1), scores.softmax(-1) @ v[0])


def test_windows_must_be_said():
    x = torch.zeros(1, 2, 4, 8)
    with pytest.raises(ValueError, match="cu_seq_lens_q"):
        windowed_attention(torch.nn.Identity(), x, x, x, None)


@pytest.mark.parametrize(("width", "takes"), [(64, True), (72, True), (80, True), (12, False), (264, False)])
def test_flash_attention_gets_heads_of_widths_that_it_knows(width, takes, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    q = SimpleNamespace(is_cuda=True, dtype=torch.bfloat16, device=torch.device("cuda"), shape=(6, 2, width))
    assert window_attention._takes_varlen(q) == takes
