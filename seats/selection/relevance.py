"""Relevance of every token to the question: the attention of the last text token at one decoder layer."""

import torch
from torch import Tensor


def last_query_relevance(q: Tensor, k: Tensor, scale: float | None = None) -> Tensor:
    """Attention of one query to all keys, mean over heads.

    Args:
        q: [H, d] query of the last text token, with rotary positions applied, any float type.
        k: [S, KVH, d] keys of the whole sequence; heads h * H/KVH up to (h+1) * H/KVH - 1 share key head h.
        scale: factor on the scores, d ** -0.5 if None.

    Returns:
        [S] float32; sums to 1 over all tokens, text included.

    Source: SEATS (arXiv 2605.20035), inner-LLM selection; softmax in float32, where the published code uses
    the model's type. Raises ValueError for shapes that do not agree.
    """
    if q.ndim != 2 or k.ndim != 3 or q.shape[1] != k.shape[2] or q.shape[0] % k.shape[1]:
        raise ValueError(f"q {tuple(q.shape)} must be [H, d] and k {tuple(k.shape)} [S, KVH, d], H a multiple of KVH")
    (heads, dim), key_heads = q.shape, k.shape[1]
    scale = dim**-0.5 if scale is None else scale
    grouped = q.float().view(key_heads, heads // key_heads, dim) * scale
    scores = torch.matmul(grouped, k.float().permute(1, 2, 0))  # [KVH, H / KVH, S]
    return scores.softmax(-1).mean((0, 1))
