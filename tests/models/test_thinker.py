"""Saliency and relevance against slow computations from their definitions, with the stock modules' own inputs."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from benchmarks.allocations import allocations
from seats.errors import ModelError
from seats.models import compat
from seats.models.signals import EncoderWants
from seats.models.thinker import Thinker
from seats.models.window_attention import use_window_attention
from tests.tiny import FAMILIES, tiny_thinker

both_families = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def thinkers():
    made = {family: Thinker(tiny_thinker(family)) for family in FAMILIES}
    for thinker in made.values():
        use_window_attention(thinker.vision, thinker.audio)
    return made


class Watch:
    """Input, keyword arguments and output of a module at its latest call."""

    def __init__(self, module):
        self.handle = module.register_forward_hook(self.remember, with_kwargs=True)

    def remember(self, _module, args, kwargs, output):
        self.args, self.kwargs, self.output = args, kwargs, output

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.handle.remove()


def rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions on `[..., d]`, pair by pair: channel i turns with channel i + d / 2."""
    half = x.shape[-1] // 2
    out = torch.empty_like(x)
    for i in range(half):
        a, b = x[..., i], x[..., i + half]
        out[..., i] = a * cos[..., i] - b * sin[..., i]
        out[..., i + half] = b * cos[..., i + half] + a * sin[..., i + half]
    return out


def column_mass(q: torch.Tensor, k: torch.Tensor, window: int) -> torch.Tensor:
    """`[n]` from q, k `[n, H, d]`: window by window, head by head, in double."""
    n, heads, dim = q.shape
    mass = torch.zeros(n, dtype=torch.double)
    for start in range(0, n, window):
        for head in range(heads):
            rows = q[start : start + window, head].double() @ k[start : start + window, head].double().T
            mass[start : start + window] += torch.softmax(rows / dim**0.5, -1).sum(0) / heads
    return mass


