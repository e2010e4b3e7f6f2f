"""Frames and sizes that a checkpoint's files ask for."""

import json

import pytest
from transformers import Qwen2_5OmniThinkerConfig, Qwen3OmniMoeThinkerConfig

from seats.media import FrameSampling
from seats.models.checkpoint import Checkpoint
from seats.models.sampling import frame_sampling

IMAGES = {"shortest_edge": 3136, "longest_edge": 12845056}


def folder_with(path, **files):
    path.mkdir(exist_ok=True)
    vision = {"patch_size": 14, "spatial_merge_size": 2}
    config = {"model_type": "qwen2_5_omni_thinker", "vision_config": vision}
    for name, content in {"config": config, **files}.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return Checkpoint("m", path)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"preprocessor_config": {"min_pixels": 3136, "max_pixels": 12845056}},
        {"processor_config": {"video_processor": {"size": IMAGES}, "image_processor": {"size": IMAGES}}},
        {
            "processor_config": {"video_processor": {"size": IMAGES}},
            "preprocessor_config": {"min_pixels": 3136, "max_pixels": 12845056},
        },
    ],
)
def test_sizes_of_images_are_not_those_of_videos(tmp_path, files):
    """A processor saved again has the images' limits under its video processor: 16,384 tokens a frame."""
    assert frame_sampling(folder_with(tmp_path / "m", **files)) == FrameSampling.for_factor(28)


def test_what_the_video_processor_says_holds(tmp_path):
    said = {"size": {"shortest_edge": 28224, "longest_edge": 50176}, "max_frames": 12, "fps": 1.0}
    images = {"image_processor": {"size": IMAGES}}
    for files in ({"video_preprocessor_config": said}, {"processor_config": {"video_processor": said, **images}}):
        found = frame_sampling(folder_with(tmp_path / "m", **files))
        assert (found.min_pixels, found.max_pixels, found.max_frames, found.fps) == (28224, 50176, 12, 1.0)


@pytest.mark.parametrize("stock", [Qwen2_5OmniThinkerConfig, Qwen3OmniMoeThinkerConfig])
@pytest.mark.parametrize("said", [{}, {"patch_size": 10}, {"spatial_merge_size": 3}])
@pytest.mark.parametrize("whole", [True, False])
def test_the_factor_is_that_of_the_model_that_transformers_makes(tmp_path, stock, said, whole):
    """Of a config with the talker's or the thinker's alone; what it leaves out has transformers' own value."""
    vision = stock(vision_config=said).vision_config
    config = {"vision_config": said}
    if whole:
        config = {"thinker_config": config}
    found = frame_sampling(folder_with(tmp_path / "m", config={"model_type": stock.model_type, **config}))
    assert found == FrameSampling.for_factor(vision.patch_size * vision.spatial_merge_size)
