import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seats.selection import saliency
from seats.selection.saliency import column_mass, merge_groups


def naive(q, k, window, scale):
    parts = []
    for queries, keys in zip(q.float().split(window), k.float().split(window), strict=True):
        attention = torch.einsum("ihd,jhd->hij", queries, keys).mul(scale).softmax(-1)
        parts.append(attention.mean(0).sum(0))
    return torch.cat(parts)


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 50), st.sampled_from([1, 300, 1300, 2**27]))
@settings(max_examples=100, deadline=None)
def test_equals_plain_attention_in_chunks_of_any_size(n, heads, window, chunk_bytes):
    generator = torch.Generator().manual_seed(n * 1000 + heads * 100 + window)
    q, k = torch.randn(2, n, heads, 8, generator=generator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saliency, "_CHUNK_BYTES", chunk_bytes)
        mass = column_mass(q, k, window)
    torch.testing.assert_close(mass, naive(q, k, window, 8**-0.5))
    for part in mass.split(window):
        assert part.sum() == pytest.approx(len(part), rel=1e-5)


def test_half_precision():
    q, k = torch.randn(2, 30, 4, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    mass = column_mass(q, k, 12)
    assert mass.dtype == torch.float32
    torch.testing.assert_close(mass, naive(q, k, 12, 16**-0.5))


def test_a_token_all_queries_look_at_has_the_mass():
    q, k = torch.ones(6, 1, 4), torch.zeros(6, 1, 4)
    k[2] = 50.0
    mass = column_mass(q, k, 3)
    assert mass[:3].tolist() == pytest.approx([0, 0, 3], abs=1e-6)
    assert mass[3:].tolist() == pytest.approx([1, 1, 1])


def test_memory_of_scores_is_bounded(monkeypatch):
    sizes = []
    softmax = torch.Tensor.softmax

    def spy(self, dim):
        sizes.append(self.numel() * self.element_size())
        return softmax(self, dim)

    monkeypatch.setattr(torch.Tensor, "softmax", spy)
    monkeypatch.setattr(saliency, "_CHUNK_BYTES", 4096)
    q = torch.randn(256, 4, 8, generator=torch.Generator().manual_seed(0))
    for window in (16, 64, 256):
        column_mass(q, q, window)
    assert max(sizes) <= 4096
    assert len(sizes) == 256 * 4 * (16 + 64 + 256) * 4 // 4096  # and chunks are full


def test_groups_are_averaged_and_the_odd_tail_dropped():
    assert merge_groups(torch.tensor([1.0, 3, 5, 7, 9]), 2).tolist() == [2, 6]
    assert merge_groups(torch.arange(8.0), 4).tolist() == [1.5, 5.5]
    assert merge_groups(torch.arange(3.0), 4).shape == (0,)
    assert merge_groups(torch.arange(3.0), 1).tolist() == [0, 1, 2]


def test_no_tokens():
    assert column_mass(torch.zeros(0, 2, 4), torch.zeros(0, 2, 4), 8).shape == (0,)


def test_arguments_that_make_no_sense_are_refused():
    q = torch.zeros(4, 2, 8)
    with pytest.raises(ValueError, match=r"\[n, H, d\]"):
        column_mass(q, q[:3], 2)
    with pytest.raises(ValueError, match=r"\[n, H, d\]"):
        column_mass(q[0], q[0], 2)
    with pytest.raises(ValueError, match="window"):
        column_mass(q, q, 0)
    with pytest.raises(ValueError, match="groups"):
        merge_groups(torch.zeros(4), 0)
