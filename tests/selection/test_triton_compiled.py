"""The Triton kernels compiled for a GPU that need not be here: what the interpreter cannot tell."""

import re
from collections import Counter

import pytest

from seats.selection.triton_kernels import OPTIONS

triton = pytest.importorskip("triton", reason="comes with torch for CUDA; on a CPU: pip install 'triton>=3.9'")

HEADS = {"HEADS": 16, "DIM": 80, "QUERIES": 64, "KEYS": 64, "WIDTH": 128, "PRECISION": "tf32"}
"""Of a vision encoder's head."""


def instructions(kernel, pointers, numbers, constants, warps, stages=3):
    """Memory and matrix instructions of a kernel compiled for compute capability 9.0, by name.

    pointers: type by name, those of memory aligned to 16 bytes as torch's are; numbers: type by name, with "/16" where
    the value is a multiple of 16.
    """
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    given = {**pointers, **numbers, **dict.fromkeys(constants, "constexpr")}
    aligned = [i for i, kind in enumerate(given.values()) if kind.startswith("*") or kind.endswith("/16")]
    source = ASTSource(
        fn=kernel,
        signature={name: kind.removesuffix("/16") for name, kind in given.items()},
        constexprs=constants,
        attrs={(i,): [["tt.divisibility", 16]] for i in aligned},
    )
    options = {"num_warps": warps, "num_stages": stages, **OPTIONS}
    text = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]
    return Counter(re.findall(r"\b(?:ld\.global|st\.global|cp\.async\.(?:c[ag]|bulk)|wgmma\.mma_async)[\w.:]*", text))


def widest_only(found, kind):
    """Whether all instructions of a kind move 16 bytes."""
    return all(".v4.b32" in name for name in found if name.startswith(kind)) and any(n.startswith(kind) for n in found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["_normalisers", "_masses"])
def test_saliency_uses_the_matrix_units_and_copies_ahead(name):
    from seats.selection import column_mass_triton

    pointers = {"q": "*bf16", "k": "*bf16", "normaliser": "*fp32"} | ({"mass": "*fp32"} if name == "_masses" else {})
    numbers = {"n": "i32", "window": "i32", "scale": "fp32"}
    found = instructions(getattr(column_mass_triton, name), pointers, numbers, HEADS, 4)
    assert found["wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16"] > 0
    assert any(kind.startswith("cp.async.cg") for kind in found)
    assert not any(kind.endswith("b16") for kind in found)  # no value by itself


@pytest.mark.slow
def test_rotations_and_gates_move_16_bytes_at_a_time():
    from seats.models import fused_triton

    pointers = {"x": "*bf16", "cos": "*fp32", "sin": "*fp32", "out": "*bf16"}
    shape = {"HEADS": 16, "HALF": 40, "ROW": 3840, "HEAD": 80, "TILE": 64, "WIDTH": 64}
    found = instructions(fused_triton._rotate, pointers, {"rows": "i32"}, shape, 4)
    assert widest_only(found, "ld.global")
    assert widest_only(found, "st.global")
    pointers = {"x": "*bf16", "y": "*bf16", "out": "*bf16"}
    found = instructions(fused_triton._gate, pointers, {"n": "i32/16"}, {"BLOCK": 4096}, 8)
    assert widest_only(found, "ld.global")
    assert widest_only(found, "st.global")
    pointers = dict.fromkeys(("x", "more", "weight", "after", "normed"), "*bf16")
    shape = {"WIDTH": 1280, "BLOCK": 2048}
    found = instructions(fused_triton._add_norm, pointers, {"epsilon": "fp32"}, shape, 4)
    assert widest_only(found, "ld.global")
    assert widest_only(found, "st.global")


@pytest.mark.slow
def test_gated_products_use_the_matrix_units_and_the_memory_accelerator():
    from seats.models import gated_product_triton as module

    rows, columns, depth = module._ROWS, module._COLUMNS, module._DEPTH
    tiles = {"x": (rows, depth), "gate": (columns, depth), "up": (columns, depth), "out": (rows, columns)}
    pointers = {name: f"tensordesc<bf16[{high},{wide}]>" for name, (high, wide) in tiles.items()}
    pointers |= {"gate_bias": "*bf16", "up_bias": "*bf16"}
    shape = {"COLUMNS": 3424, "DEPTH": 1280, "TILE_ROWS": rows, "TILE_COLUMNS": columns, "TILE_DEPTH": depth}
    shape |= {"GROUP": module._GROUP, "PRECISION": "tf32"}
    found = instructions(module._gated, pointers, {"rows": "i32"}, shape, 8, module._STAGES)
    # Two products of a tile, in steps of 16.
    assert found["wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16"] == 2 * depth // 16
    assert sum(count for name, count in found.items() if name.startswith("cp.async.bulk.tensor.2d.shared")) > 0
    assert sum(count for name, count in found.items() if name.startswith("cp.async.bulk.tensor.2d.global")) == 1


@pytest.mark.slow
def test_windows_use_the_matrix_units_and_move_16_bytes_at_a_time():
    from seats.models import window_attention_triton

    names = ("q", "k", "v", "cos", "sin", "cu", "out")
    pointers = dict.fromkeys(names, "*bf16") | {"cos": "*fp32", "sin": "*fp32", "cu": "*i32"}
    shape = {"HEADS": 16, "DIM": 80, "ROW": 1280, "ROWS": 64, "HALF": 64, "WHOLE": 128, "PRECISION": "tf32"}
    found = instructions(window_attention_triton._windows, pointers, {"scale": "fp32"}, shape, 4)
    assert sum(count for name, count in found.items() if name.startswith("wgmma")) > 0
    assert widest_only(found, "st.global")
    assert {name for name in found if name.startswith("ld.global") and ".v4.b32" not in name} == {"ld.global.b32"}  # cu


@pytest.mark.slow
def test_the_greedy_loop_compiles():
    from seats.selection import farthest_triton

    pointers = {"distance": "*fp32", "picks": "*i64"}
    assert instructions(farthest_triton._greedy, pointers, {"n": "i32", "count": "i32"}, {"BLOCK": 512}, 4)


@pytest.mark.slow
def test_ranks_compile():
    from seats.selection import ranks_triton

    tile = {"ROWS": ranks_triton._ROWS, "COLUMNS": ranks_triton._COLUMNS}
    pointers = {"scores": "*fp32", "key": "*i64", "rank": "*i32", "first": "*i32", "table": "*fp64"}
    assert instructions(ranks_triton._ranks, pointers, {"n": "i32"}, tile, 4)
