"""The model of a plan: its config and rules, from JSON alone or from the dimensions known for its name."""

from __future__ import annotations

import copy
import reprlib
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from seats.costs.flops import head_dim
from seats.errors import ModelError
from seats.media import FrameSampling
from seats.models.checkpoint import KNOWN, Checkpoint, find_checkpoint
from seats.models.families import Family, checkpoint_family
from seats.models.hub import may_be_on_disk
from seats.models.sampling import frame_sampling

# What transformers' config classes fill in where a config.json says nothing.
_VISION = {"in_channels": 3, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_heads": 16}
_AUDIO = {
    "num_mel_bins": 128,
    "encoder_layers": 32,
    "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "d_model": 1280,
    "max_source_positions": 1500,
    "output_dim": 3584,
}
_DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "qwen2.5-omni": {
        "text_config": {
            "vocab_size": 152064,
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "max_position_embeddings": 32768,
        },
        "vision_config": {
            **_VISION,
            "depth": 32,
            "hidden_size": 3584,
            "intermediate_size": 3420,
            "patch_size": 14,
            "window_size": 112,
            "out_hidden_size": 3584,
            "fullatt_block_indexes": (7, 15, 23, 31),
        },
        "audio_config": {**_AUDIO, "n_window": 100},
    },
    "qwen3-omni": {
        "text_config": {
            "vocab_size": 3584,
            "hidden_size": 2048,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "decoder_sparse_step": 1,
            "moe_intermediate_size": 768,
            "num_experts_per_tok": 8,
            "num_experts": 128,
            "mlp_only_layers": (),
            "attention_bias": False,
            "max_position_embeddings": 32768,
        },
        "vision_config": {
            **_VISION,
            "depth": 27,
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "patch_size": 16,
            "out_hidden_size": 3584,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": (8, 16, 24),
        },
        "audio_config": {
            **_AUDIO,
            "n_window": 50,
            "n_window_infer": 800,
            "conv_chunksize": 500,
            "downsample_hidden_size": 480,
        },
    },
}
_DIVISIBLE = (
    ("text_config", "num_attention_heads", "num_key_value_heads"),
    ("vision_config", "hidden_size", "num_heads"),
    ("audio_config", "d_model", "encoder_attention_heads"),
)
"""A part, a number in it, and the key of another that has to divide it."""
_SECTIONS = (16, 24, 24)
"""Rotary dimensions of time, height and width where a Qwen2.5-Omni does not say them."""
_MOST, _MOST_LAYERS = 2**31 - 1, 10_000
"""What a number, and a number of layers, can be at most: beyond, a plan would overflow or never end."""
_LAYERS = ("num_hidden_layers", "depth", "encoder_layers")
_BESIDE_PARTS = {"tie_word_embeddings": False, "position_id_per_seconds": 25, "seconds_per_chunk": 2}


@dataclass(frozen=True)
class PlannedModel:
    """A model as far as a plan needs it.

    name: as the user gave it. family: its rules. config: the thinker's, attributes as in transformers. settings: stage
    borders of its `seats.json`. sampling: its frame and size rule. hop: samples a mel frame. checkpoint: its folder,
    None if it is not on this disk and its published dimensions are used.
    """

    name: str
    family: Family
    config: Any
    settings: dict[str, Any]
    sampling: FrameSampling
    hop: int = 160
    checkpoint: Checkpoint | None = None

    @property
    def num_layers(self) -> int:
        return self.config.text_config.num_hidden_layers

    @property
    def hidden(self) -> int:
        return self.config.text_config.hidden_size


def planned_model(name: str, *, revision: str | None = None) -> PlannedModel:
    """The model called `name`: `seats-nano`, a folder, a hub id in the cache, or one whose dimensions are known.

    Nothing is downloaded and no weights are needed: a folder with a config.json will do. Raises ModelError.
    """
    try:
        if not may_be_on_disk(name):
            raise ModelError(
                f"{name} is not on this disk, so its dimensions are not known: seats ask --model {name} fetches it. "
                f"Without fetching there are {', '.join(KNOWN)}, and folders with a config.json"
            )
        checkpoint = find_checkpoint(name, offline=True, revision=revision)
        _ = checkpoint.config
    except ModelError as reason:
        from seats.models.presets import find_preset

        try:
            preset = find_preset(name)
        except ModelError:
            raise reason from None
        return _from_preset(name, preset)
    return of_checkpoint(checkpoint)


def of_checkpoint(checkpoint: Checkpoint) -> PlannedModel:
    """The model in a folder. Raises ModelError."""
    family = checkpoint_family(checkpoint)
    return PlannedModel(
        name=checkpoint.name,
        family=family,
        config=thinker_config(checkpoint.name, checkpoint.thinker_config, family),
        settings=checkpoint.stage_settings,
        sampling=frame_sampling(checkpoint),
        hop=checkpoint.feature_extractor.get("hop_length", 160),
        checkpoint=checkpoint,
    )


