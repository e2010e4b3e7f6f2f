"""Ranks of tokens inside their groups, and what a budget needs to know of the groups, in one kernel.

Two sorts, a scan and several scatters do the same in thirty kernels, which for the few thousand tokens that are left at
a drop layer cost what launching them costs. Comparing every token with every other is less than that up to `LONGEST`.
Importing this needs Triton; ask `triton_kernels.usable` first.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from seats.selection import triton_kernels

LONGEST = 32768
"""Tokens beyond which sorting is faster."""
_ROWS, _COLUMNS = 16, 64  # more rows do not fit into the registers, and leave most of a large GPU idle


def rank_in_groups(scores: Tensor, key: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where each token stands in its group: those with the same key.

    scores: [S], compared as float32; key: [S] int64. Returns rank: int32 [S], how many tokens of the group have a
    higher score, or the same and a lower index; first: int32 [S], the lowest index in the group; table: float64 [3, S],
    the keys, and at each group's first token its size and the sum of its scores, 0 elsewhere.
    """
    n = len(key)
    # Each in memory of its own: where it begins is compiled in, and must not depend on the prompt's length.
    rank, first = (torch.empty(n, dtype=torch.int32, device=key.device) for _ in range(2))
    table = torch.empty(3, n, dtype=torch.float64, device=key.device)
    grid = (triton.cdiv(n, _ROWS),)
    with torch.cuda.device_of(key):  # kernels start on the current GPU, whosever the tensors are
        _ranks[grid](
            scores.contiguous(), key.contiguous(), rank, first, table, n, ROWS=_ROWS, COLUMNS=_COLUMNS,
            **triton_kernels.OPTIONS,
        )  # fmt: skip
    return rank, first, table


@triton.jit(do_not_specialize=["n"])
def _ranks(scores, key, rank, first, table, n, ROWS: tl.constexpr, COLUMNS: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    my_key = tl.load(key + row, mask=row < n, other=-1)
    my_score = tl.load(scores + row, mask=row < n, other=0.0).to(tl.float32)
    before = tl.zeros([ROWS], tl.int32)
    size = tl.zeros([ROWS], tl.int32)
    lowest = tl.full([ROWS], 2147483647, tl.int32)
    total = tl.zeros([ROWS], tl.float64)
    for start in range(0, n, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        there = column < n
        score = tl.load(scores + column, mask=there, other=0.0).to(tl.float32)[None, :]
        same = (tl.load(key + column, mask=there, other=-2)[None, :] == my_key[:, None]) & there[None, :]
        higher = (score > my_score[:, None]) | ((score == my_score[:, None]) & (column[None, :] < row[:, None]))
        before += tl.sum((same & higher).to(tl.int32), axis=1)
        size += tl.sum(same.to(tl.int32), axis=1)
        lowest = tl.minimum(lowest, tl.min(tl.where(same, column[None, :], 2147483647), axis=1))
        total += tl.sum(tl.where(same, score, 0.0).to(tl.float64), axis=1)
    tl.store(rank + row, before, mask=row < n)
    tl.store(first + row, lowest, mask=row < n)
    leads = lowest == row
    tl.store(table + row, my_key.to(tl.float64), mask=row < n)
    tl.store(table + n + row, tl.where(leads, size, 0).to(tl.float64), mask=row < n)
    tl.store(table + 2 * n + row, tl.where(leads, total, 0.0), mask=row < n)
