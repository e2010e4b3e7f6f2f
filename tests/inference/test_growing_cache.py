"""Layers with room hold what stock ones hold, and new tokens are written without copying the others."""

import weakref
from copy import deepcopy

import pytest
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from seats.inference import growing_cache
from seats.inference.attach import attach
from seats.inference.growing_cache import GrowingLayer, keep_tokens, let_grow
from seats.methods import Full
from tests.tiny import FAMILIES, tiny_inputs, tiny_thinker

ROOM = 5


@pytest.fixture(autouse=True)
def little_room(monkeypatch):
    monkeypatch.setattr(growing_cache, "ROOM", ROOM)


def tokens(number: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values of so many tokens."""
    return torch.randn(2, 1, 3, number, 4, generator=torch.Generator().manual_seed(seed)).unbind()


def grown(*numbers: int) -> GrowingLayer:
    layer = GrowingLayer()
    for seed, number in enumerate(numbers):
        layer.update(*tokens(number, seed))
    return layer


@pytest.mark.parametrize("sizes", [(7, 1, 1, 1), (1, *[1] * 20), (3, 4, 9, 1, 2), (2, ROOM, 1)])
def test_a_layer_holds_what_a_stock_one_holds(sizes):
    stock, ours = DynamicLayer(), GrowingLayer()
    for seed, size in enumerate(sizes):
        new = tokens(size, seed)
        for mine, theirs in zip(ours.update(*new), stock.update(*new), strict=True):
            assert torch.equal(mine, theirs)
        assert torch.equal(ours.keys, stock.keys)
        assert torch.equal(ours.values, stock.values)
        assert ours.get_seq_length() == stock.get_seq_length() == sum(sizes[: seed + 1])


def test_what_is_held_is_copied_only_where_the_room_is_used_up():
    layer, places, before = grown(7), [], []
    for step in range(1, 2 * ROOM + 1):
        before.append((layer.keys, layer.keys.clone()))
        keys, values = layer.update(*tokens(1, step))
        places.append((keys.data_ptr(), values.data_ptr()))
    assert [len(set(places[:ROOM])), len(set(places[ROOM:])), len(set(places))] == [1, 1, 2]
    assert all(torch.equal(held, then) for held, then in before)  # what was handed out stays as it is


@pytest.mark.parametrize("change", ["crop", "other keys", "reset"])
def test_others_may_change_what_a_layer_holds(change):
    """What they had from it before is not written over, but for stock code that does so itself."""
    layer, stock = grown(7), DynamicLayer()
    stock.update(*tokens(7))
    handed_out = layer.keys, layer.keys.clone()
    for one in (layer, stock):
        if change == "crop":
            one.crop(-2)
        elif change == "other keys":
            one.keys, one.values = one.keys[:, :, [0, 2]], one.values[:, :, [0, 2]]
        else:
            one.reset()
    for seed in (1, 2):
        for mine, theirs in zip(layer.update(*tokens(1, seed)), stock.update(*tokens(1, seed)), strict=True):
            assert torch.equal(mine, theirs)
    assert change == "reset" or torch.equal(*handed_out)


def test_tokens_that_are_dropped_free_their_memory():
    layer, stock = grown(7), DynamicLayer()
    stock.update(*tokens(7))
    memory = weakref.ref(layer.keys.untyped_storage())
    for one in (layer, stock):
        keep_tokens(one, torch.tensor([0, 2, 5]))
    assert memory() is None
    for seed in (1, 2):
        for mine, theirs in zip(layer.update(*tokens(1, seed)), stock.update(*tokens(1, seed)), strict=True):
            assert torch.equal(mine, theirs)


def test_a_copy_goes_on_by_itself():
    layer = grown(7)
    other = deepcopy(layer)
    layer.update(*tokens(1, 1))
    other.update(*tokens(1, 2))
    assert torch.equal(layer.keys[:, :, :7], other.keys[:, :, :7])
    assert torch.equal(layer.keys[:, :, 7:], tokens(1, 1)[0])
    assert torch.equal(other.keys[:, :, 7:], tokens(1, 2)[0])


def test_what_inference_mode_made_goes_on_outside():
    with torch.inference_mode():
        layer = grown(7)
    first = layer.keys
    for seed in (1, 2):
        layer.update(*tokens(1, seed))
    assert torch.equal(layer.keys, torch.cat([first, tokens(1, 1)[0], tokens(1, 2)[0]], -2))


def test_gradients_are_left_to_stock_code():
    layer, stock = grown(7), DynamicLayer()
    stock.update(*tokens(7))
    new = [x.requires_grad_() for x in tokens(1, 1)]
    keys, values = layer.update(*new)
    assert torch.equal(keys, stock.update(*new)[0])
    (keys.sum() + values.sum()).backward()
    assert new[0].grad.eq(1).all()
    assert torch.equal(layer.update(*tokens(1, 2))[0], stock.update(*tokens(1, 2))[0])


def test_gradients_of_values_alone_are_left_to_stock_code():
    layer = grown(7)
    keys, values = tokens(1, 1)
    _, held = layer.update(keys, values.requires_grad_())
    loss = held.square().sum()
    layer.update(*tokens(1, 2))
    loss.backward()
    assert torch.equal(values.grad, 2 * values)


def test_only_empty_layers_of_the_usual_kind_get_room():
    class Another(DynamicLayer):
        pass

    cache = DynamicCache()
    cache.update(*tokens(3), 0)
    cache.layers += [DynamicLayer(), Another()]
    let_grow(cache)
    assert [type(layer) for layer in cache.layers] == [DynamicLayer, GrowingLayer, Another]
    cache.update(*tokens(3), 3)  # a layer that the cache adds itself
    assert type(cache.layers[3]) is GrowingLayer


def test_an_offloaded_cache_stays_as_it_is():
    cache = DynamicCache()
    cache.offloading = True  # DynamicCache(offloading=True) needs an accelerator
    let_grow(cache)
    assert cache.layer_class_to_replicate is DynamicLayer


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_gets_layers_with_room(family):
    thinker = tiny_thinker(family)
    with attach(thinker, Full()):
        out = thinker.generate(
            **tiny_inputs(family), max_new_tokens=2 * ROOM, do_sample=False, return_dict_in_generate=True
        )
    cache = out.get("cache", out.get("past_key_values"))
    assert {type(layer) for layer in cache.layers} == {GrowingLayer}
    stock = thinker.generate(**tiny_inputs(family), max_new_tokens=2 * ROOM, do_sample=False)
    assert torch.equal(out.sequences, stock)
