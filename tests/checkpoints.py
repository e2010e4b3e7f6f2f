"""Complete checkpoint folders in the hub's layout, with tiny random weights and a tokenizer of a hundred words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.tiny import IDS, VOCAB, tiny_thinker

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

    stops: whether the end-of-turn token ends an answer; random weights say it at random, so not by default.
    """
    folder.mkdir(parents=True, exist_ok=True)
    thinker = tiny_thinker(family, seed)
    thinker.generation_config.eos_token_id = IDS["eos"] if stops else None
    thinker.generation_config.pad_token_id = 0
    thinker.save_pretrained(folder)
    _tokenizer(family).save_pretrained(folder)
    if chat_template:
        (folder / "chat_template.jinja").write_text(_template(family), encoding="utf-8")
    patch = thinker.config.vision_config.patch_size
    _write(folder / "preprocessor_config.json", _feature_extractor(patch))
    _write(folder / "video_preprocessor_config.json", _video_processor(patch))
    return folder


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
