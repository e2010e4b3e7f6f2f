"""How finely a clip is looked at so that what is asked about it stays within a memory limit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from seats.keep import FULL, METHODS, Setting
from seats.media import FrameSampling
from seats.models.checkpoint import Checkpoint
from seats.plan.clip import clip_facts
from seats.plan.model import of_checkpoint
from seats.plan.plan import Ask
from seats.plan.prompt import text_tokens
from seats.plan.search import check_weights, fit

DEAREST = (
    FULL, Setting("seats", 1.0), Setting("visionzip-om", 35.0), Setting("omnizip", 35.0),
)  # fmt: skip
"""Beside these no method takes more memory in a model of real size, at any retention, but for what is not worth a
mention: full tokens in the decoder, the others in the encoders, which they ask for saliency over the most grids, for
keys of both modalities and for saliency over all of the sound. Each at a retention that it reaches in every model."""


@dataclass(frozen=True)
class Limit:
    """A memory limit in plain values, which travel to other processes.

    limit_bytes: for weights, activations and cache together. checkpoint: of the model that will run. ask: what will be
    asked about a clip; what it leaves open of fps, frames and pixels a `FrameSampling` says.
    """

    limit_bytes: int
    checkpoint: Checkpoint
    ask: Ask | None = None

    def check_weights(self, ask: Ask) -> None:
        """Raises OutOfMemoryError where the weights alone are too much."""
        check_weights(of_checkpoint(self.checkpoint), ask, self.limit_bytes)

    def sampling(
        self,
        path: str | os.PathLike[str],
        wanted: FrameSampling,
        *,
        video: bool = True,
        audio: bool = True,
        timeout_s: float | None = None,
    ) -> FrameSampling:
        """`wanted`, or the nearest rule below it with which what is asked stays within the limit.

        video, audio: whether the clip's pictures and sound are used. timeout_s: as for `probe`. Raises MediaError as
        `clip_facts` does, OutOfMemoryError where nothing fits, and SettingsError where that is too little video for a
        method's target.
        """
        if self.ask is None:
            return wanted
        clip = clip_facts(path, use_video=video, use_audio=audio, timeout_s=timeout_s)
        model = replace(of_checkpoint(self.checkpoint), sampling=wanted)
        chosen, _ = fit(model, clip, [self.ask], self.limit_bytes)
        return chosen.sampling(wanted)


def longest(questions: Sequence[str], checkpoint: Checkpoint, system: str | None) -> str:
    """The question with the most tokens; asked alike, no other takes more memory."""
    if len(questions) == 1:
        return questions[0]
    model = of_checkpoint(checkpoint)
    return max(questions, key=lambda question: text_tokens(model, question, system, True, True).total)


def foreseeable(method: str) -> str:
    """The method whose memory stands for a method's: its own, or that of full tokens where another package added it."""
    return method if method in METHODS else "full"
