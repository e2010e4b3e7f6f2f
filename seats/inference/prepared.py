"""A prompt as the engine takes it: its layout, and what was read off the encoders."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import nn

from seats.errors import SettingsError
from seats.models import compat
from seats.models.signals import EncoderWants, Signals
from seats.models.thinker import Thinker
from seats.selection.budget import run_windows
from seats.tokens.interleave import interleave
from seats.tokens.layout import Modality, TokenLayout

_DENOMINATOR = 4096  # of fractions further apart than numbers of 32 bits are, around a second


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the engine must know about a prompt beside its embeddings.

    layout: of all `S` tokens. saliency, keys: as in `BeforeLLM`. deepstack: per injected layer `[Nv, D]`, rows in
    encoder order (Qwen3-Omni).
    """

    layout: TokenLayout
    saliency: torch.Tensor | None = None
    deepstack: tuple[torch.Tensor, ...] = ()
    keys: Mapping[Modality, torch.Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls, layout: TokenLayout, signals: Mapping[Modality, Signals], deepstack: tuple[torch.Tensor, ...] = ()
    ) -> Prepared:
        """Put what was read off each encoder at the tokens' places in the sequence."""
        saliency, keys = None, {}
        for modality, found in signals.items():
            where = layout.positions(modality)
            rows = layout.row[where]
            if found.saliency is not None:
                if saliency is None:
                    saliency = torch.zeros(len(layout), dtype=torch.float32, device=rows.device)
                saliency[where] = found.saliency[rows]
            if found.keys is not None:
                keys[modality] = found.keys[rows]
        return cls(layout, saliency, deepstack, keys)


