"""Generation with dropped tokens, computed the plain way: nothing is ever removed, only hidden by masks.

Every layer runs over the whole sequence, answer tokens included, without a cache. A token that the method dropped
before a layer is still computed there, but no other token sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from seats.methods.base import AfterLayer, BeforeLLM, Method, Selection
from seats.models import compat
from seats.tokens.layout import Modality, TokenLayout


@dataclass
class Reference:
    """ids and logits `[N, V]` of the answer; alive: per decoder layer, origins of the prompt's tokens it sees."""

    ids: list[int] = field(default_factory=list)
    logits: list[torch.Tensor] = field(default_factory=list)
    alive: list[list[int]] = field(default_factory=list)


@torch.no_grad()
def reference_generate(
    thinker: Any,
    embeds: torch.Tensor,
    positions: torch.Tensor,
    layout: TokenLayout,
    method: Method,
    *,
    saliency: torch.Tensor | None,
    deepstack: Sequence[torch.Tensor] = (),
    kv: str,
    new_tokens: int,
) -> Reference:
    """Greedy decoding of `new_tokens` tokens. embeds `[S, D]`; positions `[3, S]`; thinker: stock, unpatched."""
    text, made = compat.text_model(thinker), Reference()
    # generate() goes on from the last token, which is not the latest where pictures are far apart.
    length, first = len(layout), float(positions[:, -1].max()) + 1
    sees, hidden = _prefill(text, embeds, positions, layout, method, saliency, deepstack)
    made.alive = [row.nonzero()[:, 0].tolist() for row in sees.alive[:-1]]
    for step in range(new_tokens):
        if step:
            answer = text.embed_tokens(torch.tensor(made.ids))
            late = (first + torch.arange(step)).to(positions.dtype).expand(3, step)
            rows = torch.cat([sees.embeds, answer])[None]
            rotary = text.rotary_emb(rows, torch.cat([positions, late], 1)[:, None])
            hidden = _run(text, rows, rotary, sees, deepstack, kv, length)
        logits = thinker.lm_head(text.norm(hidden[:, -1:]))[0, 0]
        made.logits.append(logits)
        made.ids.append(int(logits.argmax()))
    return made


@dataclass
class _Prefill:
    """What the prefill decided: who is alive at each layer, `[layers + 1, S]`, the last row after all of them, and
    what a method put in the place of hidden states, per layer (0: before the first)."""

    embeds: torch.Tensor
    alive: torch.Tensor
    visual: torch.Tensor
    replaced: dict[int, tuple[torch.Tensor, torch.Tensor]]


def _prefill(
    text: Any,
    embeds: torch.Tensor,
    positions: torch.Tensor,
    layout: TokenLayout,
    method: Method,
    saliency: torch.Tensor | None,
    deepstack: Sequence[torch.Tensor],
) -> tuple[_Prefill, torch.Tensor]:
    length = len(layout)
    rotary = text.rotary_emb(embeds[None], positions[:, None])
    alive, rows, replaced = torch.ones(length, dtype=torch.bool), [], {}

    def apply(chosen: Selection | None, values: torch.Tensor, number: int) -> torch.Tensor:
        """Values `[1, S, D]` after a choice among the living; `alive` loses who was dropped."""
        if chosen is None:
            return values
        where = alive.nonzero()[:, 0]
        if chosen.embeds is not None:
            values = values.clone()
            values[0, where] = chosen.embeds.to(values.dtype)
            replaced[number] = where, chosen.embeds
        keep = chosen.keep | layout.select(where).is_modality(Modality.TEXT)
        alive[where[~keep]] = False
        return values

    hidden = apply(method.before_llm(BeforeLLM(embeds, layout, saliency)), embeds[None], 0)
    visual = layout.is_modality(Modality.VIDEO)
    for number, layer in enumerate(text.layers, start=1):
        rows.append(alive.clone())
        hidden = _layer(layer, hidden, _mask(alive[None].expand(length, -1)), rotary)
        if number <= len(deepstack):
            hidden[:, visual] += deepstack[number - 1]
        if number in method.layers:
            where = alive.nonzero()[:, 0]
            state = AfterLayer(
                number,
                hidden[0, where],
                layout.select(where),
                lambda at=where, block=layer, now=hidden: _relevance(block, now[:, at], [x[:, at] for x in rotary]),
                lambda at=where, n=number, now=hidden: _question_relevance(
                    text.layers[min(n, len(text.layers) - 1)],
                    now[:, at],
                    [x[:, at] for x in rotary],
                    layout.select(at).modality,
                ),
            )
            hidden = apply(method.after_layer(state), hidden, number)
    rows.append(alive.clone())
    return _Prefill(embeds, torch.stack(rows), visual, replaced), hidden


