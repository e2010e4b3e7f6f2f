"""Floating-point operations of one answer, part by part: with all tokens, and as it was run.

Counted as computed, from the model's config and the trace: 2 FLOPs a multiply-add, matrix work only (linear
layers, convolutions, attention products), causal attention once per pair that is seen, the LM head on one
position, decoding with the caches as they are. `paper_macs` is the convention of the SEATS paper, which
differs in most of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

from seats.costs.encoders import audio_macs, saliency_macs, vision_macs

if TYPE_CHECKING:
    from seats.inference.trace import Trace
    from seats.models.families import Family
    from seats.models.signals import EncoderWants


@dataclass(frozen=True)
class Workload:
    """What the encoders got.

    grid: (T, Hp, Wp) in patches, None without video. mel_frames: 100 a second, 0 without sound.
    """

    grid: tuple[int, int, int] | None
    mel_frames: int


@dataclass(frozen=True)
class FlopsParts:
    """FLOPs (2 a multiply-add) of the parts of one answer.

    selection: saliency, relevance and the method's own choices. llm_prefill: the decoder layers on the
    prompt. lm_head: of the first answer token only. llm_decode: layers and LM head of every decoding step.
    """

    vision_encoder: float
    audio_encoder: float
    selection: float
    llm_prefill: float
    lm_head: float
    llm_decode: float

    @property
    def total(self) -> float:
        return sum(astuple(self))

    @property
    def prefill(self) -> float:
        """The LLM on the prompt, up to the first answer token."""
        return self.llm_prefill + self.lm_head

    @property
    def after_encoders(self) -> float:
        """From the encoders' output to the first answer token, selection included."""
        return self.selection + self.prefill


PARTS = tuple(part.name for part in fields(FlopsParts))
"""Names of the parts, in the order of reports."""


@dataclass(frozen=True)
class FlopsReport:
    """One answer's cost.

    full: what all tokens would have cost, for as many answer tokens. run: what was run. paper_*: of
    the LLM prefill, in the paper's convention (`paper_macs`).
    """

    full: FlopsParts
    run: FlopsParts
    paper_full_macs: float
    paper_run_macs: float

    @property
    def reduction(self) -> float:
        """Times fewer FLOPs in all, encoders and decoding included."""
        return self.full.total / self.run.total

    @property
    def llm_reduction(self) -> float:
        """Times fewer FLOPs between the encoders' output and the first answer token.

        Selection's own cost is included, the encoders' is not: the part that selection changes, and the one
        the paper's FLOPs stand for.
        """
        return self.full.after_encoders / self.run.after_encoders


def flops_report(
    config: Any,
    trace: Trace,
    workload: Workload,
    wants: EncoderWants,
    family: Family,
    *,
    causal: bool = True,
) -> FlopsReport:
    """FLOPs of the prompt and answer that `trace` describes.

    config: of the thinker, either family. wants: the method's.
    causal: False counts all S * S pairs of a prefill layer, as `torch.utils.flop_counter` does, to compare
    with it. Raises ValueError if the trace is of another model, or has decoding steps but no cache.
    """
    text = _text(config)
    if len(trace.layers) != text.num_hidden_layers:
        raise ValueError(f"the trace has {len(trace.layers)} layers, the model {text.num_hidden_layers}")
    lengths = [counts.total for counts in trace.layers]
    all_tokens = [trace.full.total] * len(lengths)
    steps = trace.decoded_tokens
    selection = trace.selection_macs + sum(
        relevance_macs(config, asked.tokens, asked.queries) for asked in trace.scored
    )
    selection += saliency_macs(config, workload.grid, workload.mel_frames, wants, family)
    vision = 2.0 * vision_macs(config, workload.grid, family)
    audio = 2.0 * audio_macs(config, workload.mel_frames, family)

    def parts(chosen: int, layers: list[int], cache: list[int]) -> FlopsParts:
        return FlopsParts(
            vision_encoder=vision,
            audio_encoder=audio,
            selection=2.0 * chosen,
            llm_prefill=2.0 * prefill_macs(config, layers, causal=causal),
            lm_head=2.0 * head_macs(config),
            llm_decode=2.0 * decode_macs(config, cache, steps),
        )

    left = trace.drops[-1].counts.total if trace.drops else trace.full.total
    return FlopsReport(
        full=parts(0, all_tokens, all_tokens),
        run=parts(selection, lengths, trace.cache_tokens),
        paper_full_macs=float(paper_macs(config, all_tokens, trace.full.total)),
        paper_run_macs=float(paper_macs(config, lengths, left)),
    )


