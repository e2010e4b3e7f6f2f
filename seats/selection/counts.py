"""How many tokens a choice keeps and what it computes, without torch: for the methods and for plans of them alike."""

from __future__ import annotations

from seats.errors import SettingsError

AUDIO_WINDOW = 50
"""Audio tokens of a window, as published for SEATS and its baselines."""
VIDEO_FLOOR = 0.05
"""Share of the video that `audio_intact` leaves at least."""
AT_ONCE_BYTES = 300 * 2**20
"""Unit vectors and distances that `select_diverse` has at once, of whole windows: those of 20,000 tokens of a large
model."""
FARTHEST_BYTES = 128 * 2**20
"""Distances that `select_farthest` has at once while it looks up nearest neighbours."""


def keep_count(n: int, ratio: float) -> int:
    """Tokens kept of a window of `n` at `ratio`: rounded half to even, at most n, at least 1 unless n is 0."""
    return min(n, max(1, round(ratio * n)))


def windowed_count(T: int, window: int, ratio: float) -> int:
    """Tokens kept of T, the same share of each window; the last one is shorter if T is no multiple. 0 for T = 0."""
    size = min(window, T)
    if keep_count(size, ratio) == size:
        return T
    whole, rest = divmod(T, size)
    return whole * keep_count(size, ratio) + keep_count(rest, ratio)


def diverse_macs(T: int, D: int, window: int, ratio: float) -> int:
    """Multiply-adds of the distances that `select_diverse` needs for T tokens of size D: none where all stay."""
    size = min(window, T)
    return 0 if windowed_count(T, window, ratio) == T else -(-T // size) * size**2 * D


def windows_at_once(size: int, D: int) -> int:
    """Windows of `size` tokens of size D that `select_diverse` works on at once, at least one."""
    return max(1, AT_ONCE_BYTES // (4 * size * (D + size)))


def farthest_rows(T: int) -> int:
    """Tokens, of T, whose distances to all others `select_farthest` computes at once, at least one."""
    return min(T, max(1, FARTHEST_BYTES // (4 * T)))


def farthest_macs(T: int, D: int, count: int) -> int:
    """Multiply-adds of `select_farthest`."""
    return 0 if count == T else (T + count - 1) * T * D


def audio_intact(video_tokens: int, audio_tokens: int, video: float, audio: float) -> tuple[float, float]:
    """Shares (video, audio) to keep of a clip that hold as many tokens as the target, all of the audio if possible.

    Video-only methods meet a budget of video and audio tokens so: video pays for the audio, but is not cut below 5 %;
    where that is not enough, audio gives the rest. A clip of one modality keeps its target. video, audio: target shares
    in (0, 1]. Raises SettingsError if the target is 5 % of the video or less. Source: the baselines of SEATS (arXiv
    2605.20035, github.com/xxayt/SEATS).
    """
    if not (video_tokens and audio_tokens):
        return video, audio
    budget = int(video_tokens * video + audio_tokens * audio)
    video_share, audio_share = (budget - audio_tokens) / video_tokens, 1.0
    if video_share < VIDEO_FLOOR:
        video_share, audio_share = VIDEO_FLOOR, (budget - VIDEO_FLOOR * video_tokens) / audio_tokens
    if audio_share <= 0:
        raise SettingsError(
            f"{budget} tokens leave none for audio beside the {VIDEO_FLOOR:.0%} of this clip's {video_tokens} video "
            "tokens that methods which favour audio keep at least: raise --keep, or choose a method's -om variant"
        )
    return video_share, audio_share
