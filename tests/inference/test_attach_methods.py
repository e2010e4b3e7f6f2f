"""What an attached method does wrong is said, as its fault and not the model's."""

import sys
from typing import ClassVar

import pytest
import torch

from seats.errors import ModelError, SettingsError
from seats.inference.attach import attach
from seats.methods import Full, ModelShape, Retention, Seats, Selection, method_class
from seats.tokens.counts import Counts
from tests.inference.test_attach import fingerprint
from tests.tiny import FAMILIES, tiny_inputs
from tests.waits import hide_values


class Nonsense(Full):
    made: ClassVar = None
    before: ClassVar = True

    @property
    def layers(self):
        return (2,)

    def before_llm(self, state):
        return self.made if self.before else None

    def after_layer(self, state):
        return self.made


@pytest.mark.parametrize("before", [True, False], ids=["before the LLM", "after a layer"])
@pytest.mark.parametrize(
    "made",
    [
        torch.ones(129, dtype=torch.bool),
        Selection(torch.ones(3, dtype=torch.bool)),
        Selection(torch.ones(129)),
        Selection(torch.ones(129, dtype=torch.bool), torch.zeros(3, 48)),
        Selection(torch.ones(129, dtype=torch.bool), torch.zeros(129, 48).numpy()),
        Selection(torch.ones(129, dtype=torch.bool), torch.zeros(129, 48, dtype=torch.long)),
        Selection(torch.ones(129, dtype=torch.bool, device="meta")),
        Selection([True] * 129),
        Selection(torch.ones(129, dtype=torch.bool), macs=None),
    ],
    ids=[
        "a mask",
        "too short",
        "no bool",
        "too few embeddings",
        "an array",
        "whole embeddings",
        "another device",
        "a list",
        "no whole number",
    ],
)
def test_what_is_no_selection(thinkers, monkeypatch, made, before):
    monkeypatch.setattr(Nonsense, "made", made)
    monkeypatch.setattr(Nonsense, "before", before)
    thinker, inputs = thinkers["qwen2.5-omni"], tiny_inputs("qwen2.5-omni")
    assert inputs["input_ids"].shape[1] == 129
    said = r"full must return None or a Selection with keep: bool \[129\] and, if it merges, embeds: \[129, 48\] of f"
    with pytest.raises(ValueError, match=said), attach(thinker, Nonsense()) as attached:
        thinker.generate(**inputs, max_new_tokens=1)
    assert (attached.trace.retention("video") is None) == before  # no layer has run


class Quits(Nonsense):
    def before_llm(self, state):
        return sys.exit(0) if self.before else None

    def after_layer(self, state):
        sys.exit("no licence")


@pytest.mark.parametrize(("before", "code"), [(True, "0"), (False, "'no licence'")])
def test_a_method_does_not_end_the_program(thinkers, monkeypatch, before, code):
    """A batch of others' questions, or with code 0 as if there had been an answer."""
    monkeypatch.setattr(Quits, "before", before)
    with pytest.raises(RuntimeError) as caught, attach(thinkers["qwen2.5-omni"], Quits()):
        thinkers["qwen2.5-omni"].generate(**tiny_inputs("qwen2.5-omni"), max_new_tokens=1)
    assert str(caught.value) == f"full calls sys.exit({code})"


@pytest.mark.parametrize("method", ["seats", None, Seats], ids=["a name", "none", "a class"])
def test_what_is_no_method(thinkers, method):
    thinker = thinkers["qwen2.5-omni"]
    before = fingerprint(thinker)
    with pytest.raises(SettingsError, match=r"is no method: make one with seats\.method"), attach(thinker, method):
        pass
    assert fingerprint(thinker) == before


class AfterLayer9(Full):
    layers = (9,)


@pytest.mark.parametrize("name", ["seats", "fastv", "after layer 9"])
def test_a_method_made_for_another_model(thinkers, name):
    """By the layers that it says it was made for, though it may use none that is not there; else by those it uses."""
    of_28, said = AfterLayer9(), r"full.layers is \(9,\); this model's decoder layers are 1 to 8"
    if name != "after layer 9":
        of_28 = method_class(name).for_model(ModelShape("qwen2.5-omni", 28, {}), Retention(0.1, 0.35), 0)
        said = "made for another model: this one has 8"
    with pytest.raises(SettingsError, match=said), attach(thinkers["qwen2.5-omni"], of_28):
        pass


@pytest.mark.parametrize("layers", [3, ("3",), (0,)])
def test_layers_that_cannot_be(thinkers, layers):
    odd = type("Odd", (Full,), {"layers": layers})()
    with pytest.raises(SettingsError, match=r"full\.layers is "), attach(thinkers["qwen2.5-omni"], odd):
        pass


class Miscounting(Full):
    def before_llm(self, state):
        return Selection(torch.ones(len(state.layout), dtype=torch.bool), counts=Counts(1, 1, 1))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_method_that_miscounts(thinkers, family):
    with pytest.raises(ValueError, match=r"said it keeps Counts\(text=1"), attach(thinkers[family], Miscounting()):
        thinkers[family].generate(**tiny_inputs(family), max_new_tokens=1)


class Divides(Full):
    """By the tokens of a group that has none, say."""

    name: ClassVar = "divides"
    layers: ClassVar = (2,)
    at: ClassVar = 0

    def before_llm(self, state):
        return self.merged(state.embeds) if self.at == 0 else None

    def after_layer(self, state):
        return self.merged(state.hidden) if self.at == state.layer else None

    @staticmethod
    def merged(embeds):
        return Selection(torch.ones(len(embeds), dtype=torch.bool), embeds / 0)


@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize(("sees", "new_tokens"), [(True, 1), (False, 2)])
def test_numbers_that_a_method_made_are_not_blamed_on_the_model(thinkers, monkeypatch, at, sees, new_tokens):
    monkeypatch.setattr(Divides, "at", at)
    if not sees:
        hide_values(monkeypatch)
    with pytest.raises(ModelError) as caught, attach(thinkers["qwen2.5-omni"], Divides()):
        thinkers["qwen2.5-omni"].generate(**tiny_inputs("qwen2.5-omni"), max_new_tokens=new_tokens)
    assert str(caught.value) == "divides returned embeds that are not finite, of finite ones: look at how it merges"
