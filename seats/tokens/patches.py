"""Video frames to the flat patches that Qwen's vision encoders take."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from seats.devices import moved

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class PatchSpec:
    """Settings of the video processor: patch side in pixels, frames a patch, merge side in patches, colour scale."""

    patch_size: int = 14
    temporal_patch_size: int = 2
    merge_size: int = 2
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD

    @property
    def token_side(self) -> int:
        """Pixels along one side of a merged token."""
        return self.patch_size * self.merge_size


def patchify(
    frames: torch.Tensor, spec: PatchSpec, dtype: torch.dtype = torch.float32, block_grids: int = 4
) -> tuple[torch.Tensor, tuple[int, int, int]]:
    """Normalised patches and their grid, as transformers' `Qwen2VLVideoProcessor` makes them.

    frames: uint8 `[F, 3, H, W]`, H and W multiples of `token_side`; an incomplete last group of
    `temporal_patch_size` frames is filled by repeating the last frame. dtype: of the result; computed in float32.
    block_grids: temporal grids worked on at a time, which bounds the copies, and lets a CPU find them in its cache.
    Returns `[T * Hp * Wp, 3 * temporal_patch_size * patch_size ** 2]` on the frames' device, the four patches of a
    merged token next to each other, and (T, Hp, Wp) in patches.
    """
    tp, p, m = spec.temporal_patch_size, spec.patch_size, spec.merge_size
    if missing := -frames.shape[0] % tp:
        frames = torch.cat([frames, frames[-1:].expand(missing, -1, -1, -1)])
    count, channels, height, width = frames.shape
    grid = (count // tp, height // p, width // p)
    rows = grid[1] * grid[2]
    # The stock processor folds the 1/255 of the pixel range into mean and deviation.
    scale = torch.tensor([spec.mean, spec.std], dtype=torch.float32).mul(255.0)
    mean, std = moved(scale.repeat_interleave(tp * p * p, dim=1), frames.device)
    patches = torch.empty(grid[0] * rows, channels * tp * p * p, dtype=dtype, device=frames.device)
    shape = (-1, tp, channels, grid[1] // m, m, p, grid[2] // m, m, p)
    for first in range(0, grid[0], block_grids):
        last = min(first + block_grids, grid[0])
        # Put in order while a colour is one byte, not four.
        block = frames[first * tp : last * tp].reshape(shape).permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
        block = block.reshape(-1, patches.shape[1])
        ours = patches[first * rows : last * rows]
        if dtype == torch.float32:
            ours.copy_(block).sub_(mean).div_(std)
        else:
            ours.copy_(block.float().sub_(mean).div_(std))
    return patches, grid
