"""Every method on a GPU: the same choices as on a CPU, and hardly a wait for the host."""

from __future__ import annotations

import statistics
import warnings

import pytest
import torch

from seats.costs.timers import StepTimer
from seats.inference.attach import attach
from seats.inference.encode import build_prompt, encode_clip
from seats.inference.engine import Record
from seats.inference.generate import Decoding, generate
from seats.methods import method_class
from seats.methods.base import Method
from seats.models.checkpoint import find_checkpoint
from seats.models.omni import OmniModel, load_model
from tests.checkpoints import save_tiny_checkpoint
from tests.methods.test_matrix import CLIPS, METHODS, TARGET, clip_of
from tests.tiny import FAMILIES

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@pytest.fixture(scope="module", params=FAMILIES)
def models(request, tmp_path_factory) -> dict[str, OmniModel]:
    """One checkpoint on a CPU, on a GPU, and on a GPU in 16 bits."""
    checkpoint = find_checkpoint(str(save_tiny_checkpoint(tmp_path_factory.mktemp("model"), request.param)))
    return {
        "cpu": load_model(checkpoint, device="cpu", dtype="float32"),
        "gpu": load_model(checkpoint, device="cuda", dtype="float32"),
        "16 bits": load_model(checkpoint, device="cuda", dtype="bfloat16"),
    }


def method_for(model: OmniModel, name: str) -> Method:
    return method_class(name).for_model(model.shape, TARGET, 0)


def answered(model: OmniModel, name: str, kind: str):
    """A prompt of the clip and what was generated."""
    method, timer = method_for(model, name), StepTimer(model.thinker.device)
    encoded = encode_clip(model, clip_of(kind, model), [method.wants], timer)
    prompt = build_prompt(model, encoded, "what ?", None, 3, method.wants)
    return generate(model, prompt, method, Decoding(max_new_tokens=3), timer)


@pytest.mark.parametrize("kind", CLIPS)
@pytest.mark.parametrize("name", METHODS)
def test_the_same_tokens_are_kept(models, name, kind):
    there, here, short = (answered(models[place], name, kind).trace for place in ("cpu", "gpu", "16 bits"))
    assert here.layers == there.layers
    assert [one.total for one in short.layers] == pytest.approx([one.total for one in there.layers], abs=2)
    for mine, theirs in zip(here.drops, there.drops, strict=True):
        same = len(set(mine.kept.tolist()) & set(theirs.kept.tolist()))
        assert same >= 0.97 * len(theirs.kept)  # rounding may turn a near tie


def test_a_length_never_seen_costs_no_plan(models):
    """With cuDNN's attention the first prompt of each length waits for a plan that is made for that length."""
    model = models["16 bits"]
    query, key, value = (torch.randn(1, heads, 6000, 128, device="cuda").bfloat16() for heads in (28, 4, 4))

    def milliseconds(length: int) -> float:
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        began.record()
        q, k, v = (x[:, :, :length] for x in (query, key, value))
        torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        ended.record()
        torch.cuda.synchronize()
        return began.elapsed_time(ended)

    with attach(model.thinker.module, method_for(model, "full")):
        seen = statistics.median(milliseconds(5000) for _ in range(10))
        new = statistics.median(milliseconds(5001 + i) for i in range(10))
    assert new < 3 * seen + 1


@pytest.mark.parametrize("name", ["seats", "seats+"])
def test_a_drop_layer_waits_for_the_host_once_at_most(models, name, monkeypatch):
    read = Record.trace

    def read_without_counting(self):  # what the trace tells of single tokens is copied once the answer is there
        torch.cuda.set_sync_debug_mode("default")
        try:
            return read(self)
        finally:
            torch.cuda.set_sync_debug_mode("warn")

    monkeypatch.setattr(Record, "trace", read_without_counting)

    def waits(which: str) -> tuple[int, list[str]]:
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                made = answered(models["gpu"], which, "both")
        finally:
            torch.cuda.set_sync_debug_mode("default")
        told = [f"{one.filename}:{one.lineno}" for one in caught if "synchroniz" in str(one.message)]
        return len(made.trace.drops), told

    answered(models["gpu"], name, "both")  # kernels are compiled
    (_, without), (drops, selecting) = waits("full"), waits(name)
    assert len(selecting) - len(without) <= drops, selecting
