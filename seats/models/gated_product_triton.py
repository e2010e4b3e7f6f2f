"""The inner rows of a gated MLP as one kernel: both products and the gate, without writing the products.

Of two products and a gate by themselves, four tensors as wide as the MLP are written or read between; here each program
keeps its tile of both products in registers and writes what the gate makes of them. Tiles are copied by Hopper's tensor
memory accelerator (TMA). Importing this needs Triton; ask `triton_kernels.usable` first.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from seats.selection import triton_kernels

_ROWS, _COLUMNS, _DEPTH = 128, 128, 64
"""Of a tile: tokens, outputs of each product, and inputs that are multiplied at a time."""
_STAGES = 4
"""Tiles on their way at a time: 192 KiB of shared memory."""
_GROUP = 8
"""Tiles of rows that are worked on together, so that what they share is read from memory once."""


def supports(x: Tensor, gate: Tensor, up: Tensor) -> bool:
    """Whether the kernel takes these: whole tensors whose rows are multiples of 16 bytes, where tiles can be copied
    so."""
    aligned = not (x.shape[1] * x.itemsize % 16 or len(gate) * x.itemsize % 16)
    whole = all(tensor.is_contiguous() and tensor.data_ptr() % 16 == 0 for tensor in (x, gate, up))
    return triton_kernels.takes_type(x) and aligned and whole and triton_kernels.has_accelerator(x)


def gated_product(x: Tensor, gate: Tensor, gate_bias: Tensor, up: Tensor, up_bias: Tensor) -> Tensor:
    """`silu(x @ gate.T + gate_bias) * (x @ up.T + up_bias)`: `[N, I]`.

    x: `[N, D]`, N >= 1, gate, up: `[I, D]`, their biases `[I]`. Sums are made in float32 and rounded once, at the end.
    """
    rows, depth = x.shape
    columns = len(gate)
    out = torch.empty(rows, columns, dtype=x.dtype, device=x.device)
    described = [
        TensorDescriptor.from_tensor(x, [_ROWS, _DEPTH]),
        TensorDescriptor.from_tensor(gate, [_COLUMNS, _DEPTH]),
        TensorDescriptor.from_tensor(up, [_COLUMNS, _DEPTH]),
        TensorDescriptor.from_tensor(out, [_ROWS, _COLUMNS]),
    ]
    grid = (triton.cdiv(rows, _ROWS) * triton.cdiv(columns, _COLUMNS),)
    with torch.cuda.device_of(x):  # kernels start on the current GPU, whosever the tensors are
        _gated[grid](
            *described, gate_bias, up_bias, rows,
            COLUMNS=columns, DEPTH=depth, TILE_ROWS=_ROWS, TILE_COLUMNS=_COLUMNS, TILE_DEPTH=_DEPTH, GROUP=_GROUP,
            PRECISION="ieee" if x.dtype == torch.float32 else "tf32", num_warps=8, num_stages=_STAGES,
            **triton_kernels.OPTIONS,
        )  # fmt: skip
    return out


@triton.jit(do_not_specialize=["rows"])
def _gated(  # type: ignore[no-untyped-def]
    x, gate, up, out, gate_bias, up_bias, rows,
    COLUMNS: tl.constexpr, DEPTH: tl.constexpr, TILE_ROWS: tl.constexpr, TILE_COLUMNS: tl.constexpr,
    TILE_DEPTH: tl.constexpr, GROUP: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    down, across = tl.cdiv(rows, TILE_ROWS), tl.cdiv(COLUMNS, TILE_COLUMNS)
    program = tl.program_id(0)
    first = program // (GROUP * across) * GROUP
    height = min(down - first, GROUP)
    row = (first + program % (GROUP * across) % height) * TILE_ROWS
    column = program % (GROUP * across) // height * TILE_COLUMNS
    gated = tl.zeros((TILE_ROWS, TILE_COLUMNS), tl.float32)
    other = tl.zeros((TILE_ROWS, TILE_COLUMNS), tl.float32)
    for depth in range(0, DEPTH, TILE_DEPTH):
        part = x.load([row, depth])
        gated = tl.dot(part, gate.load([column, depth]).T, gated, input_precision=PRECISION)
        other = tl.dot(part, up.load([column, depth]).T, other, input_precision=PRECISION)
    index = column + tl.arange(0, TILE_COLUMNS)
    inside = index < COLUMNS
    gated += tl.load(gate_bias + index, mask=inside, other=0.0).to(tl.float32)[None, :]
    other += tl.load(up_bias + index, mask=inside, other=0.0).to(tl.float32)[None, :]
    out.store([row, column], (gated * tl.sigmoid(gated) * other).to(out.dtype))
