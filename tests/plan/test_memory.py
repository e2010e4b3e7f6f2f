"""Memory of single steps against the allocator's own count, and what adds up to the whole."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace

import pytest
import torch

from benchmarks.allocations import allocations
from seats.bench.build import random_thinker
from seats.costs.memory import kv_cache_bytes
from seats.inference.growing_cache import ROOM, GrowingLayer
from seats.methods import BeforeLLM, ModelShape, Retention, Seats, method_class
from seats.methods.divprune import DivPrune, DivPruneOm
from seats.models import fused, thinker
from seats.models.families import FAMILIES
from seats.models.presets import find_preset
from seats.plan import memory
from seats.plan.memory import experts_bytes, farthest_bytes, merging_bytes, room_for, stage_one_bytes
from seats.plan.model import planned_model
from seats.plan.plan import Ask, make_plan
from seats.plan.scene import Scene
from seats.plan.selection import select
from seats.plan.typical import two_minutes
from seats.selection import counts, saliency
from seats.tokens.layout import Modality
from seats.tokens.mel import log_mel
from seats.tokens.patches import patchify
from seats.tokens.sequence import build_sequence
from tests.tiny import tiny_config

SHARES = (0.1, 0.3)
SEATS = Seats(*SHARES, num_layers=28, drop_layers=(16, 18, 20), late_layer=24)


def test_a_plan_knows_the_sizes_that_the_code_works_in():
    """They are written there a second time, as a plan imports no torch."""

    def default(function, name):
        return inspect.signature(function).parameters[name].default

    assert default(patchify, "block_grids") == memory._GRIDS_A_BLOCK
    assert default(log_mel, "block_frames") == memory._FRAMES_A_BLOCK
    assert saliency._CHUNK_BYTES == memory._CHUNK
    assert thinker.PATCHES_AT_ONCE == memory._PATCHES_AT_ONCE
    assert fused.ROWS_AT_ONCE == memory._ROWS_AT_ONCE
    assert ROOM == memory._ROOM


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("hidden", [48, 1536])
@pytest.mark.parametrize("at_once_bytes", [1, 2**21, counts.AT_ONCE_BYTES])
@pytest.mark.parametrize(("grid", "audio"), [((8, 12, 20), 100), ((5, 12, 20), 0), ((3, 20, 30), 50), (None, 2010)])
def test_stage_one_takes_what_is_planned(grid, audio, at_once_bytes, hidden, dtype, monkeypatch):
    """Also where one window is larger than what is worked on at once, and where the last one is padded."""
    monkeypatch.setattr(counts, "AT_ONCE_BYTES", at_once_bytes)
    config = tiny_config("qwen2.5-omni")
    rule = FAMILIES[0].sequence_rule(config)
    layout = build_sequence([1, rule.video if grid else rule.audio, 2], rule, grid, 1.0, audio).layout
    embeds = torch.randn(len(layout), hidden, dtype=dtype)
    state = BeforeLLM(embeds, layout, torch.rand(len(layout)))
    with allocations() as taken:
        chosen = SEATS.before_llm(state)

    full = layout.counts()
    per_grid = grid[1] * grid[2] if grid else 0
    planned = select("seats", Scene("qwen2.5-omni", 28, {}, full, 1, per_grid, 1, hidden, (8, 8)), *SHARES)
    assert planned.macs == chosen.macs
    most = max(stage_one_bytes(*of, hidden, embeds.element_size()) for of in planned.diverse)
    assert most == pytest.approx(taken.peak, rel=0.1, abs=2**16)  # indices and masks count where little else does


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("hidden", [48, 1536])
@pytest.mark.parametrize("farthest_bytes_at_once", [2**21, counts.FARTHEST_BYTES])
@pytest.mark.parametrize(("grid", "audio"), [((8, 12, 20), 100), ((3, 12, 20), 1500)])
@pytest.mark.parametrize("method", [DivPrune, DivPruneOm])
def test_divprune_takes_what_is_planned(method, grid, audio, farthest_bytes_at_once, hidden, dtype, monkeypatch):
    monkeypatch.setattr(counts, "FARTHEST_BYTES", farthest_bytes_at_once)
    rule = FAMILIES[0].sequence_rule(tiny_config("qwen2.5-omni"))
    layout = build_sequence([1, rule.video, 2], rule, grid, 1.0, audio).layout
    embeds = torch.randn(len(layout), hidden, dtype=dtype)
    with allocations() as taken:
        chosen = method(*SHARES).before_llm(BeforeLLM(embeds, layout, None))

    full = layout.counts()
    scene = Scene("qwen2.5-omni", 28, {}, full, 1, grid[1] * grid[2], 1, hidden, (8, 8))
    planned = select(method.name, scene, *SHARES)
    assert planned.macs == chosen.macs
    most = max(farthest_bytes(tokens, hidden, embeds.element_size()) for tokens in planned.farthest)
    assert most == pytest.approx(taken.peak, rel=0.1, abs=2**18)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("hidden", "grid", "audio"), [(256, (20, 18, 30), 1000), (512, (8, 12, 20), 1500)])
@pytest.mark.parametrize("name", ["visionzip", "visionzip-om", "dycoke", "fastvid", "omnizip"])
def test_methods_that_merge_take_about_what_is_planned(name, hidden, grid, audio, dtype):
    rule = FAMILIES[0].sequence_rule(tiny_config("qwen2.5-omni"))
    layout = build_sequence([1, rule.video, 2], rule, grid, 1.0, audio).layout
    full = layout.counts()
    keys = {Modality.VIDEO: torch.randn(full.video, 8), Modality.AUDIO: torch.randn(full.audio, 8)}
    state = BeforeLLM(torch.randn(len(layout), hidden, dtype=dtype), layout, torch.rand(len(layout)), keys)
    method = method_class(name).for_model(ModelShape("qwen2.5-omni", 28, {}), Retention(0.6, 0.9), 0)
    with allocations() as taken:
        method.before_llm(state)

    scene = Scene("qwen2.5-omni", 28, {}, full, 1, grid[1] * grid[2], 1, hidden, (8, 8))
    most = merging_bytes(select(name, scene, 0.6, 0.9).macs, full, hidden, dtype.itemsize)
    assert most / 3.5 < taken.peak < most / 0.9


@pytest.mark.parametrize("method", ["random", "seats"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["small", "small-moe"])
def test_pictures_take_what_is_planned(name, dtype, method):
    """Qwen3-Omni's features for later layers stay until the end, as do the interpolated embeddings of its positions."""
    ask = Ask(method=method, keep=25.0, dtype_bytes=dtype.itemsize, max_frames=16, max_pixels=100_000)
    plan = make_plan(planned_model(name), two_minutes(), ask)
    model = random_thinker(find_preset(name), torch.device("cpu"), dtype)
    vision, wants = model.vision.config, plan.run.tokens.wants
    rows, values = math.prod(plan.grid), 3 * vision.temporal_patch_size * vision.patch_size**2

    with allocations() as found:
        model.encode_video(torch.randn(rows, values, dtype=dtype), plan.grid, *([wants] if wants.of_video else []))

    assert plan.run.memory.steps["encode_video"] == pytest.approx(found.peak, rel=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("experts", "chosen", "inner"), [(8, 2, 64), (32, 8, 32), (8, 2, 512)])
