"""Which frames a model wants, read off its JSON files: decoding can begin while the model still loads."""

from __future__ import annotations

from typing import Any

from seats.errors import ModelError, SettingsError
from seats.media import FrameSampling
from seats.models.checkpoint import Checkpoint


def frame_sampling(checkpoint: Checkpoint) -> FrameSampling:
    """The reference's frame and size rule, overruled by what the video processor says of sizes and counts.

    Raises ModelError if the folder's JSON files are missing or broken, or contradict one another.
    """
    vision = checkpoint.thinker_config.get("vision_config") or {}
    # What config.json leaves out is as in transformers' config classes.
    default = 16 if checkpoint.config.get("model_type", "").startswith("qwen3_omni") else 14
    factor = vision.get("patch_size", default) * vision.get("spatial_merge_size", 2)
    defaults = FrameSampling.for_factor(factor)
    said = checkpoint.video_processor
    size = _edges(said)
    if size == _edges(checkpoint.image_processor):
        # A processor that was loaded without settings for videos has those for images, and is saved with them.
        size = (None, None)
    least, most = size
    try:
        return FrameSampling(
            fps=said.get("fps") or defaults.fps,
            min_frames=said.get("min_frames") or defaults.min_frames,
            max_frames=said.get("max_frames") or defaults.max_frames,
            factor=factor,
            min_pixels=least or defaults.min_pixels,
            max_pixels=most or defaults.max_pixels,
            total_pixels=defaults.total_pixels,
        )
    except SettingsError as error:
        raise ModelError(f"{checkpoint.folder}: the settings of the video processor cannot be: {error}") from error


def _edges(said: dict[str, Any]) -> tuple[int | None, int | None]:
    """Least and most pixels of a picture, by the names that either processor gives them."""
    size = said.get("size") or {}
    return (
        size.get("shortest_edge") or said.get("min_pixels"),
        size.get("longest_edge") or said.get("max_pixels"),
    )
