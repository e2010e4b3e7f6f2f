"""A cache of keys and values with room for what is written next: stock code copies all of it for every new token."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 256
"""Tokens behind those held that a layer has room for when it is made, and again when that is used up: of a 7B, 15 MB in
all layers."""


def let_grow(cache: DynamicCache) -> None:
    """Give an empty cache layers with room. Those of other kinds stay, and so do those of an offloaded cache."""
    if cache.offloading:
        return
    empty = [type(layer) is DynamicLayer and not layer.is_initialized for layer in cache.layers]
    cache.layers[:] = [GrowingLayer() if new else layer for new, layer in zip(empty, cache.layers, strict=True)]
    if cache.layer_class_to_replicate is DynamicLayer:  # layers that it adds itself
        cache.layer_class_to_replicate = GrowingLayer


class GrowingLayer(DynamicLayer):
    """One decoder layer's keys and values, `[B, KVH, S, d]` each."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._room_for = _Room(), _Room()

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append `[B, KVH, new, d]` each; returns all keys and values."""
        if key_states.requires_grad or value_states.requires_grad:  # what a gradient needs must not be written over
            return super().update(key_states, value_states, *args, **kwargs)
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        keys, values = self._room_for
        self.keys, self.values = keys.appended(self.keys, key_states), values.appended(self.values, value_states)
        return self.keys, self.values


def keep_tokens(layer: Any, index: torch.Tensor) -> None:
    """Of a cache's layer, keep the tokens at positions `index` int64 `[K]` and free the memory of the others."""
    layer.keys, layer.values = layer.keys[:, :, index], layer.values[:, :, index]
    if isinstance(layer, GrowingLayer):
        layer._room_for = _Room(), _Room()


class _Room:
    """Memory that a tensor grows in."""

    def __init__(self) -> None:
        self._memory = self._used = torch.empty(0)

    def appended(self, held: torch.Tensor | None, new: torch.Tensor) -> torch.Tensor:
        """`held` `[B, KVH, S, d]`, None or without any values, with `new` behind it."""
        before = held.shape[-2] if held is not None and held.numel() else 0
        size = new.shape[-2]
        end = before + size
        mine = held is self._used and end <= self._memory.shape[-2]
        if not mine or (self._memory.is_inference() and not torch.is_inference_mode_enabled()):
            memory = new.new_empty(*new.shape[:-2], end + ROOM, new.shape[-1])
            if held is not None and before:
                memory.narrow(-2, 0, before).copy_(held)
            self._memory = memory
        self._memory.narrow(-2, before, size).copy_(new)
        self._used = self._memory.narrow(-2, 0, end)
        return self._used
