"""The stock blocks with their elementwise steps fused, and their matrices laid out as a GPU's matrix units like them.

On a GPU of today the encoders' matrix products take half of their time or less: the rest goes to steps that only read
and write memory. What is done about it, on the modules of a loaded thinker:

- an RMSNorm is one kernel instead of eight, rotary positions one or two instead of ten, the gate of an MLP one instead
  of two;
- a vision block of Qwen2.5-Omni adds its attention's result and norms the sum in one kernel, makes the inner rows of
  its MLP in one (both products and the gate), and adds to the residual stream inside the last product;
- attention in Qwen2.5-Omni's vision windows of 64 patches is one kernel together with its rotary positions;
- patches are embedded by a matrix product: a convolution whose kernel is its stride is one, and convolutions over
  three dimensions are slow (on a CPU, too, where this is all that is done);
- a decoder layer's queries, keys and values are one matrix product: those of few key heads are too narrow to keep a
  GPU busy with the tokens that are left;
- the MLPs of Qwen2.5-Omni's vision blocks are 3,420 wide, rows of 6,840 bytes, which the fast matrix kernels refuse:
  they want multiples of 16 bytes. Four columns of zeros are added, which change no result.

Nothing but the order of rounding changes. `stock_blocks` puts the stock code back for a while, to compare with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from seats.models import compat
from seats.models.families import rotate
from seats.models.thinker import Thinker
from seats.models.window_attention import windowed_attention
from seats.selection import triton_kernels

ROWS_AT_ONCE = 16_384
"""Tokens that a decoder layer's MLP works on at a time: its inner rows are five times as wide as the others."""
_ALIGNED = 8
"""Values of 16 bits in the 16 bytes that a row must be a multiple of."""


class _Fused(partial):
    """A forward of ours in the place of a module's own."""


def use_fused_blocks(thinker: Thinker, *, anywhere: bool = False) -> None:
    """Replace forwards of a thinker's blocks where that pays: in 16 bits on a GPU with Triton. Elsewhere only patches
    are embedded otherwise.

    anywhere: do so without asking, for tests. A module whose forward someone else has replaced is left alone.
    """
    vision, weight = thinker.vision, thinker.text.embed_tokens.weight
    _replace(vision.patch_embed, _embed_patches)
    if not (anywhere or (triton_kernels.usable(weight) and weight.dtype in (torch.bfloat16, torch.float16))):
        return
    for block in vision.blocks:
        _replace(block.attn, _vision_attention)
        if hasattr(block.mlp, "gate_proj"):
            _replace_gated(block.mlp, _gated)
            _align(block.mlp)
            _replace(block, _vision_block)
    for layer in thinker.layers:
        _join(layer.self_attn)
        _replace(layer.self_attn, _text_attention)
        if hasattr(layer.mlp, "gate_proj"):
            _replace_gated(layer.mlp, _gated_in_parts)
    for part in (vision, thinker.text):
        for module in part.modules():
            if type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
                _replace(module, _rms_norm)


@contextmanager
def stock_blocks(thinker: Thinker) -> Iterator[None]:
    """The stock forwards and the stock widths of all blocks while the context is open."""
    fused = [module for module in thinker.module.modules() if _ours(module)]
    padded = [module for module in fused if hasattr(module, "_seats_width")]
    with ExitStack() as back:
        for module in fused:
            back.callback(setattr, module, "forward", module.__dict__.pop("forward"))
        for mlp in padded:
            back.callback(_restore, mlp, list(mlp.parameters()))
            _narrow(mlp)
        yield


