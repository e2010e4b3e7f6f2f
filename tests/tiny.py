"""Tiny random models of both families, and prompts as the stock code makes them. Dimensions are odd on purpose."""

from __future__ import annotations

from typing import Any

import torch

VOCAB = 128
IDS = {
    "audio": 100,
    "image": 101,
    "video": 102,
    "audio_start": 103,
    "audio_end": 104,
    "vision_start": 105,
    "vision_end": 106,
    "user": 107,
    "eos": 108,
}
FAMILIES = ("qwen2.5-omni", "qwen3-omni")


def tiny_config(family: str, layers: int = 8) -> Any:
    """A thinker config of a few thousand parameters. layers: of the decoder."""
    text = {
        "vocab_size": VOCAB,
        "hidden_size": 48,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 2, 2]},
        "pad_token_id": 0,
        "eos_token_id": IDS["eos"],
    }
    special = {
        "audio_start_token_id": IDS["audio_start"],
        "audio_end_token_id": IDS["audio_end"],
        "vision_start_token_id": IDS["vision_start"],
        "vision_end_token_id": IDS["vision_end"],
        "user_token_id": IDS["user"],
    }
    audio = {
        "num_mel_bins": 128,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 40,
        "d_model": 32,
        "output_dim": 48,
        "max_source_positions": 1500,
    }
    if family == "qwen2.5-omni":
        from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import Qwen2_5OmniThinkerConfig

        return Qwen2_5OmniThinkerConfig(
            text_config={**text, "intermediate_size": 80, "num_hidden_layers": layers},
            vision_config={
                "depth": 3,
                "hidden_size": 32,
                "intermediate_size": 56,
                "num_heads": 2,
                "out_hidden_size": 48,
                "window_size": 56,
                "fullatt_block_indexes": [1, 2],
            },
            audio_config={**audio, "n_window": 100},
            audio_token_index=IDS["audio"],
            image_token_index=IDS["image"],
            video_token_index=IDS["video"],
            **special,
        )
    from transformers.models.qwen3_omni_moe.configuration_qwen3_omni_moe import Qwen3OmniMoeThinkerConfig

    text["rope_parameters"] = {**text["rope_parameters"], "mrope_section": [4, 2, 2]}  # type: ignore[dict-item]
    return Qwen3OmniMoeThinkerConfig(
        text_config={
            **text,
            "head_dim": 16,
            "intermediate_size": 80,
            "moe_intermediate_size": 24,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "num_hidden_layers": layers,
            "mlp_only_layers": [5],
            "decoder_sparse_step": 1,
        },
        vision_config={
            "depth": 4,
            "hidden_size": 32,
            "intermediate_size": 56,
            "num_heads": 2,
            "out_hidden_size": 48,
            "patch_size": 16,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1, 2],
        },
        audio_config={**audio, "n_window": 50, "n_window_infer": 400, "downsample_hidden_size": 16},
        position_id_per_seconds=13,
        audio_token_id=IDS["audio"],
        image_token_id=IDS["image"],
        video_token_id=IDS["video"],
        **special,
    )


def tiny_thinker(family: str, seed: int = 0, layers: int = 8, config: Any = None) -> Any:
    """A random float32 thinker in eval mode, its weights large enough for attention to differ between tokens.
    config: None for `tiny_config`."""
    import transformers

    name = {
        "qwen2.5-omni": "Qwen2_5OmniThinkerForConditionalGeneration",
        "qwen3-omni": "Qwen3OmniMoeThinkerForConditionalGeneration",
    }[family]
    torch.manual_seed(seed)
    model = getattr(transformers, name)(config or tiny_config(family, layers)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.15)
    model.generation_config.eos_token_id = None
    return model


def tiny_inputs(
    family: str,
    *,
    grid: tuple[int, int, int] | None = (3, 6, 8),
    mel_frames: int = 330,
    seed: int = 0,
    fps: float = 2.0,
) -> dict[str, Any]:
    """Stock inputs for `generate`, with ids laid out by `seats.tokens`. grid: (T, Hp, Wp) in patches, None without
    video; mel_frames: 0 without sound."""
    from seats.models.families import FAMILIES as ADAPTERS
    from seats.tokens.sequence import build_sequence

    config = tiny_config(family)
    adapter = next(f for f in ADAPTERS if f.name == family)
    generator = torch.Generator().manual_seed(seed)
    audio_tokens = adapter.audio_tokens(mel_frames, config)
    middle = [IDS["audio_start"], IDS["audio"], IDS["audio_end"]]
    if grid is not None:
        middle = [IDS["vision_start"], IDS["video"], IDS["vision_end"]]
    prompt = [1, 2, 3, *middle, 10, 11, 12, 13]
    merged = None if grid is None else (grid[0], grid[1] // 2, grid[2] // 2)
    sequence = build_sequence(prompt, adapter.sequence_rule(config), merged, 2 / fps, audio_tokens)
    inputs: dict[str, Any] = {
        "input_ids": sequence.ids[None],
        "attention_mask": torch.ones(1, len(sequence.ids), dtype=torch.long),
    }
    if grid is not None:
        patch = config.vision_config.patch_size
        rows = grid[0] * grid[1] * grid[2]
        inputs["pixel_values_videos"] = torch.randn(rows, 3 * 2 * patch * patch, generator=generator)
        inputs["video_grid_thw"] = torch.tensor([grid])
        inputs["video_second_per_grid"] = torch.tensor([2 / fps])
    if mel_frames:
        inputs["input_features"] = torch.randn(1, 128, mel_frames, generator=generator)
        inputs["feature_attention_mask"] = torch.ones(1, mel_frames, dtype=torch.long)
    if grid is not None and mel_frames:
        inputs["use_audio_in_video"] = True
    return inputs
