"""Settings of a checkpoint that cannot be, in each of its JSON files: planning and loading say the same of them."""

import json
import shutil

import pytest

from seats.errors import ModelError
from seats.models.checkpoint import Checkpoint
from seats.models.omni import load_model
from seats.plan.model import of_checkpoint

WRONG_SETTINGS = [
    # family, file, keys, value, what is said
    ("qwen2.5-omni", "config", "vision_config.fullatt_block_indexes", 3, "is 3, no list of whole numbers from 0 on"),
    ("qwen2.5-omni", "config", "vision_config.fullatt_block_indexes", [1, "2"], r"is \[1, '2'\], no list of whole"),
    ("qwen2.5-omni", "config", "vision_config.fullatt_block_indexes", None, "is None, no list of whole numbers"),
    ("qwen3-omni", "config", "vision_config.deepstack_visual_indexes", [-1], r"is \[-1\], no list of whole numbers"),
    ("qwen3-omni", "config", "text_config.mlp_only_layers", 5, "is 5, no list of whole numbers from 0 on"),
    ("qwen3-omni", "config", "text_config.head_dim", "16", "is '16', no whole number from 2 on"),
    ("qwen2.5-omni", "config", "text_config.rope_scaling", 4, "is 4, no object"),
    ("qwen2.5-omni", "config", "text_config.rope_scaling", {"mrope_section": [3, 3]}, "no list of three or more whole"),
    ("qwen2.5-omni", "config", "text_config.rope_parameters.mrope_section", [2, 2, 3], "whose sum is not 6, half"),
    ("qwen3-omni", "config", "text_config.rope_parameters.mrope_section", 8, "is 8, no list of three or more"),
    ("qwen2.5-omni", "config", "text_config.rope_parameters.mrope_section", None, "a head dimension of 12 needs"),
    ("qwen3-omni", "config", "text_config.num_key_value_heads", 3, "is 3, which does not divide num_attention_heads"),
    ("qwen2.5-omni", "config", "vision_config.num_heads", 5, "is 5, which does not divide hidden_size, 32"),
    ("qwen3-omni", "config", "audio_config.encoder_attention_heads", 3, "is 3, which does not divide d_model, 32"),
    ("qwen2.5-omni", "config", "vision_config.depth", 10**9, "is 1000000000, more than 10000"),
    ("qwen3-omni", "config", "text_config.num_hidden_layers", 2**63, "more than 10000"),
    ("qwen3-omni", "config", "text_config.vocab_size", 10**400, "more than 2147483647"),
    ("qwen3-omni", "config", "text_config.head_dim", 10**400, "more than 2147483647"),
    ("qwen2.5-omni", "config", "seconds_per_chunk", 10**400, "more than 2147483647"),
    ("qwen2.5-omni", "config", "vision_config.spatial_merge_size", 9, "window_size in .* is 56, less than 126"),
    ("qwen3-omni", "config", "audio_config.n_window", 300, "n_window_infer in .* is 400, less than 600"),
    ("qwen2.5-omni", "config", "vision_config.num_heads", 16, "is 16, which makes heads 2 wide, no multiple of 4"),
    ("qwen3-omni", "config", "text_config.num_experts_per_tok", 5, "is 5, more than all 4"),
    ("qwen2.5-omni", "config", "thinker_config", 3, "is 3, no object"),
    ("qwen2.5-omni", "config", "quantization_config", "awq", "is 'awq', no object"),
    ("qwen2.5-omni", "preprocessor_config", "hop_length", 0, "is 0, no whole number from 1 on"),
    ("qwen2.5-omni", "preprocessor_config", "n_fft", "400", "is '400', no whole number from 2 on"),
    ("qwen2.5-omni", "preprocessor_config", "sampling_rate", 8000, "is 8000, but sound is read at 16000 Hz only"),
    ("qwen2.5-omni", "preprocessor_config", "image_mean", [0.5], r"is \[0.5\], no list of three numbers"),
    ("qwen2.5-omni", "preprocessor_config", "image_mean", [0.5, 0.5, 10**400], "no list of three numbers"),
    ("qwen2.5-omni", "preprocessor_config", "image_mean", [0.5, 0.5, float("nan")], "no list of three numbers"),
    ("qwen3-omni", "preprocessor_config", "dither", 0.1, "is 0.1, but only 0 is done"),
    ("qwen2.5-omni", "preprocessor_config", "image_std", [0.5, 0.5, 0], "no list of three numbers above 0"),
    ("qwen2.5-omni", "video_preprocessor_config", "fps", "2", "is '2', no number above 0"),
    ("qwen2.5-omni", "video_preprocessor_config", "do_normalize", False, "is False, but only True is done"),
    ("qwen3-omni", "video_preprocessor_config", "rescale_factor", 1, "is 1, but only 0.0039"),
    ("qwen3-omni", "video_preprocessor_config", "rescale_factor", "1/255", "is '1/255', but only 0.0039"),
    ("qwen2.5-omni", "video_preprocessor_config", "max_frames", 0, "is 0, no whole number from 2 on"),
    ("qwen2.5-omni", "video_preprocessor_config", "size", [1], r"is \[1\], no object"),
    ("qwen2.5-omni", "video_preprocessor_config", "size.longest_edge", True, "is True, no whole number from 1 on"),
    (
        "qwen2.5-omni",
        "video_preprocessor_config",
        "size.shortest_edge",
        10**9,
        r"max_pixels \(\d+\) is below min_pixels",
    ),
    ("qwen2.5-omni", "processor_config", "video_processor", 3, "is 3, no object"),
]


@pytest.mark.parametrize(("family", "file", "keys", "value", "said"), WRONG_SETTINGS)
def test_a_setting_that_cannot_be_is_one_clear_line_of_a_plan_and_of_loading(
    saved, tmp_path, family, file, keys, value, said
):
    folder = shutil.copytree(saved[family], tmp_path / "model")
    path, (*parts, key) = folder / f"{file}.json", keys.split(".")
    content = whole = json.loads(path.read_text()) if path.exists() else {}
    for part in parts:
        content = content[part]
    content[key] = value
    path.write_text(json.dumps(whole))
    with pytest.raises(ModelError, match=said) as planned:
        of_checkpoint(Checkpoint("tiny", folder))
    with pytest.raises(ModelError) as loaded:
        load_model(Checkpoint("tiny", folder))
    line = str(planned.value)
    assert line == str(loaded.value)
    assert "\n" not in line
    contradiction = "below" in line or "less than" in line  # to another setting, which is the one that is named
    assert contradiction or (key in line and f"{file}.json" in line)


def test_rotary_sections_of_qwen3_need_not_be_all(saved, tmp_path):
    folder = shutil.copytree(saved["qwen3-omni"], tmp_path / "model")
    content = json.loads((folder / "config.json").read_text())
    content["text_config"]["rope_parameters"]["mrope_section"] = [2, 1, 1]
    (folder / "config.json").write_text(json.dumps(content))
    checkpoint = Checkpoint("tiny", folder)
    assert of_checkpoint(checkpoint).config.text_config.rope_parameters["mrope_section"] == [2, 1, 1]
    assert load_model(checkpoint).shape.family == "qwen3-omni"
