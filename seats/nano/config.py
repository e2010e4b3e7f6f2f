"""The architecture of seats-nano: the stock Qwen2.5-Omni thinker, small."""

from typing import Any

from transformers import Qwen2_5OmniThinkerForConditionalGeneration
from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import Qwen2_5OmniThinkerConfig

from seats.nano.vocabulary import PAD, TOKEN_IDS, WORDS

HIDDEN = 160
LAYERS = 10
N_WINDOW = 100
"""Half an audio window in mel frames, as the 7B has it: one window is 2 s, 50 audio tokens."""


def thinker_config() -> Qwen2_5OmniThinkerConfig:
    """3.97 M parameters, 10 decoder layers."""
    initializer_range = 0.04
    # Not declared fields, yet the position code of the thinker reads the first.
    undeclared: dict[str, Any] = {
        "vision_start_token_id": TOKEN_IDS["<|vision_bos|>"],
        "vision_end_token_id": TOKEN_IDS["<|vision_eos|>"],
    }
    return Qwen2_5OmniThinkerConfig(
        text_config={
            "vocab_size": len(WORDS),
            "hidden_size": HIDDEN,
            "intermediate_size": 448,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            # The entries are cycled over time, height and width. With only three of them a small head would have
            # almost no frequencies left for height and width.
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e5,
                "mrope_section": [2, 1, 1] * 5,
            },
            "initializer_range": initializer_range,
            "tie_word_embeddings": True,
            "pad_token_id": TOKEN_IDS[PAD],
            "bos_token_id": TOKEN_IDS["<|im_start|>"],
            "eos_token_id": TOKEN_IDS["<|im_end|>"],
        },
        vision_config={
            "depth": 4,
            "hidden_size": 96,
            "intermediate_size": 256,
            "num_heads": 4,
            "out_hidden_size": HIDDEN,
            "window_size": 56,
            "fullatt_block_indexes": [1, 3],
            "initializer_range": initializer_range,
        },
        audio_config={
            "num_mel_bins": 128,
            "encoder_layers": 2,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 256,
            "d_model": 96,
            "output_dim": HIDDEN,
            "n_window": N_WINDOW,
            "max_source_positions": 1500,
            "initializer_range": initializer_range,
        },
        audio_token_index=TOKEN_IDS["<|AUDIO|>"],
        image_token_index=TOKEN_IDS["<|IMAGE|>"],
        video_token_index=TOKEN_IDS["<|VIDEO|>"],
        audio_start_token_id=TOKEN_IDS["<|audio_bos|>"],
        audio_end_token_id=TOKEN_IDS["<|audio_eos|>"],
        user_token_id=TOKEN_IDS["user"],
        tie_word_embeddings=True,
        initializer_range=initializer_range,
        **undeclared,
    )


def build_thinker() -> Qwen2_5OmniThinkerForConditionalGeneration:
    """The model with fresh random weights, float32."""
    return Qwen2_5OmniThinkerForConditionalGeneration(thinker_config())
