"""The packed forward: many questions behind one clip in one sequence, equal to the stock model's one by one.

Each question sees the clip and itself, not the other questions, and starts at the position at which it would start
alone. So a clip is encoded and read once for all its questions.
"""

from dataclasses import dataclass
from types import MethodType

import torch
from torch.nn import functional as F
from transformers import Qwen2_5OmniThinkerForConditionalGeneration
from transformers.models.qwen2_5_omni import modeling_qwen2_5_omni as modeling

from seats.nano.examples import Batch
from seats.nano.render_video import FRAME_SIZE
from seats.nano.sequence import ClipShape, prefix_positions

MIDDLE_LAYER, ENTITY_LAYER, EARLY_LAYER, OPTION_LAYER = 4, 6, 8, 9
"""After which decoder layers (1-based) auxiliary losses are taken, see `seats.nano.losses`."""
PATCH = 14
IMAGE_MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
IMAGE_STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])


def word_embeddings(thinker: Qwen2_5OmniThinkerForConditionalGeneration) -> torch.Tensor:
    """The embeddings of all words, `[V, D]`."""
    weight = thinker.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight


def patchify(frames: torch.Tensor) -> torch.Tensor:
    """Patches as `Qwen2VLVideoProcessor` orders and normalises them.

    Args:
        frames: uint8 `[F, S, S, 3]`, an even number of frames, S a multiple of 28.

    Returns:
        float32 `[F / 2 · (S / 14)², 3 · 2 · 14 · 14]`.
    """
    count, size = frames.shape[0], frames.shape[1]
    groups = size // (2 * PATCH)
    pixels = (frames.float() - 255 * IMAGE_MEAN) / (255 * IMAGE_STD)
    pixels = pixels.view(count // 2, 2, groups, 2, PATCH, groups, 2, PATCH, 3)
    return pixels.permute(0, 2, 5, 3, 6, 8, 1, 4, 7).reshape(-1, 3 * 2 * PATCH * PATCH)


def encode_video(thinker: Qwen2_5OmniThinkerForConditionalGeneration, frames: torch.Tensor) -> torch.Tensor:
    """Video tokens of `[B, 2 T, S, S, 3]` frames: `[B, T · 36, D]`."""
    batch, count = frames.shape[:2]
    side = FRAME_SIZE // PATCH
    grid = torch.tensor([[batch * count // 2, side, side]])
    tokens = thinker.model.visual(patchify(frames.flatten(0, 1)), grid_thw=grid).pooler_output
    return tokens.view(batch, -1, tokens.shape[-1])


def encode_audio(thinker: Qwen2_5OmniThinkerForConditionalGeneration, mel: torch.Tensor) -> torch.Tensor:
    """Audio tokens of `[B, 128, M]` mel features: `[B, A, D]`."""
    batch, bins, frames = mel.shape
    joined = mel.permute(1, 0, 2).reshape(bins, -1)
    tokens = thinker.model.audio_tower(joined, feature_lens=torch.full((batch,), frames)).last_hidden_state
    return tokens.view(batch, -1, tokens.shape[-1])


@dataclass
class Packed:
    """Results of the packed forward.

    prefix_states `[B, n, D]`: states of the clip after `MIDDLE_LAYER`.
    question_states, early_states, option_states `[B, Q, D]`: states of the questions after `ENTITY_LAYER`,
    `EARLY_LAYER` and `OPTION_LAYER`.
    kept `[B, n]`: which positions of the prefix were read.
    final: `[B, Q, D]` last states, normalised.
    """

    prefix_states: torch.Tensor
    question_states: torch.Tensor
    early_states: torch.Tensor
    option_states: torch.Tensor
    kept: torch.Tensor
    final: torch.Tensor


class PackedForward:
    """Runs batches through the thinker's text model; remembers the positions of each clip shape."""

    def __init__(self, thinker: Qwen2_5OmniThinkerForConditionalGeneration) -> None:
        self.thinker = thinker
        self._positions: dict[ClipShape, torch.Tensor] = {}

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
        if shape not in self._positions:
            self._positions[shape] = prefix_positions(self.thinker, shape)
        positions = self._positions[shape]
        prefix_length = len(shape.prefix)
        embed = self.thinker.get_input_embeddings()
        prefix = embed(torch.tensor(shape.prefix)).expand(count, -1, -1).clone()
        if video is not None:
            prefix[:, shape.video_places] = video
        if audio is not None:
            prefix[:, shape.audio_places] = audio
        if kept is None:
            kept = torch.arange(prefix_length).expand(count, -1)
        prefix = prefix.gather(1, kept[..., None].expand(-1, -1, prefix.shape[-1]))
        question_positions = positions[:, prefix_length] + batch.offset[..., None]
        where = torch.cat([positions[:, kept], question_positions.permute(2, 0, 1)], dim=2)
        hidden = torch.cat([prefix, embed(batch.ids)], dim=1)
        mask = _block_mask(kept.shape[1], batch.block)

        model = self.thinker.model.language_model
        rotary = model.rotary_emb(hidden, where)
        after = [hidden]
        for layer in model.layers:
            after.append(layer(after[-1], attention_mask=mask, position_embeddings=rotary))
        n = kept.shape[1]
        return Packed(
            prefix_states=after[MIDDLE_LAYER][:, :n],
            question_states=after[ENTITY_LAYER][:, n:],
            early_states=after[EARLY_LAYER][:, n:],
            option_states=after[OPTION_LAYER][:, n:],
            kept=kept,
            final=model.norm(after[-1][:, n:]),
        )


def _block_mask(prefix: int, block: torch.Tensor) -> torch.Tensor:
    """Additive mask `[B, 1, L, L]`: causal, and a question sees the prefix and itself only."""
    count, length = block.shape
    total = prefix + length
    number = torch.cat([torch.full((count, prefix), -2), block], dim=1)
    seen = (number[:, None] == -2) | (number[:, None] == number[:, :, None])
    seen &= torch.ones(total, total, dtype=torch.bool).tril()
    return torch.zeros(seen.shape).masked_fill_(~seen, float("-inf"))[:, None]


def batch_encoder_windows(thinker: Qwen2_5OmniThinkerForConditionalGeneration) -> None:
    """Make the encoders of this instance run equal attention windows in one call; results stay the same.

    Stock code runs each window of 16 patches as a call of its own, hundreds for each layer.
    """
    for block in thinker.model.visual.blocks:
        block.attn.forward = MethodType(_vision_attention, block.attn)
    for layer in thinker.model.audio_tower.layers:
        layer.self_attn.forward = MethodType(_audio_attention, layer.self_attn)


def _windowed(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, cu_seqlens: torch.Tensor) -> torch.Tensor:
    """Attention within windows. All tensors `[N, heads, d]`; result `[N, heads · d]`."""
    lengths = cu_seqlens.diff()
    result = torch.empty_like(value)
    for length in lengths.unique().tolist():
        if not length:
            continue
        if bool((lengths == length).all()):
            return _equal_windows(query, key, value, length).reshape(len(query), -1)
        starts = cu_seqlens[:-1][lengths == length]
        index = (starts[:, None] + torch.arange(length)).flatten()
        attended = _equal_windows(query[index], key[index], value[index], length)
        result = result.index_copy(0, index, attended)
    return result.flatten(1)


def _equal_windows(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, length: int) -> torch.Tensor:
    """Attention within windows that all have `length` places, as one batch."""
    q, k, v = (item.view(-1, length, *item.shape[1:]).transpose(1, 2) for item in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1)


def _vision_attention(
    self: modeling.Qwen2_5OmniVisionAttention,
    hidden_states: torch.Tensor,
    cu_seqlens: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
    **_: object,
) -> torch.Tensor:
    query, key, value = (
        layer(hidden_states).view(len(hidden_states), self.num_heads, -1) for layer in (self.q, self.k, self.v)
    )
    query, key = modeling.apply_rotary_pos_emb_vision(query, key, *position_embeddings)
    return self.proj(_windowed(query, key, value, cu_seqlens))


def _audio_attention(
    self: modeling.Qwen2_5OmniAudioAttention, hidden_states: torch.Tensor, cu_seqlens: torch.Tensor, **_: object
) -> torch.Tensor:
    query, key, value = (
        layer(hidden_states).view(len(hidden_states), self.num_heads, -1)
        for layer in (self.q_proj, self.k_proj, self.v_proj)
    )
    return self.out_proj(_windowed(query, key, value, cu_seqlens))
