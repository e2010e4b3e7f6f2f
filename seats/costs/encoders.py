"""Multiply-adds of the vision and audio encoders and of the saliency read from them, from a thinker's config.

Only matrix work is counted: linear layers, convolutions, attention products. Padding that the stock encoders
compute on (a short last chunk of sound is padded to the length of the others for the convolutions) counts
too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seats.models.families import Family
    from seats.models.signals import EncoderWants


def vision_macs(config: Any, grid: tuple[int, int, int] | None, family: Family) -> int:
    """Multiply-adds of the vision encoder on one video, 0 without one.

    config: the thinker's. grid: (T, Hp, Wp) in patches, Hp and Wp multiples of the merge size.
    """
    if grid is None:
        return 0
    vision = config.vision_config
    frames, height, width = grid
    patches, dim, merge = frames * height * width, vision.hidden_size, vision.spatial_merge_size
    embed = patches * vision.in_channels * vision.temporal_patch_size * vision.patch_size**2 * dim
    gated = family.name == "qwen2.5-omni"
    linear = patches * dim * (4 * dim + (3 if gated else 2) * vision.intermediate_size)
    attention = _pairs(vision, grid, family) * 2 * dim
    wide = dim * merge**2
    merger = patches // merge**2 * (wide**2 + wide * vision.out_hidden_size)
    mergers = 1 + sum(index < vision.depth for index in getattr(vision, "deepstack_visual_indexes", ()))
    return embed + vision.depth * linear + attention + mergers * merger


def audio_macs(config: Any, mel_frames: int, family: Family) -> int:
    """Multiply-adds of the audio encoder on `mel_frames` log-mel frames (100 a second), 0 without sound."""
    if not mel_frames:
        return 0
    audio = config.audio_config
    dim = audio.d_model
    windows = audio_windows(audio, mel_frames, family)
    frames = sum(windows)
    linear = frames * dim * (4 * dim + 2 * audio.encoder_ffn_dim)
    layers = audio.encoder_layers * (linear + 2 * dim * _squares(windows))
    if family.name == "qwen2.5-omni":
        project = family.audio_tokens(mel_frames, config) * dim * audio.output_dim
    else:
        project = frames * dim * (dim + audio.output_dim)
    return _convolutions(audio, mel_frames, family) + layers + project


def saliency_macs(
    config: Any, grid: tuple[int, int, int] | None, mel_frames: int, wants: EncoderWants, family: Family
) -> int:
    """Multiply-adds of the attention scores that saliency adds to both encoders, 0 for a modality not there.

    The encoders' own queries and keys are reused, so only their products inside the saliency windows count.
    grid, mel_frames: as for the encoders. Keys cost no products.
    """
    video = audio = 0
    if grid is not None and wants.video_grids is not None:
        area = grid[1] * grid[2]
        if wants.mean_query:
            pairs = grid[0] * area // config.vision_config.spatial_merge_size**2
        else:
            pairs = _squares(cut(grid[0] * area, wants.video_grids * area))
        video = pairs * config.vision_config.hidden_size
    if mel_frames and wants.audio is not None:
        frames = sum(audio_windows(config.audio_config, mel_frames, family))
        window = family.saliency_audio_frames if wants.audio == "blocks" else frames
        audio = _squares(cut(frames, window)) * config.audio_config.d_model
    return video + audio


def _pairs(vision: Any, grid: tuple[int, int, int], family: Family) -> int:
    """Query-key pairs of all blocks: in each all of a temporal grid, or on Qwen2.5 those of its windows."""
    frames, height, width = grid
    whole = frames * (height * width) ** 2
    if family.name != "qwen2.5-omni":
        return vision.depth * whole
    merge = vision.spatial_merge_size
    side = vision.window_size // merge // vision.patch_size
    # A window of a x b merged tokens has (a b merge^2)^2 pairs, so the sum over windows is a product of sums.
    rows, columns = (_squares(cut(length // merge, side)) for length in (height, width))
    windowed = frames * rows * columns * merge**4
    return sum(whole if block in vision.fullatt_block_indexes else windowed for block in range(vision.depth))


def audio_windows(audio: Any, mel_frames: int, family: Family) -> list[int]:
    """Encoder frames of each attention window."""
    chunks = cut(mel_frames, 2 * audio.n_window)
    if family.name == "qwen2.5-omni":
        return [halved(chunk) for chunk in chunks]
    encoded = [halved(chunk, 3) for chunk in chunks]
    return cut(sum(encoded), max(encoded) * (audio.n_window_infer // (2 * audio.n_window)))


def _convolutions(audio: Any, mel_frames: int, family: Family) -> int:
    """Multiply-adds before the audio layers; every chunk is padded to the longest."""
    chunks = cut(mel_frames, 2 * audio.n_window)
    longest, dim, bins = max(chunks), audio.d_model, audio.num_mel_bins
    if family.name == "qwen2.5-omni":
        return len(chunks) * 3 * dim * (longest * bins + halved(longest) * dim)
    channels = audio.downsample_hidden_size
    # Three 3x3 convolutions of stride 2 over time and mel bins; the first has one input channel.
    areas = [halved(longest, times) * halved(bins, times) for times in (1, 2, 3)]
    convolved = 9 * channels * (areas[0] + (areas[1] + areas[2]) * channels)
    return len(chunks) * (convolved + areas[2] * channels * dim)


def cut(length: int, window: int) -> list[int]:
    """Lengths of windows of `window`, the last one shorter."""
    full, rest = divmod(length, window)
    return [window] * full + ([rest] if rest else [])


def _squares(lengths: list[int]) -> int:
    return sum(length**2 for length in lengths)


def halved(length: int, times: int = 1) -> int:
    """Length after `times` convolutions of stride 2 that are padded by one."""
    for _ in range(times):
        length = (length - 1) // 2 + 1
    return length
