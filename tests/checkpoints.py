"""Complete checkpoint folders in the hub's layout, with tiny random weights and a tokenizer of a hundred words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tests.tiny import IDS, VOCAB, tiny_config, tiny_thinker

_NAMES = {
    "qwen2.5-omni": {
        "audio": "<|AUDIO|>",
        "image": "<|IMAGE|>",
        "video": "<|VIDEO|>",
        "audio_start": "<|audio_bos|>",
        "audio_end": "<|audio_eos|>",
        "vision_start": "<|vision_bos|>",
        "vision_end": "<|vision_eos|>",
    },
    "qwen3-omni": {
        "audio": "<|audio_pad|>",
        "image": "<|image_pad|>",
        "video": "<|video_pad|>",
        "audio_start": "<|audio_start|>",
        "audio_end": "<|audio_end|>",
        "vision_start": "<|vision_start|>",
        "vision_end": "<|vision_end|>",
    },
}
_ATTRIBUTES = {  # what the stock processor reads off its tokenizer
    "image": "image_token",
    "audio": "audio_token",
    "video": "video_token",
    "vision_start": "vision_bos_token",
    "vision_end": "vision_eos_token",
    "audio_start": "audio_bos_token",
    "audio_end": "audio_eos_token",
}
_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message['role'] }}
{% if message['content'] is string -%}
{{ message['content'] }}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'video' -%}@VISION_START@@VIDEO@@VISION_END@
{%- elif part['type'] == 'audio' -%}@AUDIO_START@@AUDIO@@AUDIO_END@
{%- elif part['type'] == 'image' -%}@VISION_START@@IMAGE@@VISION_END@
{%- else -%}{{ part['text'] }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""
_WORDS = "what is in the clip who says how many red blue circle square user assistant system you are a test ? . ,"


def save_tiny_checkpoint(
    folder: Path, family: str, *, seed: int = 0, stops: bool = False, chat_template: bool = True
) -> Path:
    """Write a whole checkpoint: config, weights, tokenizer, chat template and processor settings. Returns `folder`.

    stops: whether the end-of-turn token may come and end an answer, as random weights would have it at random.
    """
    folder.mkdir(parents=True, exist_ok=True)
    thinker = tiny_thinker(family, seed)
    thinker.generation_config.eos_token_id = IDS["eos"] if stops else None
    if not stops:
        with torch.no_grad():
            thinker.lm_head.weight[IDS["eos"]] = 0  # a logit of 0 is never the largest of a hundred random ones
    thinker.generation_config.pad_token_id = 0
    thinker.save_pretrained(folder)
    _save_processors(folder, family, thinker.config.vision_config.patch_size)
    if not chat_template:
        (folder / "chat_template.jinja").unlink()
    return folder


def save_full_checkpoint(folder: Path, family: str, *, max_shard_size: str = "300KB") -> Any:
    """Write a whole Omni model as the hub has it, talker and vocoder in it, in many shards. Returns its thinker."""
    import transformers

    talker = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
    }
    rope = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 2, 4]}}
    if family == "qwen2.5-omni":
        speaker = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "head_dim": 16, "ff_mult": 1}
        encoder = {
            "enc_dim": 8,
            "enc_emb_dim": 8,
            "enc_channels": [8, 8, 8],
            "enc_kernel_sizes": [5, 3, 1],
            "enc_dilations": [1, 2, 1],
            "enc_attention_channels": 4,
            "enc_res2net_scale": 2,
            "enc_se_channels": 4,
        }
        vocoder = {
            "upsample_initial_channel": 8,
            "resblock_kernel_sizes": [3],
            "resblock_dilation_sizes": [[1, 1, 1]],
            "upsample_rates": [2],
            "upsample_kernel_sizes": [4],
        }
        config, model_class = "Qwen2_5OmniConfig", "Qwen2_5OmniForConditionalGeneration"
        parts = {
            "talker_config": {**talker, **rope, "embedding_size": 48},
            "token2wav_config": {
                "dit_config": {**speaker, **encoder, "emb_dim": 8, "num_embeds": 8, "mel_dim": 8},
                "bigvgan_config": {**vocoder, "mel_dim": 8},
            },
        }
    else:
        experts = {
            "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 16,
            "num_experts": 2,
            "num_experts_per_tok": 1,
        }
        config, model_class = "Qwen3OmniMoeConfig", "Qwen3OmniMoeForConditionalGeneration"
        parts = {
            "talker_config": {
                "thinker_hidden_size": 48,
                "num_code_groups": 2,
                "spatial_merge_size": 2,
                "text_config": {**talker, **rope, **experts},
                "code_predictor_config": {**talker, "num_code_groups": 2},
            },
            "code2wav_config": {
                "codebook_size": 16,
                "hidden_size": 16,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_quantizers": 2,
                "upsample_rates": [2],
                "upsampling_ratios": [2],
                "decoder_dim": 16,
            },
        }
    logging = transformers.utils.logging
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # the talker's default token ids lie outside its tiny vocabulary
    try:
        whole = getattr(transformers, config)(
            thinker_config=tiny_config(family).to_dict(), enable_audio_output=True, **parts
        )
        model = getattr(transformers, model_class)(whole)
        model.save_pretrained(folder, max_shard_size=max_shard_size)
    finally:
        logging.set_verbosity(verbosity)
    _save_processors(folder, family, tiny_config(family).vision_config.patch_size)
    return model.thinker


def _save_processors(folder: Path, family: str, patch: int) -> None:
    _tokenizer(family).save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(_template(family), encoding="utf-8")
    _write(folder / "preprocessor_config.json", _feature_extractor(patch))
    _write(folder / "video_preprocessor_config.json", _video_processor(patch))


def _tokenizer(family: str) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = {IDS[key]: name for key, name in _NAMES[family].items()}
    special |= {0: "<|pad|>", 1: "<|im_start|>", 2: "<|unk|>", IDS["eos"]: "<|im_end|>"}
    words = iter(_WORDS.split())
    by_id = {i: special.get(i) or next(words, f"word{i}") for i in range(VOCAB)}
    by_id[IDS["user"]] = "user"
    vocabulary = {}
    for i, word in by_id.items():
        vocabulary.setdefault(word if word not in vocabulary else f"word{i}", i)
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unk|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        unk_token="<|unk|>",
        extra_special_tokens={_ATTRIBUTES[key]: name for key, name in _NAMES[family].items()},
    )


def _template(family: str) -> str:
    text = _TEMPLATE
    for key, name in _NAMES[family].items():
        text = text.replace(f"@{key.upper()}@", name)
    return text


def _feature_extractor(patch: int) -> dict[str, Any]:
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": 128,
        "sampling_rate": 16000,
        "hop_length": 160,
        "n_fft": 400,
        "chunk_length": 300,
        "n_samples": 300 * 16000,
        "nb_max_frames": 300 * 100,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": True,
        "image_processor_type": "Qwen2VLImageProcessor",
        "patch_size": patch,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }


def _video_processor(patch: int) -> dict[str, Any]:
    side = 2 * patch
    return {
        "video_processor_type": "Qwen2VLVideoProcessor",
        # Small frames keep the tests fast: between 4 and 12 tokens each.
        "size": {"shortest_edge": 4 * side * side, "longest_edge": 12 * side * side},
        "patch_size": patch,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "fps": 2.0,
        "min_frames": 4,
        "max_frames": 64,
    }


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
