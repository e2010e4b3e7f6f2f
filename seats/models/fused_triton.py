"""Elementwise steps of the blocks as one kernel each: rotary positions, the gate of an MLP, a sum with its norm.

In tensor operations a rotation reads and writes its input about ten times, partly in float32, and costs as much time
as the matrix products beside it; here every value is read once and written once. Rounded once, at the end, where
tensor operations in 16 bits round after every step. Importing this needs Triton; ask `triton_kernels.usable` first.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from seats.selection import triton_kernels

_TILE = 64  # rows of one head that a program of `_rotate` works on
_BLOCK = 4096  # values that a program of `_gate` works on


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of x `[n, H, d]` by cos and sin `[n, d]`: `[n, H, d]`, contiguous."""
    n, heads, dim = x.shape
    if x.stride(2) != 1:
        x = x.contiguous()
    cos, sin = cos.contiguous(), sin.contiguous()
    out = torch.empty(n, heads, dim, dtype=x.dtype, device=x.device)
    width = max(16, triton.next_power_of_2(dim // 2))
    grid = (triton.cdiv(n * heads, _TILE),)
    with torch.cuda.device_of(x):  # kernels start on the current GPU, whosever the tensors are
        _rotate[grid](
            x, cos, sin, out, n * heads,
            HEADS=heads, HALF=dim // 2, ROW=x.stride(0), HEAD=x.stride(1), TILE=_TILE, WIDTH=width, num_warps=4,
            **triton_kernels.OPTIONS,
        )  # fmt: skip
    return out


def gate(x: Tensor, y: Tensor) -> Tensor:
    """`silu(x) * y` of two tensors of one shape."""
    x, y = x.contiguous(), y.contiguous()
    out = torch.empty_like(x)
    with torch.cuda.device_of(x):
        grid = (triton.cdiv(x.numel(), _BLOCK),)
        _gate[grid](x, y, out, x.numel(), BLOCK=_BLOCK, num_warps=8, **triton_kernels.OPTIONS)
    return out


def add_norm(x: Tensor, more: Tensor, weight: Tensor, epsilon: float, after: Tensor) -> tuple[Tensor, Tensor]:
    """`x + more + after` and the RMSNorm of `x + more`: `[n, D]` each. The sum is written in place of `more`.

    x, more: `[n, D]`; weight, after: `[D]`.
    """
    x, more = x.contiguous(), more.contiguous()
    normed = torch.empty_like(x)
    n, width = x.shape
    with torch.cuda.device_of(x):
        _add_norm[(n,)](
            x, more, weight, after, normed, epsilon, WIDTH=width, BLOCK=triton.next_power_of_2(width), num_warps=4,
            **triton_kernels.OPTIONS,
        )  # fmt: skip
    return more, normed


@triton.jit(do_not_specialize=["rows"])
def _rotate(  # type: ignore[no-untyped-def]
    x, cos, sin, out, rows,
    HEADS: tl.constexpr, HALF: tl.constexpr, ROW: tl.constexpr, HEAD: tl.constexpr,
    TILE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * TILE + tl.arange(0, TILE)
    token = (row // HEADS).to(tl.int64)
    column = tl.arange(0, WIDTH)[None, :]
    there = (row[:, None] < rows) & (column < HALF)
    source = x + (token * ROW + row % HEADS * HEAD)[:, None] + column
    first = tl.load(source, mask=there, other=0.0).to(tl.float32)
    second = tl.load(source + HALF, mask=there, other=0.0).to(tl.float32)
    angle = (token * 2 * HALF)[:, None] + column
    turned = first * tl.load(cos + angle, mask=there, other=0.0).to(tl.float32)
    turned -= second * tl.load(sin + angle, mask=there, other=0.0).to(tl.float32)
    target = out + (row.to(tl.int64) * 2 * HALF)[:, None] + column
    tl.store(target, turned.to(out.dtype.element_ty), mask=there)
    turned = second * tl.load(cos + angle + HALF, mask=there, other=0.0).to(tl.float32)
    turned += first * tl.load(sin + angle + HALF, mask=there, other=0.0).to(tl.float32)
    tl.store(target + HALF, turned.to(out.dtype.element_ty), mask=there)


@triton.jit
def _gate(x, y, out, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = i < n
    value = tl.load(x + i, mask=there, other=0.0).to(tl.float32)
    other = tl.load(y + i, mask=there, other=0.0).to(tl.float32)
    tl.store(out + i, (value * tl.sigmoid(value) * other).to(out.dtype.element_ty), mask=there)


@triton.jit
def _add_norm(  # type: ignore[no-untyped-def]
    x, more, weight, after, normed, epsilon, WIDTH: tl.constexpr, BLOCK: tl.constexpr
):
    column = tl.arange(0, BLOCK)
    there = column < WIDTH
    at = tl.program_id(0).to(tl.int64) * WIDTH + column
    value = tl.load(x + at, mask=there, other=0.0).to(tl.float32)
    value += tl.load(more + at, mask=there, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(value * value, axis=0) / WIDTH + epsilon)
    scaled = value * scale * tl.load(weight + column, mask=there, other=0.0).to(tl.float32)
    tl.store(normed + at, scaled.to(normed.dtype.element_ty), mask=there)
    value += tl.load(after + column, mask=there, other=0.0).to(tl.float32)
    tl.store(more + at, value.to(more.dtype.element_ty), mask=there)
