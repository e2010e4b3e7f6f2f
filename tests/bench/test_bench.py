"""Random models measured end to end, on the CPU."""

import json
import math

import pytest
import torch

from seats.bench.bench import bench
from seats.bench.build import random_thinker
from seats.bench.measure import STOCK, beside_full
from seats.bench.subject import Subject
from seats.bench.workload import media_load, token_load
from seats.errors import OutOfMemoryError
from seats.inference.attach import attach
from seats.keep import FULL, Setting, settings_of
from tests.bench.small import small_preset
from tests.tiny import FAMILIES

CPU = torch.device("cpu")
FIRST = ("selection", "prefill")


@pytest.fixture(scope="module")
def thinkers():
    return {family: random_thinker(small_preset(family), CPU, torch.float32) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_has_every_step_and_the_costs_of_its_tokens(thinkers, family):
    preset = small_preset(family)
    subject = Subject(thinkers[family], preset, token_load(preset, 120, 50, 20), new_tokens=2)
    full, seats = subject.run(FULL), subject.run(Setting("seats", 10.0))
    assert set(seats.steps_ms) == {"prepare", "saliency", "selection", "prefill"}
    assert "saliency" not in full.steps_ms
    for run in (full, seats):
        assert 0 < run.steps_ms["prefill"] <= run.prefill_ms
        assert run.per_token_ms > 0
        assert run.first_token_ms is None
    assert full.trace.pre_llm().total == sum(subject.settings[kind] for kind in ("video", "audio", "text"))
    assert seats.trace.retention("overall") < 0.25
    assert seats.flops.llm_reduction > 2
    assert seats.kv_cache_bytes < full.kv_cache_bytes


@pytest.mark.parametrize("family", FAMILIES)
def test_a_clip_also_goes_through_the_encoders(thinkers, family):
    preset = small_preset(family)
    load = media_load(preset, 4, 160, 120, 4.0, 20)
    subject = Subject(thinkers[family], preset, load)
    run = subject.run(Setting("seats", 35.0, keep_video=0.3))
    assert run.trace.retention("video") < run.trace.retention("audio") / 1.5
    assert set(run.steps_ms) == {"prepare", "encode_video", "encode_audio", "saliency", "selection", "prefill"}
    assert run.first_token_ms > run.prefill_ms
    assert run.per_token_ms is None
    counts = subject.sequence.layout.counts()
    assert counts.video == math.prod(load.grid) // 4
    assert counts.audio == thinkers[family].family.audio_tokens(400, thinkers[family].config)
    assert subject.settings == {
        "video": counts.video, "audio": counts.audio, "text": 20, "grid": list(load.grid), "frames": 4,
        "mel_frames": 400, "seconds_per_grid": 2.0, "encoders": True, "kv": "keep", "new_tokens": 0,
    }  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_stock_code_computes_what_full_tokens_do(thinkers, family):
    """The comparison is of the same work: equal logits, the stock ones for every position."""
    preset = small_preset(family)
    subject = Subject(thinkers[family], preset, token_load(preset, 60, 25, 15))
    subject._features.pop("deepstack", None)  # added in the decoder, which stock code is given no inputs for
    embeds, prepared = subject._encode(subject.method_of(FULL).wants, _NoTimer())
    module = subject.thinker.module
    given = {"inputs_embeds": embeds[None], "position_ids": subject._positions, "use_cache": True}
    with torch.no_grad():
        stock = module(**given).logits
        with attach(module, subject.method_of(FULL), prepared=prepared):
            ours = module(**given).logits
    assert stock.shape[1] == len(embeds)
    assert ours.shape[1] == 1
    torch.testing.assert_close(ours[0, 0], stock[0, -1], rtol=0, atol=1e-4)


def test_stock_encoders_run_with_stock_attention_and_ours_come_back(thinkers):
    preset = small_preset("qwen2.5-omni")
    thinker = thinkers["qwen2.5-omni"]
    subject = Subject(thinker, preset, media_load(preset, 4, 160, 120, 2.0, 20))
    before = thinker.vision.config._attn_implementation
    seen = []
    handle = thinker.vision.register_forward_hook(lambda m, *_: seen.append(m.config._attn_implementation))
    try:
        subject.run(Setting(STOCK))
        subject.run(FULL)
    finally:
        handle.remove()
    assert seen == ["sdpa", before]


def test_the_vision_encoder_is_compared_with_the_stock_one():
    preset = small_preset("qwen2.5-omni", 4)
    document = bench(
        preset, media_load(preset, 4, 160, 120, 2.0, 20), beside_full([Setting("seats", 10.0)], stock=True), device=CPU,
        dtype=torch.float32, rounds=1, warmups=0, new_tokens=0,
    )  # fmt: skip
    rows = {row["label"]: row for row in document["rows"]}
    ours, stock = (rows[label]["latency_ms"]["encode_video"]["median"] for label in ("seats 10%", "stock"))
    assert rows["seats 10%"]["speedup"]["vision_over_stock"]["median"] == pytest.approx(stock / ours)
    assert rows["seats 10%"]["rate_share"]["vision_encoder"] > 0


def test_the_document_is_plain_and_complete():
    preset = small_preset("qwen2.5-omni")
    settings = beside_full(settings_of(["seats", "fastv-om"], [10.0, 35.0]), stock=True)
    document = bench(
        preset, token_load(preset, 120, 50, 20), settings, device=CPU, dtype=torch.float32, rounds=2, warmups=0,
        new_tokens=1,
    )  # fmt: skip
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["schema"] == "seats.bench/1"
    assert document["machine"]["matmul_flops_per_s"] > 1e8
    rows = {row["label"]: row for row in document["rows"]}
    assert "choose --keep-video above" in rows["fastv-om 10%"]["error"]
    assert rows["full"]["speedup"]["selection_and_prefill"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    seats = rows["seats 10%"]
    assert seats["speedup"]["over_stock"]["low"] <= seats["speedup"]["over_stock"]["high"]
    assert seats["flops"]["reduction"] > 1
    head = 2 * 512 * 128  # on each of 190 positions but the last
    whole = rows["full"]["flops"]["selection_and_prefill"]
    ratio = (whole + 189 * head) / seats["flops"]["selection_and_prefill"]
    assert seats["flops"]["reduction_over_stock"] == pytest.approx(ratio)
    assert seats["speedup"]["vision_over_stock"] is None  # no encoder ran
    assert 0 < seats["rate_share"]["prefill"] < 2
    assert 0 < seats["selection_share_of_full_prefill"]["median"] < 5
    assert rows["stock"]["latency_ms"]["selection_and_prefill"]["median"] > 0
    assert "flops" not in rows["stock"]


class _NoTimer:
    """Stands in for a StepTimer where nothing is timed."""

    def step(self, _name):
        import contextlib

        return contextlib.nullcontext()


@pytest.mark.parametrize(("load", "lower"), [(token_load, "--tokens"), (media_load, "--frames, --size or --seconds")])
def test_a_prompt_that_does_not_fit_is_told(monkeypatch, load, lower):
    def full_up(*_, **__):
        raise MemoryError("Unable to allocate 18.6 GiB")

    monkeypatch.setattr("seats.bench.bench.Subject", full_up)
    preset = small_preset("qwen2.5-omni")
    prompt = load(preset, 120, 50, 20) if load is token_load else load(preset, 4, 160, 120, 4.0)
    with pytest.raises(OutOfMemoryError, match=f"the prompt does not fit into cpu: lower {lower}"):
        bench(preset, prompt, [FULL], device=CPU, dtype=torch.float32, rounds=1, warmups=0, new_tokens=0)
