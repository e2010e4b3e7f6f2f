"""Encoder saliency: the attention each token receives in the encoder's last block, inside index windows."""

import torch
from torch import Tensor

from seats.selection import triton_kernels

# Scores of this many bytes at once: what stays in a CPU's cache while softmax goes over it again and again, which takes
# a quarter of the time. Other devices take more, to be kept busy.
_CHUNK_BYTES = 2 * 2**20
_DEVICE_CHUNKS = 64


def column_mass(q: Tensor, k: Tensor, window: int) -> Tensor:
    """Attention every token receives from its window: sum over the window's queries of the mean over heads.

    Softmax is over the keys of the same window, without a mask, in float32; the mass of a window of n tokens
    sums to n. Windows of an encoder that permutes its tokens are windows of the permuted order; undoing it is
    the caller's job. On a GPU with Triton the attention is never stored, elsewhere a bounded part at a time.

    Args:
        q, k: [n, H, d] queries and keys of one block, with rotary positions applied, any float type.
        window: tokens per window, at least 1; the last one may be shorter.

    Returns:
        [n] float32.

    Source: SEATS (arXiv 2605.20035), saliency of the pre-LLM selection. Raises ValueError for shapes that do
    not agree.
    """
    if q.ndim != 3 or q.shape != k.shape:
        raise ValueError(f"q {tuple(q.shape)} and k {tuple(k.shape)} must both be [n, H, d]")
    if window < 1:
        raise ValueError(f"window of {window} tokens: at least 1 is needed")
    n, heads, dim = q.shape
    scale = dim**-0.5
    if n and triton_kernels.usable(q):
        from seats.selection.column_mass_triton import column_mass_sum, supports

        if supports(q):
            return column_mass_sum(q, k, window, scale) / heads
    full = n - n % window
    parts = [_equal_windows(q[:full], k[:full], window, scale)] if full else []
    if full < n:
        parts.append(_equal_windows(q[full:], k[full:], n - full, scale))
    return torch.cat(parts) / heads if parts else q.new_zeros(0, dtype=torch.float32)


def merge_groups(saliency: Tensor, group: int) -> Tensor:
    """Mean over every `group` tokens that the LLM sees as one: [n] → [n // group], odd tail dropped. Raises
    ValueError for a group below 1."""
    if group < 1:
        raise ValueError(f"groups of {group} tokens: at least 1 is needed")
    whole = saliency.shape[0] // group * group
    return saliency[:whole].view(-1, group).mean(1)


def mean_query_attention(q: Tensor, k: Tensor, window: int, group: int) -> Tensor:
    """Attention that the mean query of a window pays to its merged tokens, mean over heads.

    A merged token's key is the mean over its `group` tokens; softmax is over the merged tokens of a window, in
    float32, so that each window sums to 1.

    Args:
        q, k: [n, H, d] queries and keys of one block, with rotary positions applied, any float type; n a multiple
            of `window`.
        window: tokens per window, a multiple of `group`.
        group: tokens that the LLM sees as one.

    Returns:
        [n // group] float32.

    Source: FastVID (arXiv 2503.11187), its Qwen2.5-VL code.
    """
    n, heads, dim = q.shape
    query = q.float().view(n // window, window, heads, dim).mean(1).unsqueeze(2) * dim**-0.5  # [W, H, 1, d]
    keys = k.float().view(n // window, window // group, group, heads, dim).mean(2).permute(0, 2, 3, 1)
    return torch.matmul(query, keys).softmax(-1).mean((1, 2)).flatten()


def merge_keys(k: Tensor, group: int) -> Tensor:
    """Keys `[n, H, d]` of one block → float32 `[n // group, d]`: mean over every `group` tokens and over heads."""
    whole = k.shape[0] // group * group
    return k[:whole].float().view(-1, group, *k.shape[1:]).mean((1, 2))


def _equal_windows(q: Tensor, k: Tensor, window: int, scale: float) -> Tensor:
    """Column mass of windows of equal length, summed over heads: [n]."""
    n, heads, dim = q.shape
    # One batch entry per window and head; a chunk is several entries, or some queries of one where it is too
    # large.
    q, k = (x.view(n // window, window, heads, dim).transpose(1, 2).reshape(-1, window, dim) for x in (q, k))
    chunk = _CHUNK_BYTES * (1 if q.device.type == "cpu" else _DEVICE_CHUNKS)
    rows = max(1, chunk // (4 * window))
    entries, queries = max(1, rows // window), min(rows, window)
    mass = torch.zeros(q.shape[0], window, dtype=torch.float32, device=q.device)
    for start in range(0, q.shape[0], entries):
        batch = slice(start, start + entries)
        keys = k[batch].float().transpose(1, 2)
        for first in range(0, window, queries):
            scores = (q[batch, first : first + queries].float() * scale) @ keys
            mass[batch] += scores.softmax(-1).sum(1)
    return mass.view(-1, heads, window).sum(1).flatten()
