"""A whole model with random weights at a named one's dimensions: everything a question needs, without a download.

What it answers means nothing; what it takes is what the real model takes for as many tokens.
"""

from __future__ import annotations

import zlib
from typing import Any, ClassVar

import torch

from seats.bench.build import random_thinker
from seats.bench.workload import mel_spec, patch_spec
from seats.media import FrameSampling
from seats.models.omni import OmniModel
from seats.models.presets import Preset

_FIRST_WORD = 10


def sampling_of(preset: Preset) -> FrameSampling:
    """The frame and size rule of a preset's family, with its published limits."""
    return FrameSampling.for_factor(patch_spec(preset).token_side)


def random_model(preset: Preset, device: torch.device, dtype: torch.dtype, seed: int = 0) -> OmniModel:
    """A model that answers with random weights. Raises OutOfMemoryError where they do not fit."""
    thinker = random_thinker(preset, device, dtype, seed)
    # Nothing ends an answer, so that every run is as long as it may be.
    thinker.module.generation_config.eos_token_id = None
    thinker.module.generation_config.pad_token_id = 0
    return OmniModel(
        name=f"{preset.name} with random weights",
        thinker=thinker,
        tokenizer=_Words(thinker.config),
        chat_template=None,
        mel=mel_spec(preset),
        patches=patch_spec(preset),
        sampling=sampling_of(preset),
        shape=preset.shape,
    )


class _Words:
    """As much of a tokenizer as a question needs. A word is a token; words of one id are not told apart."""

    pad_token_id = 0
    eos_token_id = None
    added_tokens_decoder: ClassVar[dict[int, Any]] = {}

    def __init__(self, config: Any) -> None:
        video, audio = config.video_token_id, config.audio_token_id
        # A config need not say what pictures stand between: any text does here.
        marks = [getattr(config, f"vision_{end}_token_id", video - 1) for end in ("start", "end")]
        self._media = {
            "video": (marks[0], video, marks[1]),
            "audio": (config.audio_start_token_id, audio, config.audio_end_token_id),
        }
        special = [i for ids in self._media.values() for i in ids]
        self._words = min([*special, config.text_config.vocab_size]) - _FIRST_WORD

    def apply_chat_template(self, messages: list[dict[str, Any]], **_: Any) -> str:
        """Roles and words in order, media as <video> and <audio>."""
        parts = []
        for message in messages:
            parts.append(message["role"])
            parts += [
                f"<{part['type']}>" if part["type"] in self._media else part["text"] for part in message["content"]
            ]
        return " ".join([*parts, "assistant"])

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        ids: list[int] = []
        for word in text.split():
            media = self._media.get(word[1:-1])
            ids += media or [_FIRST_WORD + zlib.crc32(word.encode()) % self._words]
        return {"input_ids": ids}

    def decode(self, ids: Any, **_: Any) -> str:
        return "".join(f"{int(i)} " for i in ids)

    def get_vocab(self) -> dict[str, int]:
        return {}