def thinker_config(name: str, said: dict[str, Any], family: Family) -> Any:
    """The thinker's config of three parts, with attributes instead of keys and defaults where it is silent.

    name: of the model. Raises ModelError for a value that is no number, or no list of them, where there must be one.
    """
    said = {**_BESIDE_PARTS, **copy.deepcopy(said)}
    for part, defaults in _DEFAULTS[family.name].items():
        said[part] = {**defaults, **said[part]}
        _check_numbers(name, defaults, said[part])
        said[part] = SimpleNamespace(**said[part])
    _check_numbers(name, _BESIDE_PARTS, said)
    for part, wide, heads in _DIVISIBLE:
        whole, parts = getattr(said[part], wide), getattr(said[part], heads)
        if whole % parts:
            raise _wrong(name, heads, parts, f"which does not divide {wide}, {whole}")
    _check_sides(name, said, family)
    _check_rotary(name, said["text_config"], family)
    return SimpleNamespace(**said)


def _check_numbers(name: str, defaults: dict[str, Any], said: dict[str, Any]) -> None:
    for key, default in defaults.items():
        value, least = said[key], 0 if key == "num_experts" else 1
        if type(default) is int:
            _check_whole(name, key, value, least)
        if type(default) is tuple and not (_are_whole(value, 0) or (value is None and not default)):
            raise _wrong(name, key, value, "no list of whole numbers from 0 on")


def _check_whole(name: str, key: str, value: Any, least: int) -> None:
    if not _is_whole(value, least):
        raise _wrong(name, key, value, f"no whole number from {least} on")
    if value > (most := _MOST_LAYERS if key in _LAYERS else _MOST):
        raise _wrong(name, key, value, f"more than {most}")


def _check_sides(name: str, said: dict[str, Any], family: Family) -> None:
    """What else has to fit: windows hold a token, a mixture the experts of one token, vision heads a grid's sides."""
    vision, audio, text = said["vision_config"], said["audio_config"], said["text_config"]
    if family.name == "qwen2.5-omni":
        key, value, least = "window_size", vision.window_size, vision.patch_size * vision.spatial_merge_size
    else:
        key, value, least = "n_window_infer", audio.n_window_infer, 2 * audio.n_window
        if 0 < text.num_experts < text.num_experts_per_tok:
            raise _wrong(name, "num_experts_per_tok", text.num_experts_per_tok, f"more than all {text.num_experts}")
    if (width := vision.hidden_size // vision.num_heads) % 4:  # of which quarters turn with height and width
        raise _wrong(name, "num_heads", vision.num_heads, f"which makes heads {width} wide, no multiple of 4")
    if value < least:
        raise _wrong(name, key, value, f"less than {least}, which one window needs")


def _check_rotary(name: str, text: Any, family: Family) -> None:
    """The head dimension, and how many rotary dimensions stand for time, height and width.

    Qwen2.5-Omni's are split by these, so that they must be all, said or not; Qwen3-Omni's interleave, and the rest is
    time's.
    """
    if (dim := getattr(text, "head_dim", None)) is not None:
        _check_whole(name, "head_dim", dim, 2)
    key = "rope_scaling" if getattr(text, "rope_scaling", None) else "rope_parameters"  # the older name wins
    rope = getattr(text, key, None) or {}
    if not isinstance(rope, dict):
        raise _wrong(name, key, rope, "no object")
    sections, half = rope.get("mrope_section"), head_dim(text) // 2
    key = f"mrope_section of {key}"
    if sections is None:
        if family.name == "qwen2.5-omni" and half != sum(_SECTIONS):
            raise _wrong(name, key, sections, f"but a head dimension of {2 * half} needs numbers that add up to {half}")
        return
    if not (_are_whole(sections, 1) and len(sections) >= 3):
        raise _wrong(name, key, sections, "no list of three or more whole numbers")
    if family.name == "qwen2.5-omni" and sum(sections) != half:
        raise _wrong(name, key, sections, f"whose sum is not {half}, half of the head dimension")


def _is_whole(value: Any, least: int) -> bool:
    return type(value) is int and value >= least  # True is an int to isinstance


def _are_whole(values: Any, least: int) -> bool:
    return isinstance(values, (list, tuple)) and all(_is_whole(value, least) for value in values)


def _wrong(name: str, key: str, value: Any, what: str) -> ModelError:
    return ModelError(f"{name}: {key} in config.json is {reprlib.repr(value)}, {what}: correct it")


def _from_preset(name: str, preset: Any) -> PlannedModel:
    config = thinker_config(name, preset.thinker, preset.family)
    vision = config.vision_config
    sampling = FrameSampling.for_factor(vision.patch_size * vision.spatial_merge_size)
    return PlannedModel(name, preset.family, config, preset.settings, sampling)
