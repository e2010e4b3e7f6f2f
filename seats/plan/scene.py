"""What a method would see of a clip, and what it would leave of it: counts, without a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from seats.models.signals import EncoderWants
from seats.tokens.counts import Counts, Scored


@dataclass(frozen=True)
class Scene:
    """What a method would see. full: all tokens. question: text tokens behind the clip. per_grid: video tokens of a
    temporal grid. windows: interleaving windows that hold video and audio. hidden: size of an embedding; keys: of a
    video and an audio key."""

    family: str
    num_layers: int
    settings: dict[str, Any]
    full: Counts
    question: int
    per_grid: int
    windows: int
    hidden: int
    keys: tuple[int, int]


@dataclass(frozen=True)
class Selected:
    """What stays.

    layers: tokens entering each decoder layer; scored: each relevance; macs: multiply-adds of the
    method's choices; wants: of the encoders. exact: whether the tokens before the LLM are just these. slack: by how
    many tokens, at most, the total of a later layer may differ, because what the question finds relevant decides.
    diverse: tokens and window of each modality from which `select_diverse` chooses before the LLM; farthest: tokens of
    each from which `select_farthest` does.
    """

    layers: tuple[Counts, ...]
    scored: tuple[Scored, ...] = ()
    macs: int = 0
    wants: EncoderWants = field(default_factory=EncoderWants)
    exact: bool = True
    slack: int = 0
    diverse: tuple[tuple[int, int], ...] = ()
    farthest: tuple[int, ...] = ()

    @property
    def pre_llm(self) -> Counts:
        return self.layers[0]

    @property
    def last(self) -> Counts:
        return self.layers[-1]
