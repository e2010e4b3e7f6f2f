"""Save a trained model as the hub folder that any Qwen2.5-Omni checkpoint is: `python -m seats.nano.export`."""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2_5OmniThinkerForConditionalGeneration

from seats.models.checkpoint import SINGLE_TURN
from seats.nano.config import build_thinker
from seats.nano.vocabulary import PAD, TOKEN_IDS, UNKNOWN, build_tokenizer
from seats.nano.world import FRAME_SIZE
from seats.tokens.mel import MelSpec
from seats.tokens.patches import CLIP_MEAN, CLIP_STD, PatchSpec

SPECIAL_ATTRIBUTES = {
    "image_token": "<|IMAGE|>",
    "audio_token": "<|AUDIO|>",
    "video_token": "<|VIDEO|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}
"""Attributes of the tokenizer that the stock processor reads."""
CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message['role'] }}
{% if message['content'] is string -%}
{{ message['content'] }}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'video' or 'video' in part -%}
<|vision_bos|><|VIDEO|><|vision_eos|>
{%- elif part['type'] == 'audio' or 'audio' in part -%}
<|audio_bos|><|AUDIO|><|audio_eos|>
{%- elif part['type'] == 'image' or 'image' in part -%}
<|vision_bos|><|IMAGE|><|vision_eos|>
{%- elif 'text' in part -%}
{{ part['text'] }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""


def export(thinker: Qwen2_5OmniThinkerForConditionalGeneration, folder: Path) -> None:
    """Write configuration, bfloat16 weights, tokenizer and processor files."""
    folder.mkdir(parents=True, exist_ok=True)
    config = thinker.config
    config.architectures = ["Qwen2_5OmniThinkerForConditionalGeneration"]
    config.dtype = "bfloat16"
    config.save_pretrained(folder)
    generation = GenerationConfig(
        bos_token_id=TOKEN_IDS["<|im_start|>"],
        eos_token_id=TOKEN_IDS["<|im_end|>"],
        pad_token_id=TOKEN_IDS[PAD],
        max_new_tokens=64,
        do_sample=False,
    )
    generation.save_pretrained(folder)
    _write_weights(thinker, folder / "model.safetensors")
    _write_tokenizer(folder)
    _write_json(folder / "preprocessor_config.json", _feature_extractor())
    _write_json(folder / "video_preprocessor_config.json", _video_processor())
    _write_json(folder / "seats.json", {SINGLE_TURN: True})  # all its training prompts held one question


def hub_name(name: str) -> str:
    """The name that a thinker's weight has on the hub, whichever transformers named it: newer ones put the encoders
    and the LLM into one more module, and read the hub's names; older ones know only those."""
    for inner, outer in (
        ("model.language_model.", "model."),
        ("model.audio_tower.", "audio_tower."),
        ("model.visual.", "visual."),
    ):
        if name.startswith(inner):
            name = outer + name.removeprefix(inner)
    return f"thinker.{name}"


def _write_weights(thinker: Qwen2_5OmniThinkerForConditionalGeneration, path: Path) -> None:
    state = {
        hub_name(name): tensor.detach().to(torch.bfloat16).contiguous()
        for name, tensor in thinker.state_dict().items()
        if name != "lm_head.weight"  # tied to the word embeddings
    }
    save_file(state, path, metadata={"format": "pt"})


def _write_tokenizer(folder: Path) -> None:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=build_tokenizer(),
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token=PAD,
        unk_token=UNKNOWN,
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
        extra_special_tokens=SPECIAL_ATTRIBUTES,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)


def _feature_extractor() -> dict[str, object]:
    mel = MelSpec()
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "processor_class": "Qwen2_5OmniProcessor",
        "feature_size": mel.bins,
        "sampling_rate": mel.sample_rate,
        "hop_length": mel.hop,
        "n_fft": mel.n_fft,
        "chunk_length": 300,
        "n_samples": 300 * mel.sample_rate,
        "nb_max_frames": 300 * mel.sample_rate // mel.hop,
        "padding_side": "right",
        "padding_value": 0.0,
        "dither": 0.0,
        "return_attention_mask": True,
    }


def _video_processor() -> dict[str, object]:
    pixels, patches = FRAME_SIZE * FRAME_SIZE, PatchSpec()
    return {
        "video_processor_type": "Qwen2VLVideoProcessor",
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5OmniProcessor",
        # Both in pixels: a clip of 168 × 168 stays as it is, any other is brought to about so many.
        "size": {"shortest_edge": pixels, "longest_edge": pixels},
        "min_pixels": pixels,
        "max_pixels": pixels,
        "patch_size": patches.patch_size,
        "temporal_patch_size": patches.temporal_patch_size,
        "merge_size": patches.merge_size,
        "min_frames": 4,
        "max_frames": 768,
        "fps": 2.0,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "rescale_factor": 1 / 255,
        "resample": 3,
        "image_mean": list(CLIP_MEAN),
        "image_std": list(CLIP_STD),
    }


def _write_json(path: Path, value: dict[str, object]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m seats.nano.export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="checkpoint.pt of a training run")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="model folder; seats.json in it is made anew, without the borders that seats analyze measures",
    )
    options = parser.parse_args()
    thinker = build_thinker()
    thinker.load_state_dict(torch.load(options.checkpoint, weights_only=True)["thinker"])
    export(thinker, options.out)


if __name__ == "__main__":
    main()
