"""FLOPs as torch itself counts them, operation by operation, on tiny random thinkers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from seats.models.families import FAMILIES, Family
from tests.tiny import tiny_config


def counted(run: Callable[[], Any]) -> int:
    """FLOPs of `run()`. torch has no count for the CPU's fused attention, so its plain one is used."""
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.bmm: _bmm_flops})
    with torch.no_grad(), counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return counter.get_total_flops()


def _bmm_flops(left: torch.Size, right: torch.Size, *_out_dtype: Any, out_shape: Any = None, **_others: Any) -> int:
    """As torch has it, but for outer products. Those are the rotary angles, which torch 2.13 computes element by
    element, and 2.11 as a matrix product that would be counted."""
    batch, rows, inner = left
    return 0 if inner == 1 < rows else 2 * batch * rows * inner * right[2]


def family_named(name: str) -> Family:
    return next(family for family in FAMILIES if family.name == name)


def countable_thinker(family: str, **text: Any) -> Any:
    """A tiny thinker, its text config changed by `text`.

    Its experts run one by one: torch has no count for grouped matrix products.
    """
    import transformers

    config = tiny_config(family)
    for name, value in text.items():
        setattr(config.text_config, name, value)
    torch.manual_seed(0)
    thinker = getattr(transformers, family_named(family).thinker_class)(config).eval()
    thinker.generation_config.eos_token_id = None
    if family == "qwen3-omni":
        thinker.set_experts_implementation("eager")
    return thinker