def gate(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """`silu(x) * y` of two tensors of one shape."""
    if triton_kernels.usable(x):
        from seats.models.fused_triton import gate as gate_in_a_kernel

        return gate_in_a_kernel(x, y)
    return F.silu(x) * y


def _replace(module: nn.Module, forward: Any) -> None:
    if "forward" not in module.__dict__:
        module.forward = _Fused(forward, module)


def _replace_gated(mlp: Any, forward: Any) -> None:
    if type(mlp.act_fn).__name__ in ("SiLU", "SiLUActivation"):
        _replace(mlp, forward)


def _embed_patches(embed: Any, patches: torch.Tensor) -> torch.Tensor:
    """Patches `[N, C * frames * side * side]` → `[N, D]`."""
    weight = embed.proj.weight
    return F.linear(patches.to(weight.dtype), weight.flatten(1), embed.proj.bias)


def _rms_norm(norm: Any, x: torch.Tensor) -> torch.Tensor:
    return F.rms_norm(x, x.shape[-1:], norm.weight, norm.variance_epsilon)


def _gated(mlp: Any, x: torch.Tensor) -> torch.Tensor:
    return mlp.down_proj(gate(mlp.gate_proj(x), mlp.up_proj(x)))


def _gated_in_parts(mlp: Any, x: torch.Tensor) -> torch.Tensor:
    """As `_gated`, of a long prompt some tokens at a time. x: `[B, S, D]`."""
    if x.shape[1] <= ROWS_AT_ONCE:
        return _gated(mlp, x)
    return torch.cat([_gated(mlp, part) for part in x.split(ROWS_AT_ONCE, 1)], 1)


def _vision_attention(
    attention: Any,
    hidden_states: torch.Tensor,
    cu_seqlens: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
    max_seqlen: int | None = None,
    **_: Any,
) -> torch.Tensor:
    """Attention of one vision block inside its windows. hidden_states: `[N, D]`."""
    if hasattr(attention, "qkv"):
        joint = attention.qkv(hidden_states).view(len(hidden_states), 3, attention.num_heads, -1)
        q, k, v = joint.unbind(1)
    else:
        parts = (attention.q, attention.k, attention.v)
        q, k, v = (part(hidden_states).view(len(hidden_states), attention.num_heads, -1) for part in parts)
    cos, sin = position_embeddings
    if (kernel := _window_kernel(q, max_seqlen)) is not None:
        out = kernel(q, k, v, cos, sin, cu_seqlens, max_seqlen, attention.scaling)
    else:
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
        out, _weights = windowed_attention(
            attention, q, k, v, None, attention.scaling, cu_seq_lens_q=cu_seqlens, max_length_q=max_seqlen
        )
    return attention.proj(out.reshape(len(hidden_states), -1))


def _window_kernel(q: torch.Tensor, longest: int | None) -> Any | None:
    """The kernel that turns and attends at once, where it takes queries `[N, H, d]` in windows so long."""
    if not triton_kernels.usable(q):
        return None
    from seats.models import window_attention_triton as kernels

    return kernels.turned_window_attention if kernels.supports(q, longest) else None


def _vision_block(block: Any, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """A vision block whose MLP has a gate. hidden_states: `[N, D]`; all else is for its attention."""
    attended = block.attn(block.norm1(hidden_states), *args, **kwargs)
    mlp, norm = block.mlp, block.norm2
    linears = (mlp.gate_proj, mlp.up_proj, mlp.down_proj)
    if not (_ours(mlp) and _ours(norm)) or any(type(one) is not nn.Linear or one.bias is None for one in linears):
        hidden_states = hidden_states + attended
        return hidden_states + mlp(norm(hidden_states))
    # The bias of the last product goes into what that product is added to.
    total, normed = _add_norm(norm, hidden_states, attended, mlp.down_proj.bias)
    return total.addmm_(_inner(mlp, normed), mlp.down_proj.weight.t())


def _ours(module: nn.Module) -> bool:
    return isinstance(module.__dict__.get("forward"), _Fused)


def _add_norm(norm: Any, x: torch.Tensor, more: torch.Tensor, after: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`x + more + after` and the norm of `x + more`: `[N, D]` each."""
    if triton_kernels.usable(x):
        from seats.models.fused_triton import add_norm

        return add_norm(x, more, norm.weight, norm.variance_epsilon, after)
    total = x + more
    return total + after, _rms_norm(norm, total)


def _inner(mlp: Any, x: torch.Tensor) -> torch.Tensor:
    """The inner rows `[N, I]` of a gated MLP with biases, of x `[N, D]`."""
    if triton_kernels.usable(x):
        from seats.models import gated_product_triton as kernel

        if kernel.supports(x, mlp.gate_proj.weight, mlp.up_proj.weight):
            return kernel.gated_product(x, *mlp.gate_proj.parameters(), *mlp.up_proj.parameters())
    return gate(mlp.gate_proj(x), mlp.up_proj(x))


def _text_attention(
    attention: Any,
    hidden_states: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
    **others: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention of one decoder layer. hidden_states: `[1, S, D]`, position_embeddings: `[1, S, d]` each."""
    kind = attention.config._attn_implementation
    if hidden_states.shape[0] != 1 or position_embeddings is None or kind == "eager":
        return type(attention).forward(
            attention, hidden_states, attention_mask=attention_mask, position_embeddings=position_embeddings, **others,
        )  # fmt: skip
    q, k, v = _turned_heads(attention, hidden_states[0], position_embeddings)
    if (cache := others.pop(compat.CACHE, None)) is not None:
        k, v = cache.update(k, v, attention.layer_idx, kwargs=others)
    out, weights = ALL_ATTENTION_FUNCTIONS[kind](
        attention, q, k, v, attention_mask, dropout=0.0, scaling=attention.scaling,
        sliding_window=attention.sliding_window, **others,
    )  # fmt: skip
    return attention.o_proj(out.reshape(1, out.shape[1], -1)), weights


def _turned_heads(
    attention: Any, x: torch.Tensor, tables: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries `[1, H, S, d]`, keys and values `[1, KVH, S, d]` of x `[S, D]`, the first two in their rotary positions.
    tables: cos and sin `[1, S, d]`."""
    heads = _projected(attention, x).view(len(x), -1, attention.head_dim)
    key_heads = heads.shape[1] // (attention.num_key_value_groups + 2)
    turning, v = heads.split_with_sizes([heads.shape[1] - key_heads, key_heads], 1)
    sizes = [turning.shape[1] - key_heads, key_heads]
    cos, sin = tables[0][0], tables[1][0]
    if hasattr(attention, "q_norm"):
        q, k = turning.split_with_sizes(sizes, 1)
        q, k = rotate(attention.q_norm(q), cos, sin), rotate(attention.k_norm(k), cos, sin)
    else:
        q, k = rotate(turning, cos, sin).split_with_sizes(sizes, 1)
    q, k, v = (x.transpose(0, 1).unsqueeze(0) for x in (q, k, v))
    return q, k, v


def _join(attention: Any) -> None:
    """Put the weights of queries, keys and values one after the other in memory, so that one product can take all. The
    three modules keep theirs, as parts of the whole."""
    linears = [getattr(attention, f"{name}_proj") for name in "qkv"]
    if any(type(linear) is not nn.Linear for linear in linears) or "forward" in attention.__dict__:
        return
    weight = torch.cat([linear.weight.detach() for linear in linears])
    bias = None if linears[0].bias is None else torch.cat([linear.bias.detach() for linear in linears])
    sizes = [linear.out_features for linear in linears]
    for index, (linear, part) in enumerate(zip(linears, weight.split(sizes), strict=True)):
        linear.weight = nn.Parameter(part, requires_grad=False)
        if bias is not None:
            linear.bias = nn.Parameter(bias.split(sizes)[index], requires_grad=False)
    attention._seats_joint = weight, bias, [linear.weight.data_ptr() for linear in linears]


def _projected(attention: Any, x: torch.Tensor) -> torch.Tensor:
    """Queries, keys and values of x `[S, D]`, one after the other: `[S, (H + 2 * KVH) * d]`."""
    linears = (attention.q_proj, attention.k_proj, attention.v_proj)
    joint: tuple[Any, ...] = getattr(attention, "_seats_joint", (None, None, ()))
    weight, bias, places = joint
    # Someone may have put other modules or weights there since, or moved them.
    if [linear.weight.data_ptr() for linear in linears if type(linear) is nn.Linear] != places:
        return torch.cat([linear(x) for linear in linears], -1)
    return F.linear(x, weight, bias)


def _align(mlp: Any) -> None:
    """Add columns of zeros to an MLP with a forward of ours whose inner rows are no multiple of 16 bytes."""
    linears = (mlp.gate_proj, mlp.up_proj, mlp.down_proj)
    inner = mlp.gate_proj.out_features
    missing = -inner % _ALIGNED
    if not missing or not _ours(mlp):
        return
    if any(type(linear) is not nn.Linear or linear.bias is None for linear in linears):
        return
    mlp._seats_width = inner
    for linear in linears[:2]:
        _set(linear, F.pad(linear.weight, (0, 0, 0, missing)), F.pad(linear.bias, (0, missing)))
    _set(mlp.down_proj, F.pad(mlp.down_proj.weight, (0, missing)), mlp.down_proj.bias)


def _narrow(mlp: Any) -> None:
    """Give an aligned MLP its stock weights: parts of the aligned ones, but for the last, which is a copy."""
    width = mlp._seats_width
    for linear in (mlp.gate_proj, mlp.up_proj):
        _set(linear, linear.weight[:width], linear.bias[:width])
    _set(mlp.down_proj, mlp.down_proj.weight[:, :width].contiguous(), mlp.down_proj.bias)


def _restore(mlp: Any, wide: list[nn.Parameter]) -> None:
    for (name, _), parameter in zip(list(mlp.named_parameters()), wide, strict=True):
        linear, kind = name.split(".")
        setattr(getattr(mlp, linear), kind, parameter)
    for linear in (mlp.gate_proj, mlp.up_proj):
        linear.out_features = len(linear.weight)
    mlp.down_proj.in_features = mlp.down_proj.weight.shape[1]


def _set(linear: nn.Linear, weight: torch.Tensor, bias: torch.Tensor) -> None:
    linear.weight = nn.Parameter(weight.detach(), requires_grad=False)
    linear.bias = nn.Parameter(bias.detach(), requires_grad=False)
    linear.out_features, linear.in_features = weight.shape
