"""The packed forward: many questions behind one clip in one sequence, equal to the stock model's one by one.

Each question sees the clip and itself, not the other questions, and starts at the position at which it would start
alone. So a clip is encoded and read once for all its questions.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F
from transformers import Qwen2_5OmniThinkerForConditionalGeneration
from transformers.models.qwen2_5_omni import modeling_qwen2_5_omni as modeling

from seats.models import compat
from seats.nano.examples import Batch
from seats.tokens.patches import PatchSpec, patchify

MIDDLE_LAYER, ENTITY_LAYER, ASKED_LAYER, EARLY_LAYER, CHOICE_LAYER = 4, 6, 7, 8, 9
"""After which decoder layers (1-based) auxiliary losses are taken, see `seats.nano.losses`."""


def word_embeddings(thinker: Qwen2_5OmniThinkerForConditionalGeneration) -> torch.Tensor:
    """The embeddings of all words, `[V, D]`."""
    weight = thinker.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight


def encode_video(thinker: Qwen2_5OmniThinkerForConditionalGeneration, frames: torch.Tensor) -> torch.Tensor:
    """Video tokens of uint8 `[B, 2 T, S, S, 3]` frames: `[B, T · 36, D]`."""
    patches, grid = patchify(frames.flatten(0, 1).permute(0, 3, 1, 2).contiguous(), PatchSpec())
    tokens = compat.vision_encoder(thinker)(patches, grid_thw=torch.tensor([grid])).pooler_output
    return tokens.view(len(frames), -1, tokens.shape[-1])


def encode_audio(thinker: Qwen2_5OmniThinkerForConditionalGeneration, mel: torch.Tensor) -> torch.Tensor:
    """Audio tokens of `[B, 128, M]` mel features: `[B, A, D]`."""
    batch, bins, frames = mel.shape
    joined = mel.permute(1, 0, 2).reshape(bins, -1)
    tokens = compat.audio_encoder(thinker)(joined, feature_lens=torch.full((batch,), frames)).last_hidden_state
    return tokens.view(batch, -1, tokens.shape[-1])


@dataclass(eq=False)
class Packed:
    """Results of the packed forward.

    prefix_states `[B, n, D]`: states of the clip after `MIDDLE_LAYER`.
    question_states, asked_states, early_states `[B, Q, D]`: states of the questions after `ENTITY_LAYER`, `ASKED_LAYER`
    and `EARLY_LAYER`.
    choice_scores `[B, Q, L]`: attention scores of each question's token, in one head of `CHOICE_LAYER`, to the tokens
    of its own question up to itself; the others are −inf.
    final: `[B, Q, D]` last states, normalised.
    """

    prefix_states: torch.Tensor
    question_states: torch.Tensor
    asked_states: torch.Tensor
    early_states: torch.Tensor
    choice_scores: torch.Tensor
    final: torch.Tensor


class PackedForward:
    """Runs batches through the thinker's text model."""

    def __init__(self, thinker: Qwen2_5OmniThinkerForConditionalGeneration) -> None:
        self.thinker = thinker

    def __call__(
        self,
        batch: Batch,
        video: torch.Tensor | None,
        audio: torch.Tensor | None,
        kept: torch.Tensor | None = None,
    ) -> Packed:
        """Read a batch.

        Args:
            video, audio: encoder outputs `[B, ·, D]`, or None without that modality.
            kept: `[B, n]` rising positions of the prefix to read; all of them when None.
        """
        shape = batch.shape
        count = len(batch.ids)
        positions, prefix_length = shape.positions, len(shape.prefix)
        embed = self.thinker.get_input_embeddings()
        prefix = embed(torch.tensor(shape.prefix)).expand(count, -1, -1).clone()
        if video is not None:
            prefix[:, shape.video_places] = video.to(prefix.dtype)
        if audio is not None:
            prefix[:, shape.audio_places] = audio.to(prefix.dtype)
        if kept is None:
            kept = torch.arange(prefix_length).expand(count, -1)
        prefix = prefix.gather(1, kept[..., None].expand(-1, -1, prefix.shape[-1]))
        question_positions = positions[:, prefix_length] + batch.offset[..., None]
        where = torch.cat([positions[:, kept], question_positions.permute(2, 0, 1)], dim=2)
        hidden = torch.cat([prefix, embed(batch.ids)], dim=1)
        n = kept.shape[1]
        slots = _Slots.of(batch.block, batch.offset, n)

        model = compat.text_model(self.thinker)
        rotary = model.rotary_emb(hidden, where)
        after = [hidden]
        for layer in model.layers:
            after.append(_run_layer(layer, after[-1], rotary, slots))
        return Packed(
            prefix_states=after[MIDDLE_LAYER][:, :n],
            question_states=after[ENTITY_LAYER][:, n:],
            asked_states=after[ASKED_LAYER][:, n:],
            early_states=after[EARLY_LAYER][:, n:],
            choice_scores=_choice_scores(model.layers[CHOICE_LAYER - 1], after[CHOICE_LAYER - 1], rotary, slots),
            final=model.norm(after[-1][:, n:]),
        )


