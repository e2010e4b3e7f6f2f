"""The forward that takes the place of a stock decoder's own: a method takes tokens out on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NoReturn, get_args

import torch
from torch import nn
from transformers import DynamicCache
from transformers.modeling_outputs import MoeModelOutputWithPast

from seats.costs.timers import StepTimer
from seats.devices import host_sees, in_full_precision, usual_device
from seats.errors import ModelError, SettingsError
from seats.inference.growing_cache import keep_tokens, let_grow
from seats.inference.prepared import Prepared
from seats.inference.refusals import check_selection
from seats.inference.trace import Drop, Scored, Trace
from seats.methods.base import AfterLayer, BeforeLLM, Method, Selection
from seats.models import compat
from seats.models.thinker import Thinker
from seats.tokens.counts import Counts
from seats.tokens.layout import Modality, TokenLayout, count_modalities, positions_of

KvPolicy = Literal["keep", "drop"]


def check_kv(kv: Any) -> None:
    """Raise SettingsError for what is no `KvPolicy`."""
    if not isinstance(kv, str) or kv not in get_args(KvPolicy):
        raise SettingsError(f"kv policy {kv!r} is unknown: choose keep or drop")


class Attachment:
    """Handle of an attached method."""

    def __init__(self, method: Method) -> None:
        self.method = method
        self._record: Record | None = None

    @property
    def trace(self) -> Trace | None:
        """Of the latest prompt, None before the first. Reading it waits for the device."""
        return None if self._record is None else self._record.trace()

    def check_finite(self) -> None:
        """Raise ModelError if numbers of the latest prompt overflowed. Waits for the device."""
        if self._record is not None:
            self._record.check_finite()


@dataclass(eq=False)
class Record:
    """A trace being written. What it tells of single tokens stays on the device until someone reads it, so that a
    prefill never waits for it."""

    _trace: Trace
    _drops: list[Drop] = field(default_factory=list)
    _sums: list[torch.Tensor] = field(default_factory=list)  # one that is not finite has met a number that is not
    _makers: list[str | None] = field(default_factory=list)  # of each sum: the method that made what was added up

    @property
    def counts(self) -> Counts:
        """Tokens alive by now."""
        return self._drops[-1].counts if self._drops else self._trace.full

    def look_at(self, hidden: torch.Tensor, maker: str | None = None) -> None:
        """Note whether all of `hidden` is finite; where the host does not see it, for `check_finite` to say later.
        maker: name of the method that made it, None for what the model made."""
        self._sums.append(hidden.sum(dtype=torch.float32))
        self._makers.append(maker)
        if host_sees(hidden):
            self.check_finite()

    def check_finite(self) -> None:
        """Raise ModelError if something looked at since the last check was not finite. Waits for the device."""
        (sums, self._sums), (makers, self._makers) = (self._sums, []), (self._makers, [])
        found = torch.stack(sums).tolist() if sums else []
        for total, maker in zip(found, makers, strict=True):  # what comes after the first is only its consequence
            if math.isfinite(total):
                continue
            if maker is not None:
                raise ModelError(f"{maker} returned embeds that are not finite, of finite ones: look at how it merges")
            raise ModelError(
                "hidden states are not finite: load the model in bfloat16 or float32; if it is, its weights are damaged"
            )

    def trace(self) -> Trace:
        trace = self._trace
        trace.layout = trace.layout.to("cpu")
        trace.saliency = None if trace.saliency is None else trace.saliency.cpu()
        for drop in self._drops[len(trace.drops) :]:
            relevance = None if drop.relevance is None else drop.relevance.cpu()
            trace.drops.append(replace(drop, kept=drop.kept.cpu(), relevance=relevance))
        return trace


@dataclass(eq=False)
class _Alive:
    """The tokens still there, all tensors of the same length S."""

    hidden: torch.Tensor  # [1, S, D]
    tables: torch.Tensor  # [2, 1, S, d]: cos and sin of the rotary positions
    layout: TokenLayout
    visual: torch.Tensor | None  # bool [S]: tokens that DeepStack adds to
    deepstack: tuple[torch.Tensor, ...]

    @property
    def rotary(self) -> tuple[torch.Tensor, torch.Tensor]:
        cos, sin = self.tables
        return cos, sin

    def select(self, index: torch.Tensor, counts: Counts) -> _Alive:
        """Those at positions `index` int64 `[K]`, which are `counts`."""
        visual, deepstack = self.visual, self.deepstack
        if visual is not None and deepstack:
            # Of what DeepStack adds to, only video can go.
            left = len(deepstack[0]) - (self.layout.counts().video - counts.video)
            rows = (visual.cumsum(0) - 1)[index]
            visual = visual[index]
            rows = rows[positions_of(visual, left)]
            deepstack = tuple(features[rows] for features in deepstack)
        hidden, tables = self.hidden.index_select(1, index), self.tables.index_select(2, index)
        return _Alive(hidden, tables, self.layout.select(index, counts), visual, deepstack)

    def add_deepstack(self) -> None:
        """Add to the output of the next of the first decoder layers what belongs there, and forget it."""
        if self.visual is None or not self.deepstack:
            return
        features = self.deepstack[0].to(self.hidden.dtype)
        self.hidden[:, positions_of(self.visual, len(features))] += features
        self.deepstack = self.deepstack[1:]


class Engine:
    """The forward that takes the place of the text model's own.

    prompts: gives what is known of the prompt that comes. mask_unknown: whether it may be padded; to look is to wait
    for the device, at every token.
    """

    def __init__(
        self,
        thinker: Thinker,
        method: Method,
        kv: KvPolicy,
        timer: StepTimer,
        attached: Attachment,
        prompts: Callable[[], Prepared],
        *,
        mask_unknown: bool,
    ) -> None:
        self.thinker, self.method, self.kv, self.timer, self.attached = thinker, method, kv, timer, attached
        self.prompts, self.mask_unknown = prompts, mask_unknown

    def __reduce__(self) -> NoReturn:
        # No context would ever end that of a copy.
        raise SettingsError("a model with a method attached cannot be copied: leave the context first")

    @usual_device()
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: Any = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        visual_pos_masks: torch.Tensor | None = None,
        deepstack_visual_embeds: Any = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **others: Any,
    ) -> MoeModelOutputWithPast:
        if inputs_embeds is None:
            inputs_embeds = self.thinker.text.embed_tokens(input_ids)
        if torch.is_grad_enabled() and (inputs_embeds.requires_grad or self._trains()):
            raise SettingsError("token selection is for answers, not for training: run it under torch.no_grad()")
        if output_hidden_states or output_attentions:
            raise SettingsError(
                "token selection hands out no hidden states or attentions: leave out output_hidden_states and "
                "output_attentions (a full Omni model asks for them where it is to speak: let it write text alone)"
            )
        if inputs_embeds.shape[0] != 1:
            raise SettingsError("token selection works on one prompt at a time: generate without a batch or beams")
        if self.mask_unknown and isinstance(attention_mask, torch.Tensor) and not bool(attention_mask.all()):
            raise SettingsError("token selection works on one prompt without padding: remove the padding")
        if position_ids is None:
            raise SettingsError("token selection needs the position ids that generate() makes")
        if not (self.thinker.text.config.use_cache if use_cache is None else use_cache):
            raise SettingsError("token selection needs the cache, or it would choose anew for every word: leave it on")
        cache = compat.cache_of(others)
        if cache is None:
            cache = DynamicCache(config=self.thinker.text.config)
        if not isinstance(cache, DynamicCache):
            raise SettingsError("token selection needs a cache that grows: leave out cache_implementation")
        # Stock code takes one row for all three axes, too.
        positions = position_ids[-3:] if position_ids.ndim == 3 else position_ids.expand(3, *position_ids.shape)
        past = cache.get_seq_length()
        if past:
            record = self._continued(attention_mask, past, inputs_embeds.shape[1])
            hidden = self._extend(inputs_embeds, positions, cache, record)
        else:
            deepstack = tuple(deepstack_visual_embeds or ())
            visual = None if visual_pos_masks is None else visual_pos_masks[0]
            hidden = self._prefill(inputs_embeds, positions, cache, visual, deepstack)
        output: dict[str, Any] = {"last_hidden_state": hidden, compat.CACHE: cache}
        return MoeModelOutputWithPast(**output)

    def _trains(self) -> bool:
        """Whether some of the decoder is being trained, as adapters are, whose embeddings need no gradient."""
        return any(parameter.requires_grad for parameter in self.thinker.text.parameters())

    def _continued(self, attention_mask: Any, past: int, new: int) -> Record:
        """What is known of the tokens before `new` ones. Raises SettingsError where those that this engine has seen are
        not they: given a cache, `generate()` takes what its first layer holds, `past` tokens, for all, and those that
        were dropped for new."""
        record = self.attached._record
        seen = None if record is None else record._trace.full.total + record._trace.decoded_tokens
        before = seen if new == 1 else past
        if isinstance(attention_mask, torch.Tensor):  # generate() leaves one out that says nothing, since 5.23
            before = attention_mask.shape[-1] - new
        if record is None or before != seen:
            raise SettingsError(
                "token selection cannot go on from this cache: give the whole prompt, and leave out "
                f"{compat.CACHE} and guidance_scale"
            )
        return record

    def _extend(self, embeds: torch.Tensor, positions: torch.Tensor, cache: Any, record: Record) -> torch.Tensor:
        """Decoding: new tokens after the cached ones, whatever each layer's cache still holds."""
        record.check_finite()  # generate() has waited for the first token, so this waits for nothing
        rotary = self.thinker.text.rotary_emb(embeds, positions)
        hidden, new = embeds, embeds.shape[1]
        for index, layer in enumerate(self.thinker.layers):
            mask = None
            if new > 1 and self.thinker.text.config._attn_implementation == "sdpa":
                cached = cache.get_seq_length(index)
                mask = torch.ones(new, cached + new, dtype=torch.bool, device=embeds.device).tril(cached)[None, None]
            hidden = self._run(layer, hidden, mask, rotary, cache)
        record._trace.decoded_tokens += new
        return self.thinker.text.norm(hidden)

    def _prefill(
        self,
        embeds: torch.Tensor,
        positions: torch.Tensor,
        cache: Any,
        visual: torch.Tensor | None,
        deepstack: tuple[torch.Tensor, ...],
    ) -> torch.Tensor:
        prepared = self.prompts()
        layout = prepared.layout
        if len(layout) != embeds.shape[1]:
            raise ValueError(f"prepared is of {len(layout)} tokens, the prompt has {embeds.shape[1]}")
        if prepared.deepstack:
            visual, deepstack = layout.is_modality(Modality.VIDEO), prepared.deepstack
        let_grow(cache)
        trace = Trace(layout.counts(), layout, saliency=prepared.saliency)
        record = self.attached._record = Record(trace)

        with self.timer.step("prefill"):
            record.look_at(embeds)
            # No name for the tables of all tokens: they would stay for the whole prefill.
            alive = _Alive(
                embeds, torch.stack(self.thinker.text.rotary_emb(embeds, positions)), layout, visual, deepstack
            )
        with self.timer.step("selection"):
            with in_full_precision(embeds.device), _exit_as_error(self.method):
                chosen = self.method.before_llm(BeforeLLM(embeds[0], layout, prepared.saliency, prepared.keys))
            check_selection(chosen, self.method, embeds[0])
            if chosen is not None and chosen.embeds is not None:
                alive.hidden = chosen.embeds[None].to(embeds.dtype)
            cuts = _Cuts()
            alive = self._drop(alive, chosen, 0, cuts, record)
            self._look_at_merged(alive, chosen, record)

        done, last, moments = 0, len(self.thinker.layers), set(self.method.layers)
        for moment in sorted(moments | {last}):
            # Layers between two moments are timed as one: every measurement is work for the device, too.
            with self.timer.step("prefill"):
                rotary = alive.rotary
                for number in range(done + 1, moment + 1):
                    trace.layers.append(record.counts)
                    alive.hidden = self._run(self.thinker.layers[number - 1], alive.hidden, None, rotary, cache)
                    alive.add_deepstack()
                record.look_at(alive.hidden)
            if moment in moments:
                with self.timer.step("selection"):
                    alive = self._after_layer(alive, moment, cuts, record)
            done = moment
        if not cache.get_seq_length():
            raise SettingsError("layers in training leave the cache empty: call eval() on the model first")
        if self.kv == "drop":
            with self.timer.step("selection"):
                cuts.apply(cache)
        trace.cache_tokens = [cache.get_seq_length(i) for i in range(len(self.thinker.layers))]
        with self.timer.step("prefill"):
            # The head reads only the last position; the stock code runs it over all of them.
            return self.thinker.text.norm(alive.hidden[:, -1:])

    def _after_layer(self, alive: _Alive, number: int, cuts: _Cuts, record: Record) -> _Alive:
        scores: dict[str, torch.Tensor] = {}
        hidden, rotary, question = alive.hidden, alive.rotary, alive.layout.question()

        def once(name: str, queries: int, score: Callable[[], torch.Tensor]) -> torch.Tensor:
            if name not in scores:
                scores[name] = score()
                record._trace.scored.append(Scored(number, hidden.shape[1], queries))
            return scores[name].clone()  # a method may write over what it is given

        def relevance() -> torch.Tensor:
            return once("last", 1, lambda: self.thinker.relevance(number, hidden, rotary))

        def question_relevance() -> torch.Tensor:
            return once("question", question, lambda: self.thinker.question_relevance(number, hidden, rotary, question))

        state = AfterLayer(number, hidden[0], alive.layout, relevance, question_relevance)
        with _exit_as_error(self.method):
            chosen = self.method.after_layer(state)
        check_selection(chosen, self.method, hidden[0])
        if chosen is not None and chosen.embeds is not None:
            alive = replace(alive, hidden=chosen.embeds[None].to(alive.hidden.dtype))
        alive = self._drop(alive, chosen, number, cuts, record, next(iter(scores.values()), None))
        self._look_at_merged(alive, chosen, record)
        return alive

    def _look_at_merged(self, alive: _Alive, chosen: Selection | None, record: Record) -> None:
        if chosen is not None and chosen.embeds is not None:
            record.look_at(alive.hidden, self.method.name)

    @staticmethod
    def _drop(
        alive: _Alive,
        chosen: Selection | None,
        after_layer: int,
        cuts: _Cuts,
        record: Record,
        scores: torch.Tensor | None = None,
    ) -> _Alive:
        if chosen is None:
            return alive
        record._trace.selection_macs += chosen.macs
        keep = chosen.keep | alive.layout.is_modality(Modality.TEXT)
        counts = _counted(keep, alive, chosen.counts)
        index = positions_of(keep, counts.total)
        alive = alive.select(index, counts)
        cuts.add(after_layer, index)
        record._drops.append(Drop(after_layer, alive.layout.origin, counts, scores))
        return alive

    @staticmethod
    def _run(
        layer: nn.Module,
        hidden: torch.Tensor,
        mask: torch.Tensor | None,
        rotary: tuple[torch.Tensor, torch.Tensor],
        cache: Any,
    ) -> torch.Tensor:
        return layer(hidden, attention_mask=mask, position_embeddings=rotary, use_cache=True, **{compat.CACHE: cache})


