"""The fast path never waits for the device but once a scored drop: what is read of it is counted, on the CPU."""

import pytest
import torch

from seats.inference import engine
from seats.inference.attach import attach
from seats.inference.prepared import Prepared
from seats.methods import Full, ModelShape, Retention, Seats, method_class
from seats.methods.registry import BUILT_IN
from tests.inference.prompts import CLIPS, SEATS, assert_same, prepared_by_hand, run
from tests.tiny import FAMILIES, tiny_inputs
from tests.waits import hide_values, watched

DROPS = 3


def waits_of_a_prefill(thinker, family, method, kv, monkeypatch):
    """What the engine, the method and relevance read; the decoder layers are stock code and left out."""
    inputs = tiny_inputs(family, grid=(6, 6, 8), mel_frames=630)
    embeds, positions, layout, saliency, deepstack = prepared_by_hand(thinker, family, inputs, method)
    hide_values(monkeypatch)
    stock_layer = engine.Engine._run
    prepared = Prepared(layout.to("cpu"), saliency, deepstack)
    with torch.no_grad(), attach(thinker, method, kv=kv, prepared=prepared) as on:
        with watched() as waits:

            def run(*given):
                with waits.paused():
                    return stock_layer(*given)

            monkeypatch.setattr(engine.Engine, "_run", staticmethod(run))
            thinker(inputs_embeds=embeds[None], position_ids=positions[:, None], use_cache=True)
            monkeypatch.setattr(engine.Engine, "_run", staticmethod(stock_layer))
        return waits.seen, on.trace


@pytest.mark.parametrize("kv", ["keep", "drop"])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_small_copy_a_scored_drop(thinkers, family, kv, monkeypatch):
    seen, trace = waits_of_a_prefill(thinkers[family], family, SEATS, kv, monkeypatch)
    assert seen == ["cpu"] * DROPS
    assert len(trace.drops) == DROPS + 2  # before the LLM and the late removal read nothing
    assert trace.layers[-1] == type(trace.full)(trace.full.text, 0, 0)


@pytest.mark.parametrize("family", FAMILIES)
def test_full_tokens_never_wait(thinkers, family, monkeypatch):
    seen, _ = waits_of_a_prefill(thinkers[family], family, Full(), "keep", monkeypatch)
    assert seen == []


@pytest.mark.parametrize("family", FAMILIES)
def test_the_host_knows_what_a_stock_prompt_is_made_of(thinkers, family):
    known = []

    class Looking(Full):
        def before_llm(self, state):
            known.append(state.layout.known)

    with attach(thinkers[family], Looking()) as on:
        thinkers[family].generate(**tiny_inputs(family), max_new_tokens=1, do_sample=False)
    assert known[0].counts == on.trace.full
    assert known[0].tokens_per_grid == on.trace.layout.tokens_per_grid() > 0
    assert known[0].question == on.trace.layout.question() > 0


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", [cls.name for cls in BUILT_IN])
def test_what_the_host_does_not_see_is_chosen_alike(thinkers, family, name, clip, monkeypatch):
    """Where it sees values, as on a CPU, positions, counts and windows are found in another way."""
    inputs = tiny_inputs(family, **{"grid": (16, 6, 8)} | CLIPS[clip])  # enough video for methods that spare the sound
    method = method_class(name).for_model(ModelShape(family, 8, {}), Retention(0.5, 0.6), seed=0)

    def answered():
        with attach(thinkers[family], method) as attached:
            return run(thinkers[family], inputs, 4), attached.trace

    seen, trace = answered()
    hide_values(monkeypatch)
    unseen, other = answered()
    assert_same(unseen, seen)
    assert other.layers == trace.layers
    assert [drop.kept.tolist() for drop in other.drops] == [drop.kept.tolist() for drop in trace.drops]


def test_counts_that_a_method_tells_wrong_are_noticed_on_the_host(thinkers):
    class Miscounting(Seats):
        def before_llm(self, state):
            chosen = super().before_llm(state)
            one_more = type(chosen.counts)(chosen.counts.text, chosen.counts.video + 1, chosen.counts.audio)
            return type(chosen)(chosen.keep, None, 0, one_more)

    method = Miscounting(0.45, 0.5, num_layers=8, drop_layers=(2, 4, 5), late_layer=7, pre_llm_scale=1.7)
    with pytest.raises(ValueError, match="its mask keeps"), attach(thinkers["qwen2.5-omni"], method):
        thinkers["qwen2.5-omni"].generate(**tiny_inputs("qwen2.5-omni"), max_new_tokens=1, do_sample=False)


def test_the_watch_sees_what_waits():
    x, mask = torch.arange(4.0), torch.tensor([True, False, True, True])
    with watched() as waits:
        x + 1, x[torch.tensor([0, 2])], torch.where(mask, x, 0)
        assert waits.seen == []
        x.cpu(), x.tolist(), x.max().item(), bool(mask.all()), x[mask], mask.nonzero(), int(x[0])
        x[mask] = torch.ones(3)  # of one number for all it need not wait: newer torch fills by the mask
    names = ["cpu", "tolist", "item", "__bool__", "index with a mask", "nonzero", "__int__"]
    assert waits.seen[: len(names)] == names
    assert len(waits.seen) == len(names) + 1