@dataclass(eq=False)
class _Slots:
    """Where the tokens of the questions are, as `[B, K, L]` rows of at most L tokens for each of K questions.

    prefix: `n`, how many tokens of the clip come first. rows `[B, K · L]`: places among the questions' tokens; free
    slots point at some token and their results go unused. back `[B, Q]`: the slot of each token. mask `[L, n + L]`:
    a question sees the clip and its own tokens so far.
    """

    prefix: int
    rows: torch.Tensor
    back: torch.Tensor
    count: int
    mask: torch.Tensor

    @classmethod
    def of(cls, block: torch.Tensor, offset: torch.Tensor, prefix: int) -> "_Slots":
        count, longest = int(block.max()) + 1, int(offset.max()) + 1
        back = torch.where(block >= 0, block * longest + offset, 0)
        rows = torch.zeros(len(block), count * longest, dtype=torch.long)
        places = torch.arange(block.shape[1]).expand_as(block)
        clips = torch.arange(len(block))[:, None].expand_as(block)
        known = block >= 0
        rows[clips[known], back[known]] = places[known]
        causal = torch.ones(longest, longest, dtype=torch.bool).tril()
        return cls(prefix, rows, back, count, torch.cat([causal.new_ones(longest, prefix), causal], dim=1))

    def by_question(self, states: torch.Tensor) -> torch.Tensor:
        """The questions' part of `[B, heads, n + Q, d]`: `[B · K, heads, L, d]`."""
        rows = self.rows[:, None, :, None].expand(-1, states.shape[1], -1, states.shape[3])
        asked = states[:, :, self.prefix :].gather(2, rows)
        return asked.unflatten(2, (self.count, -1)).transpose(1, 2).flatten(0, 1)

    def by_token(self, states: torch.Tensor) -> torch.Tensor:
        """The reverse, from `[B · K, heads, L, d]` to `[B, heads, Q, d]`."""
        states = states.unflatten(0, (-1, self.count)).transpose(1, 2).flatten(2, 3)
        back = self.back[:, None, :, None].expand(-1, states.shape[1], -1, states.shape[3])
        return states.gather(2, back)


def _run_layer(
    layer: modeling.Qwen2_5OmniDecoderLayer,
    hidden: torch.Tensor,
    rotary: tuple[torch.Tensor, torch.Tensor],
    slots: _Slots,
) -> torch.Tensor:
    """The stock decoder layer, its attention computed for the clip and for each question by itself: `[B, n + Q, D]`."""
    attention = layer.self_attn
    states = layer.input_layernorm(hidden)
    query, key = _query_and_key(attention, states, rotary)
    value = _heads(attention, attention.v_proj(states))
    hidden = hidden + attention.o_proj(_packed_attention(query, key, value, slots))
    return hidden + layer.mlp(layer.post_attention_layernorm(hidden))


def _heads(attention: modeling.Qwen2_5OmniAttention, states: torch.Tensor) -> torch.Tensor:
    """`[B, N, heads · d]` to `[B, heads, N, d]`."""
    return states.unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)


def _query_and_key(
    attention: modeling.Qwen2_5OmniAttention, states: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    query, key = (_heads(attention, project(states)) for project in (attention.q_proj, attention.k_proj))
    return modeling.apply_rotary_pos_emb(query, key, *rotary)


def _choice_scores(
    layer: modeling.Qwen2_5OmniDecoderLayer,
    hidden: torch.Tensor,
    rotary: tuple[torch.Tensor, torch.Tensor],
    slots: _Slots,
) -> torch.Tensor:
    """Attention scores of the first head within each question, `[B, Q, L]`."""
    query, key = _query_and_key(layer.self_attn, layer.input_layernorm(hidden), rotary)
    query, key = slots.by_question(query[:, :1]), slots.by_question(key[:, :1])
    scores = query @ key.transpose(2, 3) * layer.self_attn.scaling
    return slots.by_token(scores.masked_fill(~slots.mask[:, slots.prefix :], float("-inf")))[:, 0]


def _packed_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, slots: _Slots) -> torch.Tensor:
    """Attention of `[B, heads, n + Q, d]` queries to `[B, KV heads, n + Q, d]`: `[B, n + Q, heads · d]`.

    One dense mask over everything would cost several times as much: questions do not see each other.
    """
    n = slots.prefix
    clip = F.scaled_dot_product_attention(
        query[:, :, :n], key[:, :, :n], value[:, :, :n], is_causal=True, enable_gqa=True
    )

    def with_clip(states: torch.Tensor) -> torch.Tensor:
        repeated = states[:, None, :, :n].expand(-1, slots.count, -1, -1, -1).flatten(0, 1)
        return torch.cat([repeated, slots.by_question(states)], dim=2)

    asked = F.scaled_dot_product_attention(
        slots.by_question(query), with_clip(key), with_clip(value), attn_mask=slots.mask, enable_gqa=True
    )
    return torch.cat([clip, slots.by_token(asked)], dim=2).transpose(1, 2).flatten(2)
