"""What a benchmark's prompt is made of: so many tokens, or a clip of so many frames, pixels and seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import torch

from seats.costs.flops import Workload as EncoderInput
from seats.errors import SettingsError
from seats.media.sampling import FrameSampling, frame_size
from seats.models.presets import Preset
from seats.tokens.mel import MelSpec
from seats.tokens.patches import PatchSpec
from seats.tokens.sequence import Sequence, build_sequence

VIDEO, AUDIO, TEXT = 8600, 3000, 150
"""Tokens of the workload behind the published FLOPs: two minutes of video and sound, and a question."""
_TOKENS_A_GRID = 134  # as published settings have it: 128 to 144 merged patches a frame
_WIDEST = 2.5
_MOST = 10_000_000  # tokens of a clip
_RESERVE = 1024  # positions left for decoding


@dataclass(frozen=True)
class Load:
    """One prompt's make-up.

    grid: (T, Hp, Wp) in patches, None without video. mel_frames: 100 a second, 0 without sound. seconds_per_grid:
    between temporal grids. text: tokens that are neither video nor audio. encoders: whether the encoders run on it,
    or their outputs are given.
    """

    grid: tuple[int, int, int] | None
    mel_frames: int
    seconds_per_grid: float
    text: int
    encoders: bool

    @property
    def encoder_input(self) -> EncoderInput:
        return EncoderInput(self.grid, self.mel_frames)


def token_load(preset: Preset, video: int = VIDEO, audio: int = AUDIO, text: int = TEXT) -> Load:
    """A prompt of so many tokens, laid out as a clip that long would be.

    Sound decides the clip's length (a grid a second without it). The grids are the ones whose number times size comes
    nearest to `video`, of about 134 tokens each for many tokens and of fewer else, so the tokens can be a few more
    or less. Raises SettingsError.
    """
    if min(video, audio) < 0 or not video + audio:
        raise SettingsError(f"{video} video and {audio} audio tokens: give at least one of either")
    _check_text(text, preset)
    mel_frames = _mel_frames_for(audio, preset)
    grid = _grid_of(video) if video else None
    seconds = mel_frames / 100 / grid[0] if grid and mel_frames else 1.0
    merge = patch_spec(preset).merge_size
    return Load(grid and (grid[0], merge * grid[1], merge * grid[2]), mel_frames, seconds, text, encoders=False)


def media_load(preset: Preset, frames: int, width: int, height: int, seconds: float, text: int = TEXT) -> Load:
    """A prompt about a clip of so many sampled frames of a source that large and long, through the encoders.

    frames: even, 0 for sound alone; resized as a clip's frames would be. seconds: of sound, and covered by the frames.
    Raises SettingsError, and MediaError for a size that no picture has.
    """
    if frames < 0 or frames % 2:
        raise SettingsError(f"{frames} frames: frames are taken in pairs, so give an even number")
    if not (math.isfinite(seconds) and seconds > 0):
        raise SettingsError(f"{seconds:g} seconds: give a number above 0")
    _check_text(text, preset)
    spec = patch_spec(preset)
    grid = None
    if frames:
        sampling = FrameSampling.for_factor(spec.token_side)
        resized = frame_size(height, width, frames, sampling)
        grid = (frames // spec.temporal_patch_size, resized[0] // spec.patch_size, resized[1] // spec.patch_size)
    tokens = (math.prod(grid) // spec.merge_size**2 if grid else 0) + 25 * seconds
    if tokens > _MOST:
        raise SettingsError(
            f"{frames:,} frames and {seconds:,.0f} seconds are more than can be laid out: at most {_MOST:,} tokens; "
            "lower --frames, --size or --seconds"
        )
    per_grid = seconds / grid[0] if grid else 1.0
    mel_frames = round(100 * seconds)
    if not preset.family.audio_tokens(mel_frames, preset.config()):
        mel_frames = 0  # as in a clip: what gives no token is not encoded
    return Load(grid, mel_frames, per_grid, text, encoders=True)


def sequence_of(load: Load, preset: Preset, config: Any) -> Sequence:
    """Ids, positions and layout of the prompt, on the host. Raises SettingsError for a load of nothing."""
    rule = preset.family.sequence_rule(config)
    audio_tokens = preset.family.audio_tokens(load.mel_frames, config)
    if not (load.grid or audio_tokens):
        raise SettingsError("there are no frames, and too little sound for a token: raise --frames or --seconds")
    merge = config.vision_config.spatial_merge_size
    grid = load.grid and (load.grid[0], load.grid[1] // merge, load.grid[2] // merge)
    marks = 2 if grid and audio_tokens else 0  # put around the sound by `build_sequence`
    plain = load.text - marks
    before = plain // 10
    placeholder = rule.video if grid else rule.audio
    marks_of_media = {rule.video, rule.audio, rule.audio_start, rule.audio_end}
    vocabulary = (number for number in range(1, config.text_config.vocab_size) if number not in marks_of_media)
    words = list(islice(cycle(islice(vocabulary, plain)), plain))  # again from the first where there are too few
    prompt = [*words[:before], placeholder, *words[before:]]
    return build_sequence(prompt, rule, grid, load.seconds_per_grid, audio_tokens, reserve=_RESERVE)


def patch_spec(preset: Preset) -> PatchSpec:
    vision = preset.config().vision_config
    return PatchSpec(
        patch_size=vision.patch_size,
        temporal_patch_size=vision.temporal_patch_size,
        merge_size=vision.spatial_merge_size,
    )


def mel_spec(preset: Preset) -> MelSpec:
    return MelSpec(bins=preset.config().audio_config.num_mel_bins, padded=preset.family.pads_audio)


def random_frames(load: Load, preset: Preset, device: torch.device) -> torch.Tensor:
    """Pixels uint8 `[F, 3, H, W]` on `device`, already resized."""
    spec = patch_spec(preset)
    assert load.grid is not None
    frames, height, width = load.grid
    size = (frames * spec.temporal_patch_size, 3, height * spec.patch_size, width * spec.patch_size)
    return torch.randint(0, 256, size, dtype=torch.uint8, device=device)


def _check_text(text: int, preset: Preset) -> None:
    if text < 10:
        raise SettingsError(f"{text} text tokens: a prompt has at least 10")
    most = preset.config().text_config.max_position_embeddings - _RESERVE - 2
    if text > most:
        raise SettingsError(f"{text} text tokens: {preset.name} has room for {most} beside a clip")


def _grid_of(tokens: int) -> tuple[int, int, int]:
    """(T, H, W) with T * H * W as near to `tokens` as it gets, H * W near 134 (less for few), W / H at most 2.5."""
    best, least = (tokens, 1, 1), math.inf
    wanted = min(_TOKENS_A_GRID, max(1, tokens / 8))
    for height in range(1, 33):
        for width in range(height, int(_WIDEST * height) + 1):
            area = height * width
            frames = max(1, round(tokens / area))
            # The number of tokens comes first, and of grids that give as many, the one of the usual size.
            cost = 300 * abs(frames * area - tokens) / tokens + abs(math.log(area / wanted))
            if cost < least:
                best, least = (frames, height, width), cost
    return best


def _mel_frames_for(audio: int, preset: Preset) -> int:
    """The fewest log-mel frames that make `audio` tokens, or the first count above where none makes just so many."""
    if not audio:
        return 0
    config = preset.config()
    low, high = 1, 16 * audio + 16
    while low < high:
        middle = (low + high) // 2
        if preset.family.audio_tokens(middle, config) >= audio:
            high = middle
        else:
            low = middle + 1
    return low
