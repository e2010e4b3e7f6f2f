"""What the installed transformers itself makes of a prompt, for both families and every supported version.

The stock processors cannot be built without torchvision, but the methods that matter here touch only a few attributes
of theirs, so they are called with a stand-in for `self`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from seats.models import compat
from seats.models.families import FAMILIES as ADAPTERS
from seats.models.families import Family
from tests.tiny import IDS

_LETTERS = {"audio": "A", "image": "I", "video": "V", "audio_start": "[", "audio_end": "]"}
_MARKS = {"vision_start": "(", "vision_end": ")"}
_TIME = {"qwen2.5-omni": 25, "qwen3-omni": 13.0}


def adapter_of(family: str) -> Family:
    return next(adapter for adapter in ADAPTERS if adapter.name == family)


def stock_ids(
    family: str,
    before: list[int],
    after: list[int],
    grid: tuple[int, int, int] | None,
    seconds_per_grid: float,
    audio_tokens: int,
) -> list[int]:
    """Ids of text, one clip and text as the stock processor expands them. grid: merged (T, H, W), None for sound."""
    if grid is None:
        media = [IDS["audio_start"], *[IDS["audio"]] * audio_tokens, IDS["audio_end"]]
    else:
        names = {**_LETTERS, **_MARKS}
        ids = {letter: IDS[name] for name, letter in names.items()}
        media = [ids[letter] for letter in _expanded(family, grid, seconds_per_grid, audio_tokens)]
    return [*before, *media, *after]


def _expanded(family: str, grid: tuple[int, int, int], seconds_per_grid: float, audio_tokens: int) -> str:
    import transformers

    name = {"qwen2.5-omni": "Qwen2_5OmniProcessor", "qwen3-omni": "Qwen3OmniMoeProcessor"}[family]
    processor = getattr(transformers, name)
    this: Any = SimpleNamespace(
        audio_token="A", image_token="I", video_token="V", audio_bos_token="[", audio_eos_token="]",
        vision_bos_token="(", vision_eos_token=")",
        image_processor=SimpleNamespace(merge_size=2), video_processor=SimpleNamespace(merge_size=2),
    )  # fmt: skip
    this.get_chunked_index = processor.get_chunked_index.__get__(this)
    patches = np.array([grid[0], 2 * grid[1], 2 * grid[2]])
    rule = {"position_id_per_seconds": _TIME[family], "seconds_per_chunk": 2.0}
    if hasattr(processor, "replace_multimodal_special_tokens"):  # before 5.20
        return processor.replace_multimodal_special_tokens(
            this, ["(V)"], iter([audio_tokens]), iter([]), iter([patches]),
            video_second_per_grid=iter([seconds_per_grid]), use_audio_in_video=audio_tokens > 0, **rule,
        )[0]  # fmt: skip
    this.replace_video_with_audio_token = processor.replace_video_with_audio_token.__get__(this)
    video = {"video_grid_thw": [patches], "video_second_per_grid": [seconds_per_grid]}
    audio = {"num_audio_tokens": [audio_tokens]}
    heard = audio_tokens > 0
    clip = processor.replace_video_token(this, video, 0, audio, [0], load_audio_from_video=heard, **rule)
    return f"({clip})"


def stock_positions(
    thinker: Any, ids: list[int], grid: tuple[int, int, int] | None, seconds_per_grid: float, mel_frames: int
) -> torch.Tensor:
    """M-RoPE positions `[3, S]` by the model's own `get_rope_index`. grid: merged (T, H, W)."""
    sequence = torch.tensor([ids])
    both = grid is not None and mel_frames > 0
    positions, _ = compat.multimodal_model(thinker).get_rope_index(
        sequence,
        video_grid_thw=None if grid is None else torch.tensor([[grid[0], 2 * grid[1], 2 * grid[2]]]),
        attention_mask=torch.ones_like(sequence),
        use_audio_in_video=both,
        audio_seqlens=torch.tensor([mel_frames]) if mel_frames else None,
        second_per_grids=None if grid is None else torch.tensor([seconds_per_grid]),
    )
    return positions[:, 0]
