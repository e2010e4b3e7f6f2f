"""Attention inside many short windows without a Python loop over them.

The stock encoders run every window as a call of its own unless flash attention is requested; then they hand over all
windows at once with `cu_seqlens`. The function registered here takes that call and needs no flash-attn package: on a
GPU it uses `torch.nn.attention.varlen`, elsewhere one batched SDPA call per distinct window length (at most four for
a video: inner, right, bottom and corner windows).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import AttentionInterface

# The name must contain "flash": that is how the stock encoders decide to pass all windows in one call.
NAME = "seats_flash_windows"


def use_window_attention(*encoders: Any) -> None:
    """Make stock Qwen-Omni encoders attend to all their windows in one call. Results stay those of SDPA."""
    AttentionInterface.register(NAME, windowed_attention)
    for encoder in encoders:
        encoder.config._attn_implementation = NAME


def uses_window_attention(encoder: Any) -> bool:
    """Whether `use_window_attention` was applied, and stands."""
    return encoder.config._attn_implementation == NAME


def windowed_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Full attention inside each window of `cu_seq_lens_q`.

    query, key, value: `[1, H, N, d]`. cu_seq_lens_q: int32 `[W + 1]`. Returns (`[1, N, H, d]`, None).
    """
    if cu_seq_lens_q is None:
        raise ValueError("windowed attention needs cu_seq_lens_q")
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # [N, H, d]
    varlen = _varlen() if _takes_varlen(q) else None
    if varlen is not None:
        q, k, v = (x.contiguous() for x in (q, k, v))
        cu, longest = cu_seq_lens_q, max_length_q
        # Older torch has no `scale`; the encoders use the default one.
        scale = {} if scaling is None or scaling == q.shape[-1] ** -0.5 else {"scale": scaling}
        return varlen(q, k, v, cu, cu, longest, longest, **scale).unsqueeze(0), None
    windows = _windows(cu_seq_lens_q)
    if len(windows) == 1:
        return _batched(q, k, v, windows[0][1], scaling).unsqueeze(0), None
    out = torch.empty_like(q)
    for rows, length in windows:
        out[rows] = _batched(q[rows], k[rows], v[rows], length, scaling)
    return out.unsqueeze(0), None


def _batched(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, length: int, scaling: float | None) -> torch.Tensor:
    """`[n * length, H, d]` -> the same shape, attention inside each run of `length` rows."""
    heads, dim = q.shape[1:]
    q, k, v = (x.reshape(-1, length, heads, dim).transpose(1, 2) for x in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v, scale=scaling)
    return out.transpose(1, 2).reshape(-1, heads, dim)


def _windows(cu_seqlens: torch.Tensor) -> list[tuple[torch.Tensor | None, int]]:
    """Windows by length: rows int64 `[n * length]`, None for all rows in order, and the length.

    All layers of a call share one `cu_seqlens`, so the result is kept on the tensor itself.
    """
    found = getattr(cu_seqlens, "_seats_windows", None)
    if found is not None:
        return found
    host = cu_seqlens.cpu().long()
    lengths = host.diff()
    distinct = lengths.unique().tolist()
    if len(distinct) == 1:
        found = [(None, distinct[0])]
    else:
        found = []
        for length in distinct:
            starts = host[:-1][lengths == length]
            rows = (starts[:, None] + torch.arange(length)).reshape(-1)
            found.append((rows.to(cu_seqlens.device), length))
    cu_seqlens._seats_windows = found  # type: ignore[attr-defined]
    return found


def _takes_varlen(q: torch.Tensor) -> bool:
    """Whether its kernels know this GPU, type and head width: from Ampere on, 16 bits, multiples of 8 up to 256."""
    return (
        q.is_cuda
        and q.dtype in (torch.float16, torch.bfloat16)
        and q.shape[-1] % 8 == 0
        and q.shape[-1] <= 256
        and torch.cuda.get_device_capability(q.device) >= (8, 0)
    )


@cache
def _varlen() -> Any | None:
    """`torch.nn.attention.varlen.varlen_attn` where this torch has it (2.10 and newer)."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn
