"""Column mass of window attention in two kernels that never store the attention itself.

The first gives every query the logarithm of its softmax's denominator, the second sums the attention that every key
receives. Both work in tiles, so that memory is read and written once a token where stored scores would be once a pair.
Importing this needs Triton; ask `triton_kernels.usable` first.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from seats.selection import triton_kernels

_QUERIES, _KEYS = 64, 64
_LOG2_E = 1.4426950408889634
_HEAD_DIMS = 256
"""Widest head whose tiles fit."""


def supports(q: Tensor) -> bool:
    """Whether the kernels take queries of this type and width."""
    return triton_kernels.takes_type(q) and q.shape[-1] <= _HEAD_DIMS


def column_mass_sum(q: Tensor, k: Tensor, window: int, scale: float) -> Tensor:
    """Attention that every token receives inside its window, summed over the window's queries and the heads: [n].

    q, k: [n, H, d] of one type, n >= 1; windows of `window` tokens, the last one may be shorter. Products are summed up
    and the softmax taken in float32.
    """
    q, k = q.contiguous(), k.contiguous()
    n, heads, dim = q.shape
    window = min(window, n)
    windows = triton.cdiv(n, window)
    width = max(16, triton.next_power_of_2(dim))
    normaliser = torch.empty(heads, n, dtype=torch.float32, device=q.device)
    mass = torch.empty(heads, n, dtype=torch.float32, device=q.device)
    precision = "ieee" if q.dtype == torch.float32 else "tf32"  # the latter has no meaning for 16 bits
    # A model's heads are compiled in, so that whole rows are loaded at a time; the clip's length is not.
    shared = {"HEADS": heads, "DIM": dim, "QUERIES": _QUERIES, "KEYS": _KEYS, "WIDTH": width, "PRECISION": precision}
    shared |= triton_kernels.OPTIONS
    with torch.cuda.device_of(q):  # kernels start on the current GPU, whosever the tensors are
        grid = (windows * heads, triton.cdiv(window, _QUERIES))
        _normalisers[grid](q, k, normaliser, n, window, scale * _LOG2_E, **shared)
        grid = (windows * heads, triton.cdiv(window, _KEYS))
        _masses[grid](q, k, normaliser, mass, n, window, scale * _LOG2_E, **shared)
    return mass.sum(0)


@triton.jit
def _tile(  # type: ignore[no-untyped-def]
    base, first, stop, head, HEADS: tl.constexpr, DIM: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr
):
    """Rows first .. first + ROWS of one head, 0 from `stop` on."""
    row = first + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    where = base + (row[:, None].to(tl.int64) * HEADS + head) * DIM + column[None, :]
    return tl.load(where, mask=(row[:, None] < stop) & (column[None, :] < DIM), other=0.0)


@triton.jit(do_not_specialize=["n", "window"])
def _normalisers(  # type: ignore[no-untyped-def]
    q, k, normaliser, n, window, scale, HEADS: tl.constexpr, DIM: tl.constexpr,
    QUERIES: tl.constexpr, KEYS: tl.constexpr, WIDTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """log2 of the sum over the window's keys of 2 ** (scale * q k), for one tile of one head's queries."""
    start = tl.program_id(0) // HEADS * window
    head = tl.program_id(0) % HEADS
    stop = tl.minimum(start + window, n)
    first = start + tl.program_id(1) * QUERIES
    queries = _tile(q, first, stop, head, HEADS, DIM, QUERIES, WIDTH)
    largest = tl.full([QUERIES], float("-inf"), tl.float32)
    total = tl.zeros([QUERIES], tl.float32)
    for at in range(start, stop, KEYS):
        keys = _tile(k, at, stop, head, HEADS, DIM, KEYS, WIDTH)
        score = tl.dot(queries, tl.trans(keys), input_precision=PRECISION) * scale
        score = tl.where((at + tl.arange(0, KEYS))[None, :] < stop, score, float("-inf"))
        higher = tl.maximum(largest, tl.max(score, axis=1))
        total = total * tl.exp2(largest - higher) + tl.sum(tl.exp2(score - higher[:, None]), axis=1)
        largest = higher
    row = first + tl.arange(0, QUERIES)
    tl.store(normaliser + head.to(tl.int64) * n + row, largest + tl.log2(total), mask=row < stop)


@triton.jit(do_not_specialize=["n", "window"])
def _masses(  # type: ignore[no-untyped-def]
    q, k, normaliser, mass, n, window, scale, HEADS: tl.constexpr, DIM: tl.constexpr,
    QUERIES: tl.constexpr, KEYS: tl.constexpr, WIDTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Attention that one tile of one head's keys receives from all queries of the window."""
    start = tl.program_id(0) // HEADS * window
    head = tl.program_id(0) % HEADS
    stop = tl.minimum(start + window, n)
    first = start + tl.program_id(1) * KEYS
    keys = tl.trans(_tile(k, first, stop, head, HEADS, DIM, KEYS, WIDTH))
    received = tl.zeros([KEYS], tl.float32)
    for at in range(start, stop, QUERIES):
        queries = _tile(q, at, stop, head, HEADS, DIM, QUERIES, WIDTH)
        row = at + tl.arange(0, QUERIES)
        # A query past the window's end has an infinite normaliser, so that it gives nothing.
        given = tl.load(normaliser + head.to(tl.int64) * n + row, mask=row < stop, other=float("inf"))
        score = tl.dot(queries, keys, input_precision=PRECISION) * scale
        received += tl.sum(tl.exp2(score - given[:, None]), axis=0)
    row = first + tl.arange(0, KEYS)
    tl.store(mass + head.to(tl.int64) * n + row, received, mask=row < stop)