def _run(
    text: Any,
    rows: torch.Tensor,
    rotary: Any,
    sees: _Prefill,
    deepstack: Sequence[torch.Tensor],
    kv: str,
    length: int,
) -> torch.Tensor:
    """The whole sequence with the answer so far, `[1, S + n, D]`; prompt tokens see what they saw in the prefill."""
    new = rows.shape[1] - length
    hidden = rows.clone()

    def put(number: int) -> None:
        if number in sees.replaced:
            where, values = sees.replaced[number]
            hidden[0, where] = values.to(hidden.dtype)

    put(0)
    for number, layer in enumerate(text.layers, start=1):
        in_prefill = sees.alive[number - 1]
        in_decoding = sees.alive[-1] if kv == "drop" else in_prefill
        visible = torch.ones(length + new, length + new, dtype=torch.bool)
        visible[:length, :length] = in_prefill
        visible[length:, :length] = in_decoding
        hidden = _layer(layer, hidden, _mask(visible), rotary)
        if number <= len(deepstack):
            hidden[:, :length][:, sees.visual] += deepstack[number - 1]
        put(number)
    return hidden


def _mask(visible: torch.Tensor) -> torch.Tensor:
    """Causal mask `[1, 1, n, n]` of what each row sees; everyone sees itself, so that no row is empty."""
    n = len(visible)
    return (visible.tril() | torch.eye(n, dtype=torch.bool))[None, None]


def _layer(layer: Any, hidden: torch.Tensor, mask: torch.Tensor, rotary: Any) -> torch.Tensor:
    output = layer(hidden, attention_mask=mask, position_embeddings=rotary, use_cache=False)
    return (output[0] if isinstance(output, tuple) else output).clone()


def _relevance(block: Any, hidden: torch.Tensor, rotary: Any) -> torch.Tensor:
    """Mean over heads of the last row of the softmax over all tokens, from whole projections."""
    return _scores(block, hidden, rotary).softmax(-1)[:, -1].mean(0)


def _question_relevance(block: Any, hidden: torch.Tensor, rotary: Any, modality: torch.Tensor) -> torch.Tensor:
    """Mean over heads and over the rows behind the clip of the causal softmax."""
    scores = _scores(block, hidden, rotary)
    behind = torch.ones_like(scores[0], dtype=torch.bool).triu(1)
    attention = scores.masked_fill(behind, -torch.inf).softmax(-1)
    first = int((modality != int(Modality.TEXT)).nonzero().max()) + 1
    return attention[:, first:].mean((0, 1))


def _scores(block: Any, hidden: torch.Tensor, rotary: Any) -> torch.Tensor:
    """Every token's query with every token's key, `[H, S, S]`."""
    attention = block.self_attn
    x = block.input_layernorm(hidden)[0]
    q, k = (proj(x).view(len(x), -1, attention.head_dim) for proj in (attention.q_proj, attention.k_proj))
    if hasattr(attention, "q_norm"):
        q, k = attention.q_norm(q), attention.k_norm(k)

    def turned(y: torch.Tensor) -> torch.Tensor:
        a, b = y.chunk(2, -1)
        cos, sin = (table[0][:, None] for table in rotary)
        return y * cos + torch.cat([-b, a], -1) * sin

    q, k = turned(q), turned(k).repeat_interleave(q.shape[1] // k.shape[1], 1)
    return torch.einsum("ihd,jhd->hij", q, k) / attention.head_dim**0.5
