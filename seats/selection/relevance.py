"""Relevance of every token to the question: the attention of the text behind the clip at one decoder layer."""

import torch
from torch import Tensor

_QUERIES = 64


def last_query_relevance(q: Tensor, k: Tensor, scale: float) -> Tensor:
    """Attention of one query to all keys, mean over heads.

    Args:
        q: [H, d] query of the last text token, with rotary positions applied, any float type.
        k: [S, KVH, d] keys of the whole sequence; heads h * H/KVH up to (h+1) * H/KVH - 1 share key head h.
        scale: factor on the scores.

    Returns:
        [S] float32; sums to 1 over all tokens, text included.

    Source: SEATS (arXiv 2605.20035), inner-LLM selection; softmax in float32, where the published code uses
    the model's type. Raises ValueError for shapes that do not agree.
    """
    if q.ndim != 2 or k.ndim != 3 or q.shape[1] != k.shape[2] or q.shape[0] % k.shape[1]:
        raise ValueError(f"q {tuple(q.shape)} must be [H, d] and k {tuple(k.shape)} [S, KVH, d], H a multiple of KVH")
    (heads, dim), key_heads = q.shape, k.shape[1]
    grouped = q.float().view(key_heads, heads // key_heads, dim) * scale
    scores = torch.matmul(grouped, k.float().permute(1, 2, 0))  # [KVH, H / KVH, S]
    return scores.softmax(-1).mean((0, 1))


def question_relevance(q: Tensor, k: Tensor, scale: float) -> Tensor:
    """Attention of the last Q tokens to each token, mean over them and over heads.

    Args:
        q: [Q, H, d] queries of the last Q of S tokens, with rotary positions applied, any float type.
        k: [S, KVH, d] keys of the whole sequence; heads h * H/KVH up to (h+1) * H/KVH - 1 share key head h.
        scale: factor on the scores.

    Returns:
        [S] float32; sums to 1. Each query sees the tokens up to itself, as in the decoder layer.

    Raises ValueError for shapes that do not agree.
    """
    if q.ndim != 3 or k.ndim != 3 or q.shape[2] != k.shape[2] or q.shape[1] % k.shape[1] or not 0 < len(q) <= len(k):
        raise ValueError(
            f"q {tuple(q.shape)} must be [Q, H, d] and k {tuple(k.shape)} [S, KVH, d], H a multiple of KVH and Q <= S"
        )
    (queries, heads, dim), (total, key_heads) = q.shape, k.shape[:2]
    keys = k.float().permute(1, 2, 0)
    attention = torch.zeros(total, dtype=torch.float32, device=k.device)
    # In parts, so that a long question does not hold scores of Q x S for every head.
    for begin in range(0, queries, _QUERIES):
        part = q[begin : begin + _QUERIES].float() * scale
        grouped = part.view(len(part), key_heads, heads // key_heads, dim).permute(1, 2, 0, 3)
        scores = torch.matmul(grouped.flatten(1, 2), keys).view(heads, len(part), total)
        sees = torch.ones(len(part), total, dtype=torch.bool, device=k.device).tril(total - queries + begin)
        attention += scores.masked_fill_(~sees, -torch.inf).softmax(-1).mean(0).sum(0)
    return attention / queries
