"""A method applied to everything that a stock thinker generates, and taken off again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from seats.costs.timers import StepTimer
from seats.errors import SettingsError
from seats.inference.engine import Attachment, Engine, KvPolicy, check_kv
from seats.inference.prepared import Prepared, watched
from seats.inference.refusals import check_method, check_places, refuse_candidates
from seats.methods.base import Method
from seats.models.thinker import Thinker, uncompiled


@contextmanager
def attach(
    thinker: nn.Module | Thinker,
    method: Method,
    *,
    kv: KvPolicy = "keep",
    prepared: Prepared | None = None,
    timer: StepTimer | None = None,
) -> Iterator[Attachment]:
    """Apply `method` to everything a stock thinker generates inside the context, and restore the model afterwards.

    thinker: a stock Qwen-Omni thinker, or a subclass; call its `generate()` as usual, one prompt at a time. Its
    forward by itself gives the logits of the last position only. kv: "keep" leaves the cache of early layers whole, so
    that decoding still sees what those layers saw; "drop" cuts dropped tokens out of every layer's cache, as the
    published code does. prepared: layout and saliency if the caller encoded the clip itself; else they are taken from
    the inputs of the thinker's forward. timer: gets the steps "selection" and "prefill".
    Contexts can be nested in one thread: the innermost method runs.
    Raises ModelError for what is no thinker; SettingsError for what is no method, one made for another number of
    decoder layers (if it has `num_layers`) or one that names layers which there are not, for another `kv`, for eager
    attention or layers with a sliding window, for a decoder on several devices, and while another thread or task has a
    method attached. Inside
    `generate()` raises SettingsError for batches, padding, more than one video or sound, no cache or one of a fixed
    length or of tokens that it did not see, assisted decoding, gradients, and where hidden states, attentions or a loss
    are asked for; ModelError where the model's numbers overflow (on a GPU with the second token, as to look is to
    wait); ValueError for a prompt that `prepared` is not of, and for what a method returns that is no selection;
    RuntimeError where the method calls sys.exit.

        with seats.attach(thinker, method) as attached:
            ids = thinker.generate(**inputs)
        print(attached.trace.retention("video"))
    """
    wrapped = thinker if isinstance(thinker, Thinker) else Thinker(thinker)
    check_kv(kv)
    attention = wrapped.text.config._attn_implementation
    if attention != "sdpa" and "flash" not in attention:
        # Both know causality by themselves: a mask of a whole prompt would be larger than the prompt.
        raise SettingsError(f'token selection needs SDPA or flash attention, not {attention}: load with "sdpa"')
    if "sliding_attention" in (getattr(wrapped.text.config, "layer_types", None) or ()):
        raise SettingsError(
            "token selection needs layers that see the whole prompt: this model's have a sliding window"
        )
    check_places(wrapped)
    check_method(method, len(wrapped.layers))
    attached = Attachment(method)
    watching = nullcontext(lambda: prepared) if prepared is not None else watched(wrapped, method.wants)
    with (
        _one_user(wrapped.text),
        uncompiled((wrapped.module, wrapped.text)),
        watching as prompts,
        _attention_of_any_length(wrapped.device),
        _replaced(wrapped.module, "_get_candidate_generator", refuse_candidates),
    ):
        engine = Engine(
            wrapped, method, kv, timer or StepTimer(wrapped.device), attached, prompts, mask_unknown=prepared is None
        )
        with _replaced(wrapped.text, "forward", engine.forward):
            yield attached


_attaching = threading.Lock()
_users: WeakKeyDictionary[nn.Module, list[tuple[int, int]]] = WeakKeyDictionary()
"""By text model, the thread and the asyncio task of every method that is attached to it."""


@contextmanager
def _one_user(text: nn.Module) -> Iterator[None]:
    """Raises SettingsError where another thread or task has a method attached: it would run here, and be left there."""
    try:
        task = id(asyncio.current_task())
    except RuntimeError:  # no loop runs in this thread
        task = 0
    me = threading.get_ident(), task
    with _attaching:
        users = _users.setdefault(text, [])
        if any(user != me for user in users):
            raise SettingsError(
                "another thread or task has a method attached to this model: take turns, or load it twice"
            )
        users.append(me)
    try:
        yield
    finally:
        users.remove(me)


_NOTHING = object()
_replacements: WeakKeyDictionary[nn.Module, dict[str, list[Any]]] = WeakKeyDictionary()
"""By module and attribute what was there first, and all that took its place, the latest last."""


@contextmanager
def _replaced(module: nn.Module, name: str, value: Any) -> Iterator[None]:
    """An attribute of this one module replaced, and put back as it was; contexts may end in any order."""
    values = _replacements.setdefault(module, {}).setdefault(name, [module.__dict__.get(name, _NOTHING)])
    values.append(value)
    setattr(module, name, value)
    try:
        yield
    finally:
        values.remove(value)
        if values[-1] is _NOTHING:
            delattr(module, name)
        else:
            setattr(module, name, values[-1])
        if len(values) == 1:
            del _replacements[module][name]


_switching = threading.Lock()
_switched = ExitStack()
"""What puts torch's switches back; empty while nothing is attached on a GPU."""
_on_gpus: list[torch.device] = []
"""Where the methods that are attached on a GPU are."""


@contextmanager
def _attention_of_any_length(device: torch.device) -> Iterator[None]:
    """Attention on a GPU without cuDNN, which torch may prefer: it makes a plan for every length that it has not seen,
    tens of milliseconds, and pruned prompts and their caches hardly ever have a length twice.

    torch has these switches once, for all models and threads: the first context turns them, the last to end turns them
    back."""
    if device.type != "cuda":
        yield
        return
    with _switching:
        if not _on_gpus:
            without_cudnn = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
            _switched.enter_context(sdpa_kernel(without_cudnn))
        _on_gpus.append(device)
    try:
        yield
    finally:
        with _switching:
            _on_gpus.remove(device)
            if not _on_gpus:
                _switched.close()
