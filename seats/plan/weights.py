"""Parameters of a thinker, counted from its config: what its weights take in memory, before any are read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from seats.costs.encoders import halved
from seats.costs.flops import head_dim, is_sparse
from seats.plan.model import PlannedModel

SMALL = 2**29
"""A thinker of fewer parameters runs in float32 on a CPU: there it is faster than bfloat16, and exact."""
# Bytes a parameter of a linear layer of the decoder takes with bitsandbytes: 4 bits and a float32 scale for every 64,
# or 8 bits and a float32 scale for every row of some thousand.
_QUANTIZED = {"4bit": 0.5 + 4 / 64, "8bit": 1.0 + 4 / 2048}
_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}


@dataclass(frozen=True)
class Weights:
    """Numbers of parameters.

    embeddings: of the vocabulary and, if it has weights of its own, the LM head. linear: decoder layers' linear maps
    that can be quantised. experts: of mixtures of experts. rest: norms, biases and routers. vision, audio: encoders.
    buffers: bytes of tables that are no parameters, always float32.
    """

    embeddings: int
    linear: int
    experts: int
    rest: int
    vision: int
    audio: int
    buffers: int

    @property
    def parameters(self) -> int:
        return self.embeddings + self.linear + self.experts + self.rest + self.vision + self.audio

    def bytes(self, dtype_bytes: int, quantize: str | None = None) -> int:
        """Memory they take. quantize: "4bit" or "8bit" of the decoder's linear maps, which is an estimate; experts,
        encoders and embeddings stay as they are."""
        if quantize is None:
            return self.parameters * dtype_bytes + self.buffers
        wide = (self.parameters - self.linear) * dtype_bytes
        return int(wide + self.linear * _QUANTIZED[quantize]) + self.buffers


def count_weights(model: PlannedModel) -> Weights:
    """Parameters of the thinker that `load_model` loads; the talker stays on disk."""
    config = model.config
    text = config.text_config
    heads = 1 if config.tie_word_embeddings else 2
    linear, experts, rest = _decoder(text, model.family.name)
    embeddings = heads * text.vocab_size * text.hidden_size
    gated = model.family.name == "qwen2.5-omni"
    vision = _vision_gated(config.vision_config) if gated else _vision_deep(config.vision_config)
    audio = _audio_plain(config.audio_config) if gated else _audio_deep(config.audio_config)
    return Weights(embeddings, linear, experts, rest, vision, audio, _buffers(config))


def dtype_bytes(model: PlannedModel, device: str, dtype: str) -> int:
    """Bytes of a number in the type that `load_model` chooses. device: "cpu", "cuda" or "mps"; dtype: as there."""
    if dtype != "auto":
        return _BYTES[dtype]
    return 4 if device == "cpu" and count_weights(model).parameters < SMALL else 2


def _decoder(text: Any, family: str) -> tuple[int, int, int]:
    hidden, dim = text.hidden_size, head_dim(text)
    width, keys = text.num_attention_heads * dim, text.num_key_value_heads * dim
    biased = family == "qwen2.5-omni" or text.attention_bias
    linear = experts = 0
    rest = hidden  # the last norm
    for layer in range(text.num_hidden_layers):
        linear += hidden * (2 * width + 2 * keys)
        rest += 2 * hidden
        if biased:
            rest += width + 2 * keys
        if family == "qwen3-omni":
            rest += 2 * dim  # norms of queries and keys
            if biased:
                rest += hidden
        if is_sparse(text, layer):
            experts += text.num_experts * 3 * hidden * text.moe_intermediate_size
            rest += text.num_experts * hidden
        else:
            linear += 3 * hidden * text.intermediate_size
    return linear, experts, rest


def _patch_values(vision: Any) -> int:
    return vision.in_channels * vision.temporal_patch_size * vision.patch_size**2


def _vision_gated(vision: Any) -> int:
    dim, inner, wide = vision.hidden_size, vision.intermediate_size, vision.hidden_size * vision.spatial_merge_size**2
    block = 2 * dim + 4 * _linear(dim, dim) + 2 * _linear(dim, inner) + _linear(inner, dim)
    merger = dim + _linear(wide, wide) + _linear(wide, vision.out_hidden_size)
    return _patch_values(vision) * dim + vision.depth * block + merger


def _vision_deep(vision: Any) -> int:
    dim, inner, wide = vision.hidden_size, vision.intermediate_size, vision.hidden_size * vision.spatial_merge_size**2
    block = 4 * dim + 4 * _linear(dim, dim) + _linear(dim, inner) + _linear(inner, dim)
    ends = _linear(wide, wide) + _linear(wide, vision.out_hidden_size)
    mergers = 2 * dim + ends + len(vision.deepstack_visual_indexes) * (2 * wide + ends)
    embed = _linear(_patch_values(vision), dim) + vision.num_position_embeddings * dim
    return embed + vision.depth * block + mergers


def _audio_layers(audio: Any, biases: int) -> int:
    dim = audio.d_model
    attention = 4 * dim * dim + biases * dim
    return audio.encoder_layers * (
        4 * dim + attention + _linear(dim, audio.encoder_ffn_dim) + _linear(audio.encoder_ffn_dim, dim)
    )


def _audio_plain(audio: Any) -> int:
    dim = audio.d_model
    convolutions = 3 * audio.num_mel_bins * dim + dim + 3 * dim * dim + dim
    marks = 2 * audio.output_dim
    return convolutions + marks + _audio_layers(audio, 3) + 2 * dim + _linear(dim, audio.output_dim)


def _audio_deep(audio: Any) -> int:
    dim, channels = audio.d_model, audio.downsample_hidden_size
    convolutions = 9 * channels + channels + 2 * (9 * channels**2 + channels)
    ends = _linear(dim, dim) + _linear(dim, audio.output_dim)
    return convolutions + channels * halved(audio.num_mel_bins, 3) * dim + _audio_layers(audio, 4) + 2 * dim + ends


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _buffers(config: Any) -> int:
    """Bytes of rotary frequencies, each with its copy, and of the audio encoder's positions."""
    text, vision, audio = config.text_config, config.vision_config, config.audio_config
    rotary = math.ceil(head_dim(text) / 2) + math.ceil(vision.hidden_size // vision.num_heads / 4)
    return 4 * (2 * rotary + audio.max_source_positions * audio.d_model)
