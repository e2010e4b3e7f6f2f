"""The greedy loop of Stage I as one kernel: every window of a modality at once, one program each.

The loop in tensor operations is three small kernels a pick, hundreds in all, and costs what launching them costs.
Importing this needs Triton; ask `triton_kernels.usable` first.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from seats.selection import triton_kernels

LONGEST = 32768
"""Tokens of a window beyond which a program would not hold them."""


def fill_picks(distance: Tensor, picks: Tensor) -> None:
    """Fill `picks` [W, count] int64, whose first column is given, with the farthest-first picks of each window.

    distance: [W, n, n] float32, n at most `LONGEST`, from token i (row) to candidate j (column); -inf on the diagonal,
    and in columns that must not be chosen. Both are contiguous. After a pick, every candidate keeps the least of its
    distances to the picks so far, and the largest of these is next; ties go to the lowest index.
    """
    windows, n, _ = distance.shape
    block = triton.next_power_of_2(n)
    with torch.cuda.device_of(distance):  # kernels start on the current GPU, whosever the tensors are
        _greedy[(windows,)](
            distance, picks, n, picks.shape[1], BLOCK=block, num_warps=max(1, min(16, block // 128)),
            **triton_kernels.OPTIONS,
        )  # fmt: skip


@triton.jit(do_not_specialize=["n", "count"])
def _greedy(distance, picks, n, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    window = tl.program_id(0).to(tl.int64)
    candidate = tl.arange(0, BLOCK)
    there = candidate < n
    score = tl.where(there, float("inf"), float("-inf"))
    rows = distance + window * n * n
    mine = picks + window * count
    pick = tl.load(mine)
    for step in range(1, count):
        row = tl.load(rows + pick * n + candidate, mask=there, other=float("-inf"))
        score = tl.minimum(score, row)
        pick = tl.argmax(score, axis=0).to(tl.int64)
        tl.store(mine + step, pick)