def prefill_macs(config: Any, layer_tokens: Sequence[int], *, causal: bool = True) -> int:
    """Multiply-adds of the decoder layers on a prompt. layer_tokens: tokens entering each layer."""
    text = _text(config)

    def attention(tokens: int) -> int:
        pairs = tokens * (tokens + 1) // 2 if causal else tokens**2
        return 2 * text.num_attention_heads * head_dim(text) * pairs

    return sum(tokens * _linear_per_token(text, layer) + attention(tokens) for layer, tokens in enumerate(layer_tokens))


def decode_macs(config: Any, cache_tokens: Sequence[int], steps: int) -> int:
    """Multiply-adds of `steps` decoding steps, LM head included.

    cache_tokens: tokens in each layer's cache before the first step; every step adds one and attends to all.
    Raises ValueError if there are steps but no cache for each layer.
    """
    text = _text(config)
    if not steps:
        return 0
    if len(cache_tokens) != text.num_hidden_layers:
        raise ValueError(f"{len(cache_tokens)} cache lengths for {text.num_hidden_layers} layers")
    linear = steps * sum(_linear_per_token(text, layer) for layer in range(text.num_hidden_layers))
    pairs = sum(steps * tokens + steps * (steps + 1) // 2 for tokens in cache_tokens)
    return linear + 2 * text.num_attention_heads * head_dim(text) * pairs + steps * head_macs(config)


def head_macs(config: Any) -> int:
    """Multiply-adds of the LM head on one position."""
    text = _text(config)
    return text.hidden_size * text.vocab_size


def relevance_macs(config: Any, tokens: int, queries: int = 1) -> int:
    """Multiply-adds of one relevance: keys of all tokens, the queries of the last ones, their products."""
    text = _text(config)
    width = text.num_attention_heads * head_dim(text)
    keys = text.num_key_value_heads * head_dim(text)
    return tokens * text.hidden_size * keys + queries * (text.hidden_size + tokens) * width


def paper_macs(config: Any, layer_tokens: Sequence[int], head_tokens: int) -> int:
    """Prefill multiply-adds in the convention of the SEATS paper (arXiv 2605.20035).

    Attention counts all S * S pairs, heads are hidden / heads wide whatever the config says, a mixture of
    experts is a dense layer as wide as the experts of one token together, and everything beside the decoder
    layers and the LM head is left out. layer_tokens: tokens entering each layer. head_tokens: tokens left
    after the last drop; the paper counts the LM head over all of them. Its code counts so for Qwen2.5-Omni
    only, its numbers for Qwen3-Omni follow from the same formula.
    """
    text = _text(config)
    hidden, dim = text.hidden_size, text.hidden_size // text.num_attention_heads
    experts = getattr(text, "num_experts_per_tok", None)
    inner = experts * text.moe_intermediate_size if experts else text.intermediate_size
    linear = hidden * (2 * hidden + 2 * text.num_key_value_heads * dim + 3 * inner)
    layers = sum(tokens * linear + 2 * tokens**2 * hidden for tokens in layer_tokens)
    return layers + head_tokens * hidden * text.vocab_size


def _linear_per_token(text: Any, layer: int) -> int:
    """Multiply-adds of the linear maps of one decoder layer (0-based) for one token."""
    hidden = text.hidden_size
    attention = 2 * hidden * head_dim(text) * (text.num_attention_heads + text.num_key_value_heads)
    if not is_sparse(text, layer):
        return attention + 3 * hidden * text.intermediate_size
    experts = text.num_experts_per_tok * 3 * hidden * text.moe_intermediate_size
    return attention + hidden * text.num_experts + experts


def is_sparse(text: Any, layer: int) -> bool:
    """Whether a decoder layer (0-based) is a mixture of experts."""
    return (
        getattr(text, "num_experts", 0) > 0
        and layer not in (text.mlp_only_layers or ())
        and (layer + 1) % text.decoder_sparse_step == 0
    )


def head_dim(text: Any) -> int:
    """Width of an attention head of the decoder. text: its config."""
    return getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads


def _text(config: Any) -> Any:
    return getattr(config, "text_config", config)
