"""A clip and a prompt to the one sequence the LLM sees: ids, M-RoPE positions, layout, and the encoders' inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from seats.errors import SettingsError
from seats.tokens.interleave import MediaBlock, TimeRule, interleave
from seats.tokens.layout import Modality, TokenLayout


@dataclass(frozen=True)
class SequenceRule:
    """What a model fixes about its sequence.

    time: interleaving and time scale. max_position: number of positions the model was trained for.
    video, audio, audio_start, audio_end: token ids. repeats_mark_position: whether the mark around the sound shares
    the position of the mark around the picture next to it (Qwen2.5-Omni) or follows it (Qwen3-Omni).
    """

    time: TimeRule
    max_position: int
    video: int
    audio: int
    audio_start: int
    audio_end: int
    repeats_mark_position: bool


@dataclass(frozen=True, eq=False)
class Sequence:
    """ids int64 `[S]`; positions `[3, S]` (t, h, w), int64 or, with fractional times, float32; layout of `S` tokens.

    time_scale: factor in (0, 1] by which temporal positions were compressed, 1 where the clip fits the model.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    layout: TokenLayout
    time_scale: float


def build_sequence(
    prompt: list[int],
    rule: SequenceRule,
    grid: tuple[int, int, int] | None,
    seconds_per_grid: float,
    audio_tokens: int,
    reserve: int = 0,
) -> Sequence:
    """Put a clip's tokens in the place of the prompt's single placeholder.

    prompt: ids of the templated prompt, with one `rule.video` (clip with pictures) or one `rule.audio` (sound alone).
    grid: merged video grid (T, H, W) or None. seconds_per_grid: from the true frame rate. audio_tokens: 0 without
    sound. reserve: positions to leave free for the answer. Ids and positions equal the stock processor's and
    `get_rope_index`; where they would pass `rule.max_position`, all times are compressed by one factor instead.
    Raises SettingsError if the prompt holds no placeholder, several, or is alone longer than the model's range.
    """
    placeholder = rule.audio if grid is None else rule.video
    places = [i for i, token in enumerate(prompt) if token == placeholder]
    if len(places) != 1:
        raise SettingsError(
            f"the prompt holds {len(places)} media placeholders instead of one: check the model's chat template"
        )
    marked = grid is not None and audio_tokens > 0
    before = prompt[: places[0]] + [rule.audio_start] * marked
    after = [rule.audio_end] * marked + prompt[places[0] + 1 :]
    room = rule.max_position - len(before) - len(after) - reserve
    if room < 2:
        raise SettingsError(
            f"the prompt has {len(before) + len(after)} tokens and the answer may have {reserve}, but the model's "
            f"range is {rule.max_position} positions: ask a shorter question, lower --max-new-tokens or, in a chat, "
            "/reset"
        )
    block = interleave(grid, seconds_per_grid, audio_tokens, rule.time)
    # Where the last piece is not the latest, positions of an earlier one lie beyond `next_position`.
    latest = float(block.positions[0].max())
    time_scale = 1.0
    if latest > room - 1:
        time_scale = (room - 1) / latest
        block = interleave(grid, seconds_per_grid, audio_tokens, rule.time, time_scale)
    shared = int(marked and rule.repeats_mark_position)
    head = np.arange(len(before), dtype=np.float64)
    if shared:
        head[-1] -= 1
    start = head[-1] + 1 if len(head) else 0.0
    tail = start + block.next_position + np.arange(len(after)) - shared * (np.arange(len(after)) > 0)
    positions = torch.from_numpy(
        np.concatenate(
            [np.broadcast_to(head, (3, len(head))), block.positions + start, np.broadcast_to(tail, (3, len(tail)))],
            axis=1,
        )
    )
    media = np.where(block.is_audio, rule.audio, rule.video)
    ids = torch.from_numpy(np.concatenate([before, media, after]).astype(np.int64))
    return Sequence(
        ids=ids,
        positions=positions.float() if rule.time.fractional else positions.long(),
        layout=_layout(block, len(before), len(after)),
        time_scale=time_scale,
    )


def _layout(block: MediaBlock, before: int, after: int) -> TokenLayout:
    def padded(values: np.ndarray, fill: float) -> torch.Tensor:
        width = [(before, after), *[(0, 0)] * (values.ndim - 1)]
        return torch.from_numpy(np.pad(values, width, constant_values=fill))

    modality = np.where(block.is_audio, int(Modality.AUDIO), int(Modality.VIDEO)).astype(np.int8)
    return TokenLayout(
        modality=padded(modality, int(Modality.TEXT)),
        window=padded(block.window, -1),
        row=padded(block.row, -1),
        grid=padded(block.grid, -1),
        time_s=padded(block.time_s, -1.0),
        origin=torch.arange(before + len(block.row) + after),
    )