@contextmanager
def watched(thinker: Thinker, wants: EncoderWants) -> Iterator[Callable[[], Prepared]]:
    """Watch a thinker's own inputs and encoders, for callers who bring what the stock processor made.

    Gives what returns the prompt that is passing, to be called from within the thinker's forward. That raises
    SettingsError for prompts without ids, and for more than one video or sound; so does the thinker where it is to
    compute a loss, as the logits of a pruned prompt are those of its last position alone, and where a clip does not
    come with the prompt's first tokens.
    """
    seen: dict[str, Any] = {}
    rule = thinker.rule

    def remember_inputs(_module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        if kwargs.get("labels") is not None:
            raise SettingsError("token selection is for answers, not for training: leave out labels")
        ids: Any = kwargs.get("input_ids", args[0] if args else None)
        cache = compat.cache_of(kwargs)
        goes_on = ids is not None and ids.shape[1] > 1 and cache is not None and cache.get_seq_length() > 0
        if goes_on and bool(((ids == rule.video) | (ids == rule.audio)).any()):
            raise SettingsError(
                f"token selection needs the whole prompt at once: leave out {compat.CACHE} and prefill_chunk_size"
            )
        # Nothing else: a cache that is held here would stay after its prompt.
        seen["input_ids"] = ids
        for name in ("input_features", "video_second_per_grid"):
            seen[name] = kwargs.get(name)

    def remember_grid(_module: nn.Module, _args: tuple, kwargs: dict[str, Any]) -> None:
        seen["grid_thw"] = kwargs.get("grid_thw")

    handles = [
        thinker.module.register_forward_pre_hook(remember_inputs, with_kwargs=True),
        thinker.vision.register_forward_pre_hook(remember_grid, with_kwargs=True),
    ]
    try:
        with thinker.vision_probe(wants.of_video) as vision, thinker.audio_probe(wants.of_audio) as audio:

            def passing() -> Prepared:
                # Forgets what it used, so that no prompt meets the signals of the one before it.
                taken = [dict(found) for found in (seen, vision, audio)]
                for found in (seen, vision, audio):
                    found.clear()
                return _prepare(thinker, wants, *taken)

            yield passing
    finally:
        for handle in handles:
            handle.remove()


def _prepare(
    thinker: Thinker,
    wants: EncoderWants,
    seen: dict[str, Any],
    vision: dict[str, torch.Tensor],
    audio: dict[str, torch.Tensor],
) -> Prepared:
    """Layout and signals of a prompt made by the stock processor. seen: inputs of the thinker's forward; vision, audio:
    what the probes caught."""
    if seen.get("input_ids") is None:
        raise SettingsError("token selection needs the prompt's input_ids: pass them, without inputs_embeds")
    ids, rule = seen["input_ids"][0].cpu(), thinker.rule  # one copy: their layout is made on the host
    has_video, has_audio = bool((ids == rule.video).any()), bool((ids == rule.audio).any())
    grid = None
    if has_video:
        grids = seen.get("grid_thw")
        if grids is None:
            raise SettingsError("a prompt came without its pictures: pass what the processor made")
        merge = thinker.vision.config.spatial_merge_size
        grid = tuple(grids[0].tolist())
        if math.prod(grid) != merge**2 * int((ids == rule.video).sum()):
            raise SettingsError("token selection works on one video a prompt: leave out the other ones")
    sounds = seen.get("input_features")
    if sounds is not None and len(sounds) > 1:
        raise SettingsError("token selection works on one sound a prompt: leave out the other ones")
    if has_audio and wants.of_audio and sounds is None and not audio:
        raise SettingsError("a prompt came without its sound: pass what the processor made")
    if has_video and wants.of_video:
        _check_caught(vision, thinker.family.vision_projections(thinker.vision))
    if has_audio and wants.of_audio:
        _check_caught(audio, thinker.family.audio_projections(thinker.audio))
    seconds = seen.get("video_second_per_grid")
    layout = _layout_of(thinker, ids, grid, 1.0 if seconds is None else float(seconds[0])).to(thinker.device)
    signals = {}
    if grid is not None and wants.of_video:
        signals[Modality.VIDEO] = thinker.vision_signals(vision, grid, wants)
    if has_audio and wants.of_audio:
        signals[Modality.AUDIO] = thinker.audio_signals(audio, wants)
    return Prepared.of(layout, signals)


def _check_caught(caught: Mapping[str, torch.Tensor], wanted: Mapping[str, nn.Module]) -> None:
    """Raise SettingsError where an encoder ran past its probe: tokens would be chosen as if all were alike."""
    if not wanted.keys() <= caught.keys():
        raise SettingsError(
            "token selection must see inside the encoders, which code of torch.compile hides: use the thinker's own "
            "compile() in its place"
        )


def _layout_of(
    thinker: Thinker, ids: torch.Tensor, grid: tuple[int, ...] | None, seconds_per_grid: float
) -> TokenLayout:
    """The layout of stock ids `[S]`, both on the host.

    Windows are those of `interleave`; where the ids are laid out otherwise (sound beside the video instead of in it),
    runs of video and audio are the windows.
    """
    rule = thinker.rule
    is_video, is_audio = ids == rule.video, ids == rule.audio
    modality = (is_video * int(Modality.VIDEO) + is_audio * int(Modality.AUDIO)).to(torch.int8)
    video_row, audio_row = is_video.cumsum(0) - 1, is_audio.cumsum(0) - 1
    row = torch.where(is_video, video_row, torch.where(is_audio, audio_row, -1))
    place = torch.full((len(ids), 3), -1)
    time_s = torch.where(is_audio, audio_row.float() / rule.time.positions_per_second, -1.0)
    if grid is not None:
        merge = thinker.vision.config.spatial_merge_size
        height, width = grid[1] // merge, grid[2] // merge
        in_grid = torch.stack([row // (height * width), row // width % height, row % width], dim=1)
        place = torch.where(is_video[:, None], in_grid, place)
        time_s = torch.where(is_video, place[:, 0].float() * seconds_per_grid, time_s)
    window, in_clip = run_windows(modality), is_video | is_audio
    if bool(in_clip.any()):
        merged = None if grid is None else (grid[0], height, width)
        order, count = is_audio[in_clip].numpy(), int(is_audio.sum())
        for seconds in _before_rounding(seconds_per_grid):
            block = interleave(merged, seconds, count, rule.time)
            if np.array_equal(block.is_audio, order):
                window[in_clip] = torch.from_numpy(block.window)
                break
    return TokenLayout(modality, window, row, place, time_s, torch.arange(len(ids)))


def _before_rounding(seconds: float) -> Iterator[float]:
    """What a number of 32 bits may have been in 64, the likeliest first; last the number itself.

    The processor lays out ids by 64 bits and hands on 32, by which a grid on the border of a chunk, or of the time of
    an audio token, may come to lie on its other side. At three frames a second many do.
    """
    plain = Fraction(seconds).limit_denominator(_DENOMINATOR)
    if plain > 0:
        found = float(plain)
        # It divides by the frame rate, which makes the last bit another one at times, as a rate's own rounding does.
        likely = (1 / float(1 / plain), found, math.nextafter(found, 0), math.nextafter(found, math.inf))
        yield from (one for one in likely if np.float32(one) == np.float32(seconds))
    yield seconds