@contextmanager
def _exit_as_error(method: Method) -> Iterator[None]:
    """Raise RuntimeError where a method's own code would end the program: it is to fail the answer in hand alone."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"{method.name} calls sys.exit({error.code!r})") from error


class _Cuts:
    """What each layer's cache loses where dropped tokens leave it too: every drop after the layer, in one copy."""

    def __init__(self) -> None:
        self._drops: list[tuple[int, torch.Tensor]] = []

    def add(self, after_layer: int, index: torch.Tensor) -> None:
        """index: int64 positions that stay, of those that stayed before."""
        self._drops.append((after_layer, index))

    def apply(self, cache: Any) -> None:
        stays: torch.Tensor | None = None
        for number in range(len(self._drops) - 1, -1, -1):
            after_layer, index = self._drops[number]
            stays = index if stays is None else index[stays]
            first = self._drops[number - 1][0] if number else 0
            for layer in cache.layers[first:after_layer]:
                keep_tokens(layer, stays)


def _counted(keep: torch.Tensor, alive: _Alive, said: Counts | None) -> Counts:
    """What `keep` leaves of each modality: as the method said, else one copy from the device.

    Raises ValueError where it is not what the method said and the host can see it.
    """
    modality = alive.layout.modality
    if not host_sees(keep):
        return said or count_modalities(torch.where(keep, modality, -1))
    counts = Counts(*torch.bincount(modality[keep], minlength=len(Modality)).tolist())
    if said not in (None, counts):
        raise ValueError(f"a method said it keeps {said}, but its mask keeps {counts}")
    return counts
