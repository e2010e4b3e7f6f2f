"""What a token-selection method is: a small object with two moments, before the LLM and after chosen layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from numbers import Integral
from typing import Any, ClassVar

import torch

from seats.checks import check_kind, check_number, check_whole, plain, set_checked
from seats.errors import SettingsError
from seats.keep import PAIRS
from seats.models.signals import EncoderWants
from seats.selection.stages import SINGLE_TURN, wrong_settings
from seats.tokens.counts import Counts
from seats.tokens.layout import Modality, TokenLayout


@dataclass(frozen=True)
class ModelShape:
    """The little a method needs to know about a model to set itself up.

    family: "qwen2.5-omni" or "qwen3-omni". num_layers: decoder layers, >= 1. settings: what the model's own
    `seats.json` says, empty where there is none. Raises SettingsError for anything else.
    """

    family: str
    num_layers: int
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        set_checked(self, check_whole, "num_layers")
        check_kind("settings", self.settings, dict, "a dict, empty for a model without seats.json")
        if not isinstance(self.family, str) or self.family not in PAIRS:
            raise SettingsError(f"unknown family {self.family!r}: choose {' or '.join(PAIRS)}")
        if self.num_layers < 1:
            raise SettingsError(f"num_layers is {self.num_layers}; a decoder has at least 1")
        borders = {key: plain(value) for key, value in self.settings.items() if key != SINGLE_TURN}
        if borders and (wrong := wrong_settings(borders, self.num_layers)):
            raise SettingsError(f"settings: {wrong}")
        object.__setattr__(self, "settings", borders)


@dataclass(frozen=True)
class Retention:
    """Target retention of each modality: share of its tokens alive, averaged over the decoder layers, in (0, 1].

    Raises SettingsError outside that range, and for what is no number.
    """

    video: float
    audio: float

    def __post_init__(self) -> None:
        set_checked(self, lambda what, ratio: check_number(f"the share of {what} tokens", ratio), "video", "audio")
        for what, ratio in (("video", self.video), ("audio", self.audio)):
            if not 0 < ratio <= 1:
                raise SettingsError(f"cannot keep {100 * ratio:g} % of the {what} tokens: choose 0 < share <= 100 %")


@dataclass(frozen=True, eq=False)
class BeforeLLM:
    """All a method sees before the LLM.

    embeds: `[S, D]` as they would enter the LLM. layout: of the `S` tokens. saliency: float32 `[S]`, attention the
    token received in its encoder (0 for text and for a modality whose saliency was not asked for); None if there is
    none at all. keys: float32 `[N, d]` per modality, of its tokens in sequence order; empty unless asked for.
    """

    embeds: torch.Tensor
    layout: TokenLayout
    saliency: torch.Tensor | None
    keys: Mapping[Modality, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class AfterLayer:
    """All a method sees after a decoder layer.

    layer: 1-based number of the layer that has just run. hidden: its output `[S, D]`, on Qwen3-Omni with the DeepStack
    features that belong there, as published. layout: of the `S` tokens still there. relevance: computes, once, the
    float32 `[S]` attention the last text token pays to each of them, with the weights of the layer that has run, as
    published. question_relevance: computes, once, the float32 `[S]` attention the text behind the clip is about to pay
    to them in the next layer, mean over its tokens.
    """

    layer: int
    hidden: torch.Tensor
    layout: TokenLayout
    relevance: Callable[[], torch.Tensor]
    question_relevance: Callable[[], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Selection:
    """What stays. keep: bool `[S]`; the engine keeps text whatever it says. embeds: `[S, D]` to go on with instead of
    the ones given (for methods that merge tokens into others), None for unchanged. macs: multiply-adds the choice
    took, beside saliency and relevance, which the engine counts itself. counts: what `keep` and the text come to, where
    the method knows it; else the engine asks the device, which waits for it."""

    keep: torch.Tensor
    embeds: torch.Tensor | None = None
    macs: int = 0
    counts: Counts | None = None


@dataclass(frozen=True, eq=False)  # a subclass that is no dataclass would be equal to all of its class
class Method(ABC):
    """Base of all methods. Subclasses are frozen dataclasses whose fields are their whole configuration."""

    name: ClassVar[str]
    source: ClassVar[str]
    """Where the method comes from: paper or repository."""
    wants: ClassVar[EncoderWants] = EncoderWants()
    """What `before_llm` wants read off the encoders."""
    reads_text_before_llm: ClassVar[bool] = True
    """Whether what `before_llm` chooses may depend on the text, or on where it stands. False, for a choice by video and
    audio alone, lets a conversation make it once for all questions about a clip."""

    @classmethod
    @abstractmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> Method:
        """The method set up for a model and a target. seed: of what the method draws itself, in [0, 2**63). Raises
        SettingsError if it can't reach the target."""

    @property
    def layers(self) -> tuple[int, ...]:
        """Decoder layers (1-based) after which `after_layer` is called, ascending."""
        return ()

    def before_llm(self, state: BeforeLLM) -> Selection | None:
        """Choose among all tokens, None to keep all."""
        return None

    def after_layer(self, state: AfterLayer) -> Selection | None:
        """Choose among the tokens alive after layer `state.layer`, None to keep all."""
        return None

    def settings(self) -> dict[str, Any]:
        """The configuration as plain values, for reports."""
        return {"name": self.name, **{key: plain(value) for key, value in asdict(self).items()}}


def check_layers(method: Method, num_layers: int) -> None:
    """Raise SettingsError for a method that was not made for a decoder of that many layers, and for one that names
    layers which cannot be."""
    after, made_for = method.layers, getattr(method, "num_layers", None)
    if not isinstance(after, Sequence) or not all(isinstance(number, Integral) for number in after):
        raise SettingsError(f"{method.name}.layers is {after!r}; it must be a tuple of whole numbers")
    if made_for not in (None, num_layers):
        raise SettingsError(
            f"{method.name} was made for another model: this one has {num_layers} decoder layers, which is what the "
            "ModelShape that for_model() gets must say"
        )
    if any(not 1 <= number <= num_layers for number in after):
        raise SettingsError(f"{method.name}.layers is {after!r}; this model's decoder layers are 1 to {num_layers}")


@dataclass(frozen=True)
class Wrapper(Method):
    """A method that runs another one and does something beside. It is made around that one, never chosen by name."""

    inner: Method

    name: ClassVar[str] = "wrapper"
    source: ClassVar[str] = "this package"

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.inner.name)  # errors are about the one that was chosen

    @classmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> Method:
        raise SettingsError("this method only runs another one: choose that")

    @property
    def layers(self) -> tuple[int, ...]:
        return self.inner.layers

    def before_llm(self, state: BeforeLLM) -> Selection | None:
        return self.inner.before_llm(state)

    def after_layer(self, state: AfterLayer) -> Selection | None:
        return self.inner.after_layer(state)

    def settings(self) -> dict[str, Any]:
        return self.inner.settings()
