import pytest
import torch
from torch.nn import functional as F

from seats.selection import relevance
from seats.selection.relevance import last_query_relevance, question_relevance


@pytest.mark.parametrize(("heads", "key_heads"), [(1, 1), (4, 4), (6, 2), (8, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_attention_with_repeated_key_heads(heads, key_heads, dtype):
    generator = torch.Generator().manual_seed(heads)
    q = torch.randn(heads, 16, generator=generator).to(dtype)
    k = torch.randn(50, key_heads, 16, generator=generator).to(dtype)
    repeated = k.float().repeat_interleave(heads // key_heads, dim=1)
    expected = torch.einsum("hd,shd->hs", q.float(), repeated).div(4).softmax(-1).mean(0)
    relevance = last_query_relevance(q, k, scale=0.25)
    assert relevance.dtype == torch.float32
    torch.testing.assert_close(relevance, expected)
    assert relevance.sum() == pytest.approx(1, abs=1e-5)


def test_agrees_with_the_grouped_attention_of_torch():
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(8, 16, generator=generator), torch.randn(30, 2, 16, generator=generator)
    values = torch.eye(30).expand(2, 30, 30)  # attention's output is then its weights
    weights = F.scaled_dot_product_attention(q[:, None], k.transpose(0, 1), values, scale=0.3, enable_gqa=True)
    torch.testing.assert_close(last_query_relevance(q, k, scale=0.3), weights[:, 0].mean(0))


def test_shapes_that_disagree_are_refused():
    with pytest.raises(ValueError, match="multiple"):
        last_query_relevance(torch.zeros(6, 8), torch.zeros(5, 4, 8), scale=1.0)
    with pytest.raises(ValueError, match="KVH"):
        last_query_relevance(torch.zeros(4, 8), torch.zeros(5, 4, 16), scale=1.0)


@pytest.mark.parametrize("queries", [1, 7, 30])
@pytest.mark.parametrize("rows_at_once", [64, 3])
def test_a_question_is_the_mean_of_its_causal_rows(queries, rows_at_once, monkeypatch):
    monkeypatch.setattr(relevance, "_QUERIES", rows_at_once)
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(30, 8, 16, generator=generator), torch.randn(30, 2, 16, generator=generator)
    values = torch.eye(30).expand(2, 30, 30)
    weights = F.scaled_dot_product_attention(
        q.transpose(0, 1), k.transpose(0, 1), values, is_causal=True, scale=0.3, enable_gqa=True
    )
    found = question_relevance(q[-queries:], k, scale=0.3)
    torch.testing.assert_close(found, weights[:, -queries:].mean((0, 1)))
    assert found.sum() == pytest.approx(1, abs=1e-5)


def test_a_question_of_one_token_is_the_last_query():
    generator = torch.Generator().manual_seed(1)
    q, k = torch.randn(1, 6, 16, generator=generator), torch.randn(20, 3, 16, generator=generator)
    torch.testing.assert_close(question_relevance(q, k, 0.25), last_query_relevance(q[0], k, 0.25))


def test_questions_whose_shapes_disagree_are_refused():
    for q, k in (((2, 6, 8), (5, 4, 8)), ((2, 4, 8), (5, 4, 16)), ((6, 4, 8), (5, 4, 8)), ((0, 4, 8), (5, 4, 8))):
        with pytest.raises(ValueError, match="Q <= S"):
            question_relevance(torch.zeros(q), torch.zeros(k), scale=1.0)
