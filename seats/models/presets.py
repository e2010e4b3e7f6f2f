"""Models by the dimensions that decide their speed. No weights, no tokenizer."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seats.errors import ModelError
from seats.models.families import FAMILIES, Family

if TYPE_CHECKING:
    from seats.methods.base import ModelShape


@dataclass(frozen=True)
class Preset:
    """Dimensions of one model.

    family_name: as in `Family.name`. thinker: the thinker's config as in a checkpoint's config.json. small: whether it
    is meant for a CPU, where it runs in float32. settings: of the model's `seats.json`, empty where there is none.
    """

    name: str
    family_name: str
    thinker: dict[str, Any]
    small: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def family(self) -> Family:
        return next(family for family in FAMILIES if family.name == self.family_name)

    @property
    def shape(self) -> ModelShape:
        from seats.methods.base import ModelShape

        return ModelShape(self.family_name, self.thinker["text_config"]["num_hidden_layers"], self.settings)

    def config(self) -> Any:
        """The thinker's config object."""
        import transformers

        name = self.family.thinker_class.replace("ForConditionalGeneration", "Config")
        return getattr(transformers, name)(**self.thinker)


def find_preset(name: str) -> Preset:
    """The preset called `name`, or by its hub id; or the dimensions in the config.json of a folder.

    Raises ModelError that lists the presets.
    """
    known = _ALIASES.get(name, name)
    if known in PRESETS:
        return PRESETS[known]
    if (Path(os.path.expanduser(name)) / "config.json").is_file() or name == "seats-nano":
        return _of_checkpoint(name)
    raise ModelError(f"no dimensions of {name!r}: choose {', '.join(PRESETS)}, or a folder with a config.json")


def _of_checkpoint(name: str) -> Preset:
    from seats.models.checkpoint import find_checkpoint
    from seats.models.omni import model_shape
    from seats.plan.model import of_checkpoint

    checkpoint = find_checkpoint(name)
    of_checkpoint(checkpoint)  # says what is wrong with the config, in a line
    shape = model_shape(checkpoint)
    return Preset(name, shape.family, checkpoint.thinker_config, small=name == "seats-nano", settings=shape.settings)


def _qwen25(hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int, vocab: int) -> dict[str, Any]:
    return {
        "text_config": {
            "vocab_size": vocab,
            "hidden_size": hidden,
            "intermediate_size": intermediate,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "max_position_embeddings": 32768,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        "vision_config": {
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "patch_size": 14,
            "window_size": 112,
            "fullatt_block_indexes": [7, 15, 23, 31],
            "out_hidden_size": hidden,
        },
        "audio_config": {**_AUDIO, "n_window": 100, "output_dim": hidden},
        "position_id_per_seconds": 25,
    }


_AUDIO = {
    "num_mel_bins": 128,
    "encoder_layers": 32,
    "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "d_model": 1280,
    "max_source_positions": 1500,
}

_QWEN3_30B = {
    "text_config": {
        "vocab_size": 152064,
        "hidden_size": 2048,
        "head_dim": 128,
        "intermediate_size": 768,
        "moe_intermediate_size": 768,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "num_hidden_layers": 48,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "max_position_embeddings": 65536,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [24, 20, 20]},
    },
    "vision_config": {
        "depth": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_heads": 16,
        "patch_size": 16,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": [8, 16, 24],
        "out_hidden_size": 2048,
    },
    "audio_config": {
        **_AUDIO,
        "n_window": 50,
        "n_window_infer": 800,
        "downsample_hidden_size": 480,
        "output_dim": 2048,
    },
    "audio_token_id": 151675,
    "audio_start_token_id": 151669,
    "audio_end_token_id": 151670,
    "position_id_per_seconds": 13,
}

_SMALL_IDS = {
    "audio_start_token_id": 503,
    "audio_end_token_id": 504,
    "vision_start_token_id": 505,
    "vision_end_token_id": 506,
}
_SMALL_TEXT = {
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
}
_SMALL_AUDIO = {
    "num_mel_bins": 128,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "d_model": 64,
    "output_dim": 128,
    "max_source_positions": 1500,
}

_SMALL_QWEN25 = {
    "text_config": {
        **_SMALL_TEXT,
        "num_hidden_layers": 28,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]},
    },
    "vision_config": {
        "depth": 4,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 4,
        "fullatt_block_indexes": [3],
        "out_hidden_size": 128,
    },
    "audio_config": {**_SMALL_AUDIO, "n_window": 100},
    "audio_token_index": 500,
    "image_token_index": 501,
    "video_token_index": 502,
    "position_id_per_seconds": 25,
    **_SMALL_IDS,
}

_SMALL_QWEN3 = {
    "text_config": {
        **_SMALL_TEXT,
        "head_dim": 32,
        "moe_intermediate_size": 64,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "num_hidden_layers": 48,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [6, 5, 5]},
    },
    "vision_config": {
        "depth": 4,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 4,
        "patch_size": 16,
        "num_position_embeddings": 256,
        "deepstack_visual_indexes": [0, 1, 2],
        "out_hidden_size": 128,
    },
    "audio_config": {**_SMALL_AUDIO, "n_window": 50, "n_window_infer": 800, "downsample_hidden_size": 16},
    "audio_token_id": 500,
    "image_token_id": 501,
    "video_token_id": 502,
    "position_id_per_seconds": 13,
    **_SMALL_IDS,
}

PRESETS = {
    preset.name: preset
    for preset in (
        Preset("qwen2.5-omni-7b", "qwen2.5-omni", _qwen25(3584, 18944, 28, 28, 4, 152064)),
        Preset("qwen2.5-omni-3b", "qwen2.5-omni", _qwen25(2048, 11008, 36, 16, 2, 151936)),
        Preset("qwen3-omni-30b-a3b", "qwen3-omni", _QWEN3_30B),
        Preset("small", "qwen2.5-omni", _SMALL_QWEN25, small=True),
        Preset("small-moe", "qwen3-omni", _SMALL_QWEN3, small=True),
    )
}
"""`small` and `small-moe` have the depths of the 7B and the 30B, so that the published settings of SEATS apply."""

_ALIASES = {
    "Qwen/Qwen2.5-Omni-7B": "qwen2.5-omni-7b",
    "Qwen/Qwen2.5-Omni-3B": "qwen2.5-omni-3b",
    "Qwen/Qwen3-Omni-30B-A3B-Instruct": "qwen3-omni-30b-a3b",
    "Qwen/Qwen3-Omni-30B-A3B-Thinking": "qwen3-omni-30b-a3b",
}
