"""Attention inside short windows with rotary positions applied on the way, as one kernel.

Kernels for long sequences work on tiles of 128 queries and cut the keys into several; a window of Qwen2.5-Omni's vision
encoder has 64 patches, so that most of such a tile would be empty. Here a program holds one head of one window whole:
queries, keys and values are read once, and nothing is written but the result. Importing this needs Triton; ask
`triton_kernels.usable` first.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from seats.selection import triton_kernels

_LOG2_E = 1.4426950408889634
LONGEST = 64
"""Tokens of the longest window that a program can hold."""
_HEAD_DIMS = 128
"""Widest head that it can hold."""


def supports(q: Tensor, longest: int | None) -> bool:
    """Whether the kernel takes queries `[N, H, d]` in windows of at most `longest` tokens. On a smaller GPU what has
    been turned does not fit into the registers."""
    fits = longest is not None and longest <= LONGEST and q.shape[2] <= _HEAD_DIMS
    return fits and triton_kernels.takes_type(q) and triton_kernels.is_large(q)


def turned_window_attention(
    q: Tensor, k: Tensor, v: Tensor, cos: Tensor, sin: Tensor, cu_seqlens: Tensor, longest: int, scale: float
) -> Tensor:
    """Attention among the tokens of each window, queries and keys turned by their positions: `[N, H, d]`.

    q, k, v: `[N, H, d]`, parts of one tensor or each its own. cos, sin: `[N, d]`, both halves of a row alike, as rotary
    tables of transformers are. cu_seqlens: int32 `[W + 1]`, where windows begin and end, of at most `longest` tokens
    each. Turned values and weights are rounded to q's type, all else is computed in float32.
    """
    n, heads, dim = q.shape
    if not q.stride() == k.stride() == v.stride() == (q.stride(0), dim, 1):
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    cos, sin = cos.contiguous(), sin.contiguous()
    out = torch.empty(n, heads, dim, dtype=q.dtype, device=q.device)
    with torch.cuda.device_of(q):  # kernels start on the current GPU, whosever the tensors are
        # A window's heads come one after another: together they read whole rows, and its angles once from memory.
        _windows[((len(cu_seqlens) - 1) * heads,)](
            q, k, v, cos, sin, cu_seqlens, out, scale * _LOG2_E,
            HEADS=heads, DIM=dim, ROW=q.stride(0), ROWS=max(16, triton.next_power_of_2(longest)),
            HALF=max(16, triton.next_power_of_2(dim // 2)), WHOLE=max(16, triton.next_power_of_2(dim)),
            PRECISION="ieee" if q.dtype == torch.float32 else "tf32", num_warps=4, **triton_kernels.OPTIONS,
        )  # fmt: skip
    return out


@triton.jit
def _turned(x, cos, sin, HALF: tl.constexpr, there):  # type: ignore[no-untyped-def]
    """Both halves of x, turned, in its type."""
    kind = x.dtype.element_ty
    first = tl.load(x, mask=there, other=0.0).to(tl.float32)
    second = tl.load(x + HALF, mask=there, other=0.0).to(tl.float32)
    return (first * cos - second * sin).to(kind), (second * cos + first * sin).to(kind)


@triton.jit
def _windows(  # type: ignore[no-untyped-def]
    q, k, v, cos, sin, cu, out, scale,
    HEADS: tl.constexpr, DIM: tl.constexpr, ROW: tl.constexpr, ROWS: tl.constexpr,
    HALF: tl.constexpr, WHOLE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    window, head = tl.program_id(0) // HEADS, tl.program_id(0) % HEADS
    stop = tl.load(cu + window + 1)
    row = tl.load(cu + window) + tl.arange(0, ROWS)
    inside = row < stop
    token = row[:, None].to(tl.int64)
    half = tl.arange(0, HALF)[None, :]
    there = inside[:, None] & (half < DIM // 2)
    c = tl.load(cos + token * DIM + half, mask=there, other=0.0).to(tl.float32)
    s = tl.load(sin + token * DIM + half, mask=there, other=0.0).to(tl.float32)
    where = token * ROW + head * DIM + half
    q1, q2 = _turned(q + where, c, s, DIM // 2, there)
    k1, k2 = _turned(k + where, c, s, DIM // 2, there)
    score = tl.dot(q1, tl.trans(k1), input_precision=PRECISION)
    score = tl.dot(q2, tl.trans(k2), score, input_precision=PRECISION) * scale
    score = tl.where(inside[None, :], score, float("-inf"))
    weight = tl.exp2(score - tl.max(score, axis=1)[:, None])
    total = tl.sum(weight, axis=1)[:, None]
    column = tl.arange(0, WHOLE)[None, :]
    there = inside[:, None] & (column < DIM)
    value = tl.load(v + token * ROW + head * DIM + column, mask=there, other=0.0)
    mixed = tl.dot(weight.to(value.dtype), value, input_precision=PRECISION) / total
    tl.store(out + (token * HEADS + head) * DIM + column, mixed.to(out.dtype.element_ty), mask=there)
