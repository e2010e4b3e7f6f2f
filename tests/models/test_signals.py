"""What baselines read off the encoders, against slow computations with the stock modules' own inputs."""

import pytest
import torch

from seats.errors import SettingsError
from seats.models.signals import EncoderWants
from seats.models.thinker import Thinker
from tests.models.test_thinker import Watch, column_mass, rotated
from tests.tiny import FAMILIES, tiny_thinker

both_families = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def thinkers():
    return {family: Thinker(tiny_thinker(family)) for family in FAMILIES}


@both_families
@pytest.mark.parametrize("grid", [(3, 6, 10), (2, 8, 8), (1, 2, 2)])
def test_video(thinkers, family, grid):
    """Keys and the attention of a grid's mean query, in the order of the embeddings."""
    thinker = thinkers[family]
    patches = torch.randn(grid[0] * grid[1] * grid[2], 6 * thinker.vision.config.patch_size**2)
    last, heads = thinker.vision.blocks[-1].attn, thinker.vision.config.num_heads
    mean_query, keys_only = EncoderWants(video_grids=1, mean_query=True), EncoderWants(keys=True)
    with torch.no_grad(), Watch(last) as attention, Watch(thinker.vision.merger) as merger:
        encoded = thinker.encode_video(patches, grid, mean_query, keys_only)
        x = attention.args[0] if attention.args else attention.kwargs["hidden_states"]
        q, k = (last.q(x), last.k(x)) if hasattr(last, "q") else last.qkv(x).chunk(3, -1)[:2]
        cos, sin = (table[:, None] for table in attention.kwargs["position_embeddings"])
        q, k = (rotated(y.reshape(len(x), heads, -1), cos, sin).double() for y in (q, k))
    inner = grid[0] * grid[1] * grid[2] // 4
    keys = torch.stack([k[4 * i : 4 * i + 4].mean((0, 1)) for i in range(inner)])
    saliency = torch.zeros(inner, dtype=torch.double)
    a_grid = grid[1] * grid[2]
    for start in range(0, len(x), a_grid):
        for head in range(heads):
            query = q[start : start + a_grid, head].mean(0)
            merged = torch.stack([k[i : i + 4, head].mean(0) for i in range(start, start + a_grid, 4)])
            weight = torch.softmax(merged @ query / q.shape[2] ** 0.5, 0)
            saliency[start // 4 : (start + a_grid) // 4] += weight / heads
    # The encoder's own output says where each merged token of its inner order ends up.
    same = (merger.output[:, None] - encoded.embeds[None]).abs().amax(-1) == 0
    place = same.int().argmax(1)
    assert same.sum() == inner
    found = encoded.signals[mean_query]
    torch.testing.assert_close(found.saliency.double()[place], saliency, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(encoded.signals[keys_only].keys.double()[place], keys, rtol=1e-4, atol=1e-6)
    assert found.saliency.sum().item() == pytest.approx(grid[0], abs=1e-4)
    assert found.keys is None
    assert encoded.signals[keys_only].saliency is None


@both_families
@pytest.mark.parametrize("mel_frames", [41, 330, 1333])
def test_audio(thinkers, family, mel_frames):
    """Keys, and saliency over the whole clip."""
    thinker = thinkers[family]
    mel = torch.randn(128, mel_frames, generator=torch.Generator().manual_seed(4))
    last, wants = thinker.audio.layers[-1].self_attn, EncoderWants(audio="clip", keys=True)
    with torch.no_grad(), Watch(last) as attention:
        encoded = thinker.encode_audio(mel, wants)
        x = attention.args[0] if attention.args else attention.kwargs["hidden_states"]
        q, k = (proj(x).reshape(len(x), 2, -1).double() for proj in (last.q_proj, last.k_proj))
    mass, keys = column_mass(q, k, len(q)), k.mean(1)
    if family == "qwen2.5-omni":
        pairs = range(0, len(mass) - 1, 2)
        mass = torch.stack([(mass[i] + mass[i + 1]) / 2 for i in pairs])
        keys = torch.stack([(keys[i] + keys[i + 1]) / 2 for i in pairs])
    found = encoded.signals[wants]
    torch.testing.assert_close(found.saliency.double(), mass, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.keys.double(), keys, rtol=1e-4, atol=1e-6)
    assert len(found.keys) == len(encoded.embeds)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"audio": "block"}, "audio is 'block'; it must be 'blocks', 'clip' or None"),
        ({"audio": True}, "audio is True; it must be 'blocks', 'clip' or None"),
        ({"video_grids": 0}, "video_grids is 0; a window has at least 1"),
        ({"video_grids": 1.5}, "video_grids is 1.5; it must be a whole number"),
        ({"video_grids": True}, "video_grids is True; it must be a whole number"),
        ({"keys": "video"}, "keys is 'video'; it must be True or False"),
        ({"mean_query": None}, "mean_query is None; it must be True or False"),
    ],
)
def test_what_cannot_be_wanted(wanted, says):
    """Not taken for something else: a plug-in's misspelt windows would be others, and nothing would tell."""
    with pytest.raises(SettingsError) as caught:
        EncoderWants(**wanted)
    assert str(caught.value) == says
