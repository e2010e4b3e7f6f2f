"""A stock thinker seen through what the engine needs: its encoders, its decoder layers, saliency and relevance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from seats.devices import in_full_precision, moved
from seats.errors import ModelError
from seats.models import compat
from seats.models.families import Family, GridTables, family_of, rotate
from seats.models.signals import EncoderWants, Signals
from seats.models.window_attention import uses_window_attention
from seats.selection.relevance import last_query_relevance, question_relevance
from seats.tokens.sequence import SequenceRule

PATCHES_AT_ONCE = 32_768
"""Patches that the vision encoder works on at a time: enough to keep a GPU busy, little beside a large model (1 GB in
16 bits), and for a clip that is still being read soon there. No attention goes beyond a temporal grid, so that a long
clip can be encoded in parts."""
_GRIDS_KNOWN = 4

Step = Callable[[str], AbstractContextManager[Any]]
"""Takes the time of a named step, as `StepTimer.step` does."""


@dataclass(frozen=True, eq=False)
class EncodedVideo:
    """embeds `[Nv, D]`; signals: what was wanted; deepstack: per injected layer `[Nv, D]` (Qwen3-Omni)."""

    embeds: torch.Tensor
    signals: dict[EncoderWants, Signals]
    deepstack: tuple[torch.Tensor, ...] = ()

    @classmethod
    def joined(cls, parts: list[EncodedVideo]) -> EncodedVideo:
        """Parts of a clip, in order, as one."""
        if len(parts) == 1:
            return parts[0]

        def whole(tensors: list[Any]) -> Any:
            return None if tensors[0] is None else torch.cat(tensors)

        signals = {}
        for want in parts[0].signals:
            found = [part.signals[want] for part in parts]
            signals[want] = Signals(whole([one.saliency for one in found]), whole([one.keys for one in found]))
        deepstack = zip(*(part.deepstack for part in parts), strict=True)
        return cls(whole([part.embeds for part in parts]), signals, tuple(whole(list(one)) for one in deepstack))


@dataclass(frozen=True, eq=False)
class EncodedAudio:
    """embeds `[Na, D]`; signals: what was wanted."""

    embeds: torch.Tensor
    signals: dict[EncoderWants, Signals]


class Thinker:
    """Wraps a stock `Qwen2_5OmniThinkerForConditionalGeneration`, its Qwen3-Omni counterpart, or a subclass of them.

    Raises ModelError if the module is not one of them.
    """

    def __init__(self, module: nn.Module) -> None:
        family = family_of(getattr(module, "config", None))
        if family is None or family.thinker_class not in {cls.__name__ for cls in type(module).__mro__}:
            raise ModelError(
                f"{type(module).__name__} is not a Qwen-Omni thinker: pass a "
                "Qwen2_5OmniThinkerForConditionalGeneration or Qwen3OmniMoeThinkerForConditionalGeneration "
                "(of a full Omni model its .thinker, of a wrapper such as PEFT's or torch.compile's what it wraps)"
            )
        # torch's types hide what stock modules hold, so they are Any here.
        self.module: Any = module
        self.family: Family = family
        self.config = module.config
        self.text = compat.text_model(module)
        self.vision = compat.vision_encoder(module)
        self.audio = compat.audio_encoder(module)
        self._grids: dict[tuple[tuple[int, int, int], torch.device], GridTables] = {}

    @property
    def layers(self) -> Any:
        return self.text.layers

    @property
    def device(self) -> torch.device:
        return self.text.embed_tokens.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.text.embed_tokens.weight.dtype

    @property
    def rule(self) -> SequenceRule:
        return self.family.sequence_rule(self.config)

    @torch.inference_mode()
    def encode_video(
        self,
        patches: torch.Tensor,
        grid: tuple[int, int, int],
        *wants: EncoderWants,
        step: Step = lambda _name: nullcontext(),
    ) -> EncodedVideo:
        """Run the vision encoder, a long clip part by part.

        patches: `[T * Hp * Wp, C]`; grid: (T, Hp, Wp) in patches; wants: of methods; step: takes the time of
        "encode_video" and "saliency".
        """
        area = grid[1] * grid[2]
        at_once = grids_at_once(area, wants)
        parts = []
        for first in range(0, grid[0], at_once):
            grids = min(at_once, grid[0] - first)
            rows = patches[first * area : (first + grids) * area]
            parts.append(self.encode_grids(rows, (grids, grid[1], grid[2]), *wants, step=step))
        return EncodedVideo.joined(parts)

    @torch.inference_mode()
    def encode_grids(
        self,
        patches: torch.Tensor,
        grid: tuple[int, int, int],
        *wants: EncoderWants,
        step: Step = lambda _name: nullcontext(),
    ) -> EncodedVideo:
        """Run the vision encoder once, as `encode_video` does for every `grids_at_once` grids of a clip."""
        with self.vision_probe(any(want.of_video for want in wants)) as captured, step("encode_video"):
            patches = moved(patches, self.device).to(self.vision.dtype)
            # Stock code makes the tables itself, at every call and partly on the host, which a GPU has to wait for.
            tables = self._tables_of(grid).encoder if uses_window_attention(self.vision) else {}
            thw = torch.tensor([grid])
            out = self.vision(patches, grid_thw=thw if tables else thw.to(self.device), **tables)
        signals = {}
        for want in wants:
            if want.of_video:
                with step("saliency"):
                    signals[want] = self.vision_signals(captured, grid, want)
        return EncodedVideo(out.pooler_output, signals, tuple(getattr(out, "deepstack_features", None) or ()))

    @torch.inference_mode()
    def encode_audio(
        self, mel: torch.Tensor, *wants: EncoderWants, step: Step = lambda _name: nullcontext()
    ) -> EncodedAudio:
        """Run the audio encoder on log-mel features `[bins, frames]`; wants: of the methods; step: takes the time of
        "encode_audio" and "saliency"."""
        with self.audio_probe(any(want.of_audio for want in wants)) as captured, step("encode_audio"):
            mel, frames = moved(mel, self.device).to(self.audio.dtype), torch.tensor([mel.shape[1]])
            if uses_window_attention(self.audio):  # as in `encode_grids`
                tables = self.family.sound_tables(self.audio, mel.shape[1], self.device)
                out = self.audio(
                    mel, feature_lens=frames, padded_feature=_in_chunks(mel, 2 * self.audio.n_window), **tables
                )
            else:
                out = self.audio(mel, feature_lens=frames.to(self.device))
        signals = {}
        for want in wants:
            if want.of_audio:
                with step("saliency"):
                    signals[want] = self.audio_signals(captured, want)
        return EncodedAudio(out.last_hidden_state, signals)

    def vision_signals(
        self, captured: dict[str, torch.Tensor], grid: tuple[int, int, int], wants: EncoderWants
    ) -> Signals:
        """What is wanted of the `Nv` video tokens, from what `vision_probe` caught. grid: (T, Hp, Wp) in patches."""
        with in_full_precision(self.device):
            return self.family.vision_signals(self.vision, captured, grid, wants, self._tables_of(grid).order)

    def _tables_of(self, grid: tuple[int, int, int]) -> GridTables:
        """The tables of a grid, kept: a clip has two, that of its parts and that of its last part."""
        key = grid, self.device
        if key not in self._grids:
            while len(self._grids) >= _GRIDS_KNOWN:
                del self._grids[next(iter(self._grids))]
            self._grids[key] = self.family.grid_tables(self.vision, grid, self.device)
        return self._grids[key]

    def audio_signals(self, captured: dict[str, torch.Tensor], wants: EncoderWants) -> Signals:
        """What is wanted of the `Na` audio tokens, from what `audio_probe` caught."""
        with in_full_precision(self.device):
            return self.family.audio_signals(self.audio, captured, wants)

    @contextmanager
    def vision_probe(self, enabled: bool = True) -> Iterator[dict[str, torch.Tensor]]:
        """Catch the outputs of the last vision block's query and key projections and its rotary tables."""
        captured: dict[str, torch.Tensor] = {}

        def keep_rotary(_module: nn.Module, _args: tuple, kwargs: dict[str, Any]) -> None:
            captured["cos"], captured["sin"] = kwargs["position_embeddings"]

        if not enabled:
            yield captured
            return
        attention = self.vision.blocks[-1].attn
        with (
            uncompiled(self.vision.modules()),
            _capture(self.family.vision_projections(self.vision), captured),
            attention.register_forward_pre_hook(keep_rotary, with_kwargs=True),
        ):
            yield captured

    @contextmanager
    def audio_probe(self, enabled: bool = True) -> Iterator[dict[str, torch.Tensor]]:
        """Catch the outputs of the last audio layer's query and key projections."""
        captured: dict[str, torch.Tensor] = {}
        if not enabled:
            yield captured
            return
        with uncompiled(self.audio.modules()), _capture(self.family.audio_projections(self.audio), captured):
            yield captured

    def relevance(self, layer: int, hidden: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Attention float32 `[S]` that the last token pays to every token, as SEATS and FastV score it.

        layer: 1-based number of the decoder layer that has just run. hidden: its output `[1, S, D]`. rotary: (cos,
        sin) `[1, S, d]` of the tokens. The weights of layer `layer` are applied to its own output, as the published
        code does; only one query row is projected.
        """
        block = self.layers[layer - 1]
        q, k = _queries_and_keys(block, hidden, rotary, 1)
        with in_full_precision(self.device):
            return last_query_relevance(q[0], k, block.self_attn.scaling)

    def question_relevance(
        self, layer: int, hidden: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor], queries: int
    ) -> torch.Tensor:
        """Attention float32 `[S]` that the last `queries` tokens pay to every token, mean over them.

        It is the attention that the next decoder layer is about to compute, mean over heads. layer, hidden,
        rotary: as for `relevance`; the last layer, which no other follows, stands in for its own next.
        """
        block = self.layers[min(layer, len(self.layers) - 1)]
        q, k = _queries_and_keys(block, hidden, rotary, queries)
        with in_full_precision(self.device):
            return question_relevance(q, k, block.self_attn.scaling)


def _queries_and_keys(
    block: Any, hidden: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor], queries: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a decoder layer's attention makes of `hidden` `[1, S, D]`, rotated: q `[queries, H, d]` of the last tokens,
    k `[S, KVH, d]` of all."""
    attention = block.self_attn
    x = block.input_layernorm(hidden)[0]
    q = attention.q_proj(x[-queries:]).view(queries, -1, attention.head_dim)
    k = attention.k_proj(x).view(x.shape[0], -1, attention.head_dim)
    if hasattr(attention, "q_norm"):
        q, k = attention.q_norm(q), attention.k_norm(k)
    cos, sin = rotary[0][0], rotary[1][0]
    return rotate(q, cos[-queries:], sin[-queries:]), rotate(k, cos, sin)


def grids_at_once(area: int, wants: Iterable[EncoderWants]) -> int:
    """Temporal grids of `area` patches that are encoded together: whole windows of the saliency, at least one."""
    window = math.lcm(*(want.video_grids for want in wants if want.video_grids is not None))
    return max(window, PATCHES_AT_ONCE // area // window * window)


def _in_chunks(mel: torch.Tensor, size: int) -> torch.Tensor:
    """`[bins, frames]` as the audio encoder takes it: `[C, bins, size]`, the last chunk filled up with zeros; of fewer
    frames than `size` one chunk without any."""
    bins, frames = mel.shape
    size = min(size, frames)
    return F.pad(mel, (0, -frames % size)).view(bins, -1, size).transpose(0, 1)


@contextmanager
def uncompiled(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Run these as if `module.compile()` had not been called: compiled code passes by the hooks that catch signals, and
    cannot take tokens out of a prompt."""
    compiled = [(module, impl) for module in modules if (impl := module._compiled_call_impl) is not None]
    for module, _ in compiled:
        module._compiled_call_impl = None
    try:
        yield
    finally:
        for module, impl in compiled:
            module._compiled_call_impl = impl


@contextmanager
def _capture(modules: dict[str, nn.Module], into: dict[str, torch.Tensor]) -> Iterator[None]:
    """Store the outputs of `modules` under their names while the context is open."""

    def hook_for(name: str) -> Any:
        def hook(_module: nn.Module, _args: tuple, output: torch.Tensor) -> None:
            into[name] = output

        return hook

    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.enter_context(module.register_forward_hook(hook_for(name)))
        yield