def test_a_mixture_of_experts_takes_what_is_planned(experts, chosen, inner, dtype):
    preset = find_preset("small-moe")
    own = {"num_experts": experts, "num_experts_per_tok": chosen, "moe_intermediate_size": inner}
    text = {**preset.thinker["text_config"], **own, "num_hidden_layers": 1}
    model = random_thinker(replace(preset, thinker={**preset.thinker, "text_config": text}), torch.device("cpu"), dtype)
    hidden = torch.randn(1, 700, text["hidden_size"], dtype=dtype)

    with allocations() as found, torch.inference_mode():
        model.layers[0].mlp(hidden)

    assert experts_bytes(model.text.config, 700, dtype.itemsize) == pytest.approx(found.peak, rel=0.02)


def test_stage_one_decides_the_prefill_where_pictures_are_large():
    clip = two_minutes()
    clip = replace(clip, pictures=replace(clip.pictures, width=2520, height=1512))
    model = planned_model("seats-nano")
    plan = make_plan(model, clip, Ask(end_s=4.0, max_frames=8, max_pixels=2520 * 1512))
    most = stage_one_bytes(4 * 4860, 2 * 4860, model.hidden, 4)
    assert most > 350 * 2**20  # a single window takes more than is worked on at once elsewhere
    assert most < plan.run.memory.steps["prefill"] < 1.2 * most


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_decoded_clip_counts_where_it_lies_in_the_same_memory(device):
    plan = make_plan(planned_model("seats-nano"), two_minutes(), Ask(device=device))
    part, memory = plan.part, plan.run.memory
    assert memory.clip == part.frames * 3 * part.height * part.width + 4 * part.samples > 0
    assert memory.peak - memory.activations == (memory.clip if device == "cpu" else 0)


def test_a_longer_answer_takes_a_longer_cache():
    model = planned_model("qwen2.5-omni-7b")
    asks = [Ask(answer_tokens=tokens, dtype_bytes=2) for tokens in (1, 1001)]
    short, long = (make_plan(model, two_minutes(), ask).run.memory for ask in asks)
    more = kv_cache_bytes(model.config.text_config, [1000] * model.num_layers, 2)
    assert short.cache_end == short.cache == long.cache
    assert long.cache_end - long.cache == more
    # The prefill leaves room for some tokens of an answer.
    room = kv_cache_bytes(model.config.text_config, [ROOM] * model.num_layers, 2)
    assert long.steps["decode"] - short.steps["decode"] >= more - room


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("new", [0, 1, 256, 257, 258, 600])
def test_layers_of_the_cache_have_the_room_that_is_planned(new, cut):
    layer, token = GrowingLayer(), torch.zeros(1, 2, 1, 4)
    layer.update(*[token.expand(-1, -1, 30, -1)] * 2)
    if cut:
        layer.keys, layer.values = layer.keys[:, :, [0, 5, 7]], layer.values[:, :, [0, 5, 7]]
    held = layer.get_seq_length()
    for _ in range(new):
        layer.update(token, token)
    assert layer.keys.untyped_storage().nbytes() // token.untyped_storage().nbytes() - held == room_for(new, cut=cut)
