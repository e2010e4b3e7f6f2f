"""What the patched prefill is not for, told before anything goes wrong."""

from __future__ import annotations

from numbers import Integral
from typing import Any, NoReturn

import torch

from seats.errors import SettingsError
from seats.methods.base import Method, Selection, Wrapper, check_layers
from seats.models.thinker import Thinker


def check_places(thinker: Thinker) -> None:
    """Raise SettingsError for a decoder that is spread over devices, or partly on none of them (offloaded)."""
    found = {str(next(part.parameters()).device) for part in (thinker.text.embed_tokens, *thinker.layers)}
    if len(found) > 1 or "meta" in found:
        raise SettingsError(
            f"token selection needs the whole decoder on one device, not {' and '.join(sorted(found))}: load without "
            'device_map, or with device_map={"": 0}'
        )


def check_method(method: Any, layers: int) -> None:
    """Raise SettingsError for what is no method, one that was not made for a decoder of that many layers, and one that
    names layers which cannot be."""
    if not isinstance(method, Method):
        raise SettingsError(f"{method!r} is no method: make one with seats.method_class(...).for_model(...)")
    while isinstance(method, Wrapper):
        method = method.inner
    check_layers(method, layers)


def check_selection(chosen: Any, method: Method, hidden: torch.Tensor) -> None:
    """Raise ValueError for what a method must not return about the tokens `hidden` `[S, D]`."""
    if chosen is None:
        return
    fits = (
        isinstance(chosen, Selection)
        and _like(chosen.keep, hidden.shape[:1], hidden.device)
        and chosen.keep.dtype == torch.bool
        and (chosen.embeds is None or _like(chosen.embeds, hidden.shape, hidden.device))
        and (chosen.embeds is None or chosen.embeds.is_floating_point())
        and isinstance(chosen.macs, Integral)
        and chosen.macs >= 0
    )
    if not fits:
        raise ValueError(
            f"{method.name} must return None or a Selection with keep: bool [{len(hidden)}] and, if it merges, embeds: "
            f"{list(hidden.shape)} of floats, both tensors on {hidden.device}; macs: a whole number, not below 0"
        )


def _like(value: Any, shape: torch.Size, device: torch.device) -> bool:
    return isinstance(value, torch.Tensor) and value.shape == shape and value.device == device


def refuse_candidates(*_: Any, **__: Any) -> NoReturn:
    # Candidates would be part of the prompt, and choose with it which tokens stay.
    raise SettingsError(
        "token selection works with one new token after another: leave out assistant_model and prompt_lookup_num_tokens"
    )
