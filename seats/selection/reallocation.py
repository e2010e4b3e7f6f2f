"""Audio kept whole, video paying for it: how video-only methods meet a budget of video and audio tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from seats.errors import SettingsError
from seats.selection.diversity import keep_count

VIDEO_FLOOR = 0.05


def audio_intact(video_tokens: int, audio_tokens: int, video: float, audio: float) -> tuple[float, float]:
    """Shares (video, audio) to keep of a clip that hold as many tokens as the target, all of the audio if possible.

    Video is not cut below 5 %: where that is not enough, audio gives the rest. A clip of one modality keeps its
    target. video, audio: target shares in (0, 1]. Raises SettingsError if the target is less than 5 % of the video.
    Source: the baselines of SEATS (arXiv 2605.20035, github.com/xxayt/SEATS).
    """
    if not (video_tokens and audio_tokens):
        return video, audio
    budget = int(video_tokens * video + audio_tokens * audio)
    video_share, audio_share = (budget - audio_tokens) / video_tokens, 1.0
    if video_share < VIDEO_FLOOR:
        video_share, audio_share = VIDEO_FLOOR, (budget - VIDEO_FLOOR * video_tokens) / audio_tokens
    if audio_share <= 0:
        raise SettingsError(
            f"{budget} tokens are fewer than the {VIDEO_FLOOR:.0%} of this clip's {video_tokens} video tokens that "
            "methods which favour audio keep at least: raise --keep, or choose a method's -om variant"
        )
    return video_share, audio_share


def random_mask(n: int, ratio: float, seed: int) -> Tensor:
    """[n] bool on the CPU: max(1, round(ratio * n)) of `n` tokens, all for a ratio of 1; the same on every device."""
    keep = torch.zeros(n, dtype=torch.bool)
    if n:
        generator = torch.Generator().manual_seed(seed)
        keep[torch.randperm(n, generator=generator)[: keep_count(n, ratio)]] = True
    return keep


def top_mask(scores: Tensor, count: int | Tensor) -> Tensor:
    """[..., n] bool: the `count` highest of each row of `scores`, ties to the lower index.

    count: one for all rows, or int64 [...] one for each.
    """
    order = torch.argsort(scores, dim=-1, descending=True, stable=True)
    rank = torch.arange(scores.shape[-1], device=scores.device).expand_as(order)
    wanted = count[..., None] if isinstance(count, Tensor) else count
    return torch.zeros_like(order, dtype=torch.bool).scatter_(-1, order, rank < wanted)
