"""The two model families, Qwen2.5-Omni and Qwen3-Omni: everything about them that the rest asks for by name.

Importing it does not import torch, so that a plan can be made from their facts in a moment.
"""

from __future__ import annotations

import reprlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from seats.costs.encoders import cut, halved
from seats.devices import moved
from seats.errors import ModelError
from seats.models.signals import EncoderWants, Signals
from seats.tokens.interleave import TimeRule

if TYPE_CHECKING:
    import torch
    from torch import nn

    from seats.models.checkpoint import Checkpoint
    from seats.tokens.sequence import SequenceRule


@dataclass(frozen=True, eq=False)
class GridTables:
    """What depends on a clip's grid alone.

    order `[T * H * W]`: for each merged video token in sequence order, its row in the vision encoder's inner order.
    encoder: arguments of the vision encoder that it would make itself.
    """

    order: torch.Tensor
    encoder: dict[str, Any]


class Family(ABC):
    """What differs between model families. One instance each, without state."""

    name: ClassVar[str]
    config_types: ClassVar[tuple[str, ...]]
    thinker_class: ClassVar[str]
    repeats_mark_position: ClassVar[bool]
    """Whether <|audio_bos|> gets the position of the <|vision_bos|> before it (and likewise at the end)."""
    pads_audio: ClassVar[bool]
    """Whether the processor adds silence to the sound before the spectrogram (see `MelSpec`)."""
    saliency_audio_frames: ClassVar[int]
    """Window of the audio saliency, in encoder frames."""
    audio_frames_per_token: ClassVar[int]
    """Encoder frames that are averaged to one audio token."""

    @abstractmethod
    def time_rule(self, config: Any) -> TimeRule:
        """How video and audio are laid side by side, from the thinker's config."""

    def sequence_rule(self, config: Any) -> SequenceRule:
        """What a thinker's config fixes about the sequence."""
        from seats.tokens.sequence import SequenceRule

        return SequenceRule(
            time=self.time_rule(config),
            max_position=config.text_config.max_position_embeddings,
            video=config.video_token_id,
            audio=config.audio_token_id,
            audio_start=config.audio_start_token_id,
            audio_end=config.audio_end_token_id,
            repeats_mark_position=self.repeats_mark_position,
        )

    @abstractmethod
    def audio_tokens(self, mel_frames: int, config: Any) -> int:
        """Number of audio tokens for `mel_frames` frames (100 a second); 0 if the sound is too short for one."""

    def vision_signals(
        self,
        encoder: Any,
        captured: dict[str, torch.Tensor],
        grid: tuple[int, int, int],
        wants: EncoderWants,
        order: torch.Tensor,
    ) -> Signals:
        """What is wanted of the `T * H * W` merged video tokens, in sequence order.

        captured: outputs of the last block's projections and its rotary `cos` and `sin`. grid: (T, Hp, Wp) in
        patches. order: as in `GridTables`.
        """
        from seats.selection.saliency import column_mass, mean_query_attention, merge_groups, merge_keys

        group = encoder.config.spatial_merge_size**2
        q, k = (_heads(x, encoder.config.num_heads) for x in self._vision_queries_and_keys(captured))
        q, k = (rotate(x, captured["cos"], captured["sin"]) for x in (q, k))
        saliency = None
        if wants.video_grids is not None:
            window = wants.video_grids * grid[1] * grid[2]
            if wants.mean_query:
                saliency = mean_query_attention(q, k, window, group)[order]
            else:
                saliency = merge_groups(column_mass(q, k, window), group)[order]
        return Signals(saliency, merge_keys(k, group)[order] if wants.keys else None)

    def audio_signals(self, encoder: Any, captured: dict[str, torch.Tensor], wants: EncoderWants) -> Signals:
        """What is wanted of the `A` audio tokens."""
        from seats.selection.saliency import column_mass, merge_groups, merge_keys

        q, k = (_heads(captured[name], encoder.config.encoder_attention_heads) for name in ("q", "k"))
        saliency = None
        if wants.audio is not None:
            window = self.saliency_audio_frames if wants.audio == "blocks" else q.shape[0]
            saliency = merge_groups(column_mass(q, k, window), self.audio_frames_per_token)
        return Signals(saliency, merge_keys(k, self.audio_frames_per_token) if wants.keys else None)

    @staticmethod
    @abstractmethod
    def _vision_queries_and_keys(captured: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries and keys `[T * Hp * Wp, width]` of the last vision block, before rotary positions."""

    def grid_tables(self, encoder: Any, grid: tuple[int, int, int], device: torch.device) -> GridTables:
        """Tables of a grid (T, Hp, Wp) in patches, made on the host and moved to `device`."""
        import torch
        from transformers.vision_utils import get_vision_attention_seqlens, get_vision_position_ids

        thw = torch.tensor([grid])
        cu_seqlens, longest = get_vision_attention_seqlens(thw, encoder.config)
        made: dict[str, Any] = {
            "position_ids": get_vision_position_ids(thw, encoder.spatial_merge_size),
            "cu_seqlens": cu_seqlens,
            "max_seqlen": longest,
            **self._more_tables(encoder, thw),
        }
        if "window_index" in made:  # the encoder sorts the merged tokens by attention window
            order = torch.argsort(made["window_index"])
        else:
            order = torch.arange(grid[0] * grid[1] * grid[2] // encoder.config.spatial_merge_size**2)
        return GridTables(moved(order, device), _all_moved(made, device))

    def sound_tables(self, encoder: Any, frames: int, device: torch.device) -> dict[str, Any]:
        """Arguments of the audio encoder for `frames` log-mel frames that it would make itself, made on the host and
        moved to `device`. The frames in chunks, "padded_feature", are left to the caller."""
        import torch
        from transformers.utils.generic import get_max_seqlen

        chunks = torch.tensor(cut(frames, 2 * encoder.n_window))
        made = {"chunk_lengths": chunks, **self._more_sound_tables(encoder, chunks, torch.tensor([frames]))}
        return _all_moved({**made, "max_seqlen": get_max_seqlen(made["cu_seqlens"], encoder.config)}, device)

    @staticmethod
    @abstractmethod
    def _more_tables(encoder: Any, thw: torch.Tensor) -> dict[str, Any]:
        """Tables that only this family's vision encoder takes. thw: int64 `[1, 3]`."""

    @staticmethod
    @abstractmethod
    def _more_sound_tables(encoder: Any, chunks: torch.Tensor, frames: torch.Tensor) -> dict[str, Any]:
        """This family's, "cu_seqlens" among them. chunks: int64 `[C]`, frames of each; frames: int64 `[1]`, of all."""

    @staticmethod
    def vision_projections(encoder: Any) -> dict[str, nn.Module]:
        """The last vision block's projections whose outputs `vision_signals` needs, by name."""
        attention = encoder.blocks[-1].attn
        return {name: getattr(attention, name) for name in ("q", "k", "qkv") if hasattr(attention, name)}

    @staticmethod
    def audio_projections(encoder: Any) -> dict[str, nn.Module]:
        """The last audio layer's projections whose outputs `audio_signals` needs, by name."""
        attention = encoder.layers[-1].self_attn
        return {"q": attention.q_proj, "k": attention.k_proj}


class Qwen25Omni(Family):
    """Qwen2.5-Omni (7B, 3B): 2-second chunks, 25 audio tokens a second, windowed vision attention."""

    name = "qwen2.5-omni"
    config_types = ("qwen2_5_omni", "qwen2_5_omni_thinker")
    thinker_class = "Qwen2_5OmniThinkerForConditionalGeneration"
    repeats_mark_position = True
    pads_audio = True
    saliency_audio_frames = 100
    audio_frames_per_token = 2

    def time_rule(self, config: Any) -> TimeRule:
        return TimeRule("chunk", config.position_id_per_seconds, config.seconds_per_chunk, fractional=False)

    def audio_tokens(self, mel_frames: int, config: Any) -> int:
        return halved(mel_frames) // 2

    @staticmethod
    def _vision_queries_and_keys(captured: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return captured["q"], captured["k"]

    @staticmethod
    def _more_tables(encoder: Any, thw: torch.Tensor) -> dict[str, Any]:
        from transformers.utils.generic import get_max_seqlen
        from transformers.vision_utils import get_vision_window_index

        index, cu_seqlens = get_vision_window_index(
            thw,
            spatial_merge_size=encoder.spatial_merge_size,
            window_size=encoder.window_size,
            patch_size=encoder.patch_size,
        )
        longest = get_max_seqlen(cu_seqlens, encoder.config)
        return {"window_index": index, "cu_window_seqlens": cu_seqlens, "max_window_seqlen": longest}

    @staticmethod
    def _more_sound_tables(encoder: Any, chunks: torch.Tensor, frames: torch.Tensor) -> dict[str, Any]:
        from transformers.models.qwen2_5_omni import modeling_qwen2_5_omni as stock

        return {
            "valid_indices": stock.get_valid_indices(chunks),
            "pool_indices": stock.get_pool_indices(frames),
            "cu_seqlens": stock.get_audio_cu_seqlens(chunks),
        }


class Qwen3Omni(Family):
    """Qwen3-Omni (30B-A3B): merge by timestamp, 13 audio tokens a second, DeepStack, mixture of experts."""

    name = "qwen3-omni"
    config_types = ("qwen3_omni_moe", "qwen3_omni_moe_thinker")
    thinker_class = "Qwen3OmniMoeThinkerForConditionalGeneration"
    repeats_mark_position = False
    pads_audio = False
    saliency_audio_frames = 52
    audio_frames_per_token = 1

    def time_rule(self, config: Any) -> TimeRule:
        return TimeRule("timestamp", config.position_id_per_seconds, 2.0, fractional=True)

    def audio_tokens(self, mel_frames: int, config: Any) -> int:
        chunk = 2 * config.audio_config.n_window
        return halved(mel_frames % chunk, 3) + mel_frames // chunk * 13

    @staticmethod
    def _vision_queries_and_keys(captured: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        q, k, _ = captured["qkv"].chunk(3, dim=-1)
        return q, k

    @staticmethod
    def _more_tables(encoder: Any, thw: torch.Tensor) -> dict[str, Any]:
        from transformers.vision_utils import get_vision_interpolation_indices_and_weights

        indices, weights = get_vision_interpolation_indices_and_weights(
            thw,
            num_grid_per_side=encoder.num_grid_per_side,
            mode=encoder.interpolation_mode,
            align_corners=encoder.interpolation_align_corners,
            spatial_merge_size=encoder.config.spatial_merge_size,
        )
        return {"interp_indices": indices, "interp_weights": weights}

    @staticmethod
    def _more_sound_tables(encoder: Any, chunks: torch.Tensor, frames: torch.Tensor) -> dict[str, Any]:
        from transformers.models.qwen3_omni_moe import modeling_qwen3_omni_moe as stock

        return {
            "valid_indices": stock.get_valid_indices(chunks, encoder.n_window),
            "cu_seqlens": stock.get_audio_cu_seqlens(chunks, frames, encoder.n_window_infer, encoder.n_window),
        }


FAMILIES: tuple[Family, ...] = (Qwen25Omni(), Qwen3Omni())


def family_of(config: Any) -> Family | None:
    """The family of a full or thinker config, by its `model_type`; None if it is neither."""
    return _of_type(getattr(config, "model_type", None))


def checkpoint_family(checkpoint: Checkpoint) -> Family:
    """The family of a model folder, by its config.json alone.

    Raises ModelError for another kind of model, and if the config lacks a part.
    """
    model_type = checkpoint.config.get("model_type")
    found = _of_type(model_type)
    if found is None:
        kind = reprlib.repr(model_type).strip("'") if model_type else "nameless"
        raise ModelError(
            f"{checkpoint.name} is a {kind} model by its config.json: seats runs Qwen2.5-Omni and Qwen3-Omni"
        )
    for part in ("text_config", "vision_config", "audio_config"):
        # Without one, the stock defaults would be those of a model of many gigabytes.
        if not isinstance(checkpoint.thinker_config.get(part), dict):
            raise ModelError(f"{checkpoint.name}: config.json has no {part}: download the checkpoint again")
    return found


def _of_type(model_type: Any) -> Family | None:
    return next((family for family in FAMILIES if model_type in family.config_types), None)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of `x` `[n, H, d]` in float32, returned in x's dtype. cos, sin: `[n, d]`."""
    import torch

    from seats.selection import triton_kernels

    if triton_kernels.usable(x):
        from seats.models.fused_triton import rotate as rotate_in_a_kernel

        return rotate_in_a_kernel(x, cos, sin)
    wide = x.float()
    first, second = wide.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return (wide * cos[:, None].float() + turned * sin[:, None].float()).to(x.dtype)


def _all_moved(tables: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The tensors among `tables` on `device`, numbers as they are."""
    return {name: moved(x, device) if hasattr(x, "to") else x for name, x in tables.items()}


def _heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x.reshape(x.shape[0], heads, -1)