@both_families
@pytest.mark.parametrize("grids", [1, 2])
def test_a_long_clip_is_encoded_in_parts(thinkers, family, grids, monkeypatch):
    """Parts of at most so many patches, but for whole windows of the saliency, give what the whole gives."""
    thinker, grid = thinkers[family], (7, 6, 10)
    patches = torch.randn(420, 6 * thinker.vision.config.patch_size**2, generator=torch.Generator().manual_seed(4))
    wants = EncoderWants(video_grids=grids, keys=True), EncoderWants(video_grids=1, mean_query=True), EncoderWants()
    whole = thinker.encode_video(patches, grid, *wants)
    steps, sizes = [], []
    pairs = [120, 120, 120, 60]
    for limit, expected in ((200, [180, 180, 60] if grids == 1 else pairs), (1, [60] * 7 if grids == 1 else pairs)):
        monkeypatch.setattr("seats.models.thinker.PATCHES_AT_ONCE", limit)
        sizes.clear()
        handle = thinker.vision.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
        parts = thinker.encode_video(patches, grid, *wants, step=lambda name: steps.append(name) or nullcontext())
        handle.remove()
        assert sizes == expected
        torch.testing.assert_close(parts.embeds, whole.embeds, rtol=1e-4, atol=1e-5)
        assert len(parts.deepstack) == len(whole.deepstack)
        for mine, theirs in zip(parts.deepstack, whole.deepstack, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
        assert parts.signals.keys() == whole.signals.keys() == set(wants[:2])
        for want in wants[:2]:
            mine, theirs = parts.signals[want], whole.signals[want]
            torch.testing.assert_close(mine.saliency, theirs.saliency, rtol=1e-4, atol=1e-5)
            assert (mine.keys is None) == (theirs.keys is None) == (not want.keys)
            if want.keys:
                torch.testing.assert_close(mine.keys, theirs.keys, rtol=1e-4, atol=1e-5)
    assert steps[:3] == ["encode_video", "saliency", "saliency"]


def test_parts_take_the_memory_of_a_part(thinkers, monkeypatch):
    thinker, grid = thinkers["qwen2.5-omni"], (24, 6, 10)
    patches = torch.randn(24 * 60, 6 * thinker.vision.config.patch_size**2, generator=torch.Generator().manual_seed(4))
    peaks = []
    for limit in (10**6, 240):
        monkeypatch.setattr("seats.models.thinker.PATCHES_AT_ONCE", limit)
        with allocations() as taken:
            thinker.encode_video(patches, grid, EncoderWants(video_grids=2))
        peaks.append(taken.peak)
    assert peaks[1] < peaks[0] / 3  # a sixth, and what is made of all parts


@both_families
@pytest.mark.parametrize("grids", [1, 2])
@pytest.mark.parametrize("grid", [(4, 8, 8), (3, 6, 10), (5, 10, 6), (1, 2, 2)])
def test_vision_saliency(thinkers, family, grid, grids):
    thinker = thinkers[family]
    torch.manual_seed(3)
    patches = torch.randn(grid[0] * grid[1] * grid[2], 6 * thinker.vision.config.patch_size**2)
    last = thinker.vision.blocks[-1].attn
    with torch.no_grad(), Watch(last) as attention, Watch(thinker.vision.merger) as merger:
        wants = EncoderWants(video_grids=grids)
        encoded = thinker.encode_video(patches, grid, wants)
        x = attention.args[0] if attention.args else attention.kwargs["hidden_states"]
        q, k = (last.q(x), last.k(x)) if hasattr(last, "q") else last.qkv(x).chunk(3, -1)[:2]
        heads = thinker.vision.config.num_heads
        q, k = (y.reshape(len(x), heads, -1) for y in (q, k))
        cos, sin = (table[:, None] for table in attention.kwargs["position_embeddings"])
        mass = column_mass(rotated(q, cos, sin), rotated(k, cos, sin), grids * grid[1] * grid[2])
    per_token = mass.view(-1, 4).mean(1)
    # The encoder's own output says where each merged token of its inner order ends up.
    same = (merger.output[:, None] - encoded.embeds[None]).abs().amax(-1) == 0
    assert same.sum() == len(per_token)
    expected = torch.empty_like(per_token)
    expected[same.int().argmax(1)] = per_token
    torch.testing.assert_close(encoded.signals[wants].saliency.double(), expected, rtol=1e-4, atol=1e-5)
    if family == "qwen2.5-omni" and grid[1] * grid[2] > 16:
        # The order matters here.
        assert not torch.allclose(encoded.signals[wants].saliency.double(), per_token, rtol=1e-3)


@both_families
@pytest.mark.parametrize("mel_frames", [41, 330, 1000, 1333])
def test_audio_saliency(thinkers, family, mel_frames):
    thinker = thinkers[family]
    mel = torch.randn(128, mel_frames, generator=torch.Generator().manual_seed(4))
    last = thinker.audio.layers[-1].self_attn
    with torch.no_grad(), Watch(last) as attention:
        wants = EncoderWants(audio="blocks")
        encoded = thinker.encode_audio(mel, wants)
        x = attention.args[0] if attention.args else attention.kwargs["hidden_states"]
        q, k = (proj(x).reshape(len(x), 2, -1) for proj in (last.q_proj, last.k_proj))
        mass = column_mass(q, k, 100 if family == "qwen2.5-omni" else 52)
    if family == "qwen2.5-omni":
        mass = torch.stack([(mass[i] + mass[i + 1]) / 2 for i in range(0, len(mass) - 1, 2)])
    assert len(mass) == len(encoded.embeds)
    torch.testing.assert_close(encoded.signals[wants].saliency.double(), mass, rtol=1e-4, atol=1e-5)


@both_families
@pytest.mark.parametrize("mel_frames", [5, 100, 199, 200, 201, 400, 1333])
def test_sound_in_chunks_of_our_own_is_the_stock_encoder_s(thinkers, family, mel_frames):
    audio = thinkers[family].audio
    mel = torch.randn(128, mel_frames, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        stock = audio(mel, feature_lens=torch.tensor([mel_frames])).last_hidden_state
    torch.testing.assert_close(thinkers[family].encode_audio(mel).embeds, stock, rtol=0, atol=1e-6)


@both_families
def test_no_saliency_unless_asked(thinkers, family):
    thinker = thinkers[family]
    patches = torch.randn(64, 6 * thinker.vision.config.patch_size**2)
    assert thinker.encode_video(patches, (1, 8, 8), EncoderWants(audio="clip")).signals == {}
    assert thinker.encode_audio(torch.randn(128, 100), EncoderWants(video_grids=2)).signals == {}
    modules = [*thinker.vision.modules(), *thinker.audio.modules()]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


@both_families
@pytest.mark.parametrize("layer", [1, 4, 6, 8])
def test_relevance(thinkers, family, layer):
    """Against queries and keys of all tokens, key heads repeated, and the last row of the softmax."""
    thinker = thinkers[family]
    torch.manual_seed(5)
    for norm in ("q_norm", "k_norm"):  # weights of one would hide a norm left out
        weight = getattr(getattr(thinker.layers[layer - 1].self_attn, norm, None), "weight", None)
        if weight is not None:
            torch.nn.init.uniform_(weight, 0.5, 2.0)
    hidden = torch.randn(1, 23, 48)
    positions = torch.randint(0, 90, (3, 1, 23))
    rotary = thinker.text.rotary_emb(hidden, positions)
    block = thinker.layers[layer - 1]
    attention = block.self_attn
    with torch.no_grad():
        x = block.input_layernorm(hidden)
        q, k = (proj(x).view(23, -1, attention.head_dim) for proj in (attention.q_proj, attention.k_proj))
        if family == "qwen3-omni":
            q, k = attention.q_norm(q), attention.k_norm(k)
        cos, sin = (table[0][:, None] for table in rotary)
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
        scores = torch.einsum("ihd,jhd->hij", q.double(), k.double()) / attention.head_dim**0.5
        expected = scores.softmax(-1)[:, -1].mean(0)
        found = thinker.relevance(layer, hidden, rotary)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)
    assert found.sum().item() == pytest.approx(1, abs=1e-5)


@both_families
@pytest.mark.parametrize(("layer", "of"), [(1, 2), (7, 8), (8, 8)])
def test_relevance_to_the_question_is_that_of_the_next_layer(thinkers, family, layer, of):
    """Of one query it is the relevance; the last layer is its own next."""
    thinker, hidden = thinkers[family], torch.randn(1, 23, 48, generator=torch.Generator().manual_seed(6))
    rotary = thinker.text.rotary_emb(hidden, torch.arange(23).expand(3, 1, 23))
    with torch.no_grad():
        expected = thinker.relevance(of, hidden, rotary)
        found = thinker.question_relevance(layer, hidden, rotary, 1)
    torch.testing.assert_close(found, expected)


@both_families
def test_other_models_are_refused_in_one_line(family):
    stock = tiny_thinker(family)
    with pytest.raises(ModelError, match="is not a Qwen-Omni thinker") as caught:
        Thinker(compat.text_model(stock))
    assert "\n" not in str(caught.value)


def test_modules_of_no_known_model_are_refused():
    other = torch.nn.Linear(2, 2)
    with pytest.raises(ModelError, match="Linear is not a Qwen-Omni thinker"):
        Thinker(other)
    other.config = SimpleNamespace(model_type="llama")
    with pytest.raises(ModelError, match="is not a Qwen-Omni thinker"):
        Thinker(other)
