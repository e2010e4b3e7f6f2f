"""Every registered method on both families and all kinds of clips, through `generate()` on tiny random models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seats.costs.timers import StepTimer
from seats.inference.attach import attach
from seats.inference.encode import build_prompt, encode_clip
from seats.inference.generate import Decoding, generate
from seats.inference.trace import Trace
from seats.media import Audio, Clip, Video
from seats.methods import Retention, method_class
from seats.methods.registry import BUILT_IN
from seats.models.checkpoint import find_checkpoint
from seats.models.omni import OmniModel, load_model
from seats.tokens.mel import log_mel
from seats.tokens.patches import patchify
from tests.checkpoints import save_tiny_checkpoint
from tests.tiny import FAMILIES

METHODS = [cls.name for cls in BUILT_IN]
CLIPS = ["both", "no sound", "no picture"]
SECONDS, TOKENS = 9, 3
TARGET = Retention(0.5, 0.7)
# How far a method may be from (video, audio) retention on these clips, and from the two together.
WITHIN = {"seats": 0.08, "seats+": 0.08, "fastvid": 0.06, "omnizip": 0.12, "dycoke": 0.13}
INTACT = {"fastv", "visionzip", "divprune", "dycoke", "fastvid"}


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tmp_path_factory) -> OmniModel:
    folder = save_tiny_checkpoint(tmp_path_factory.mktemp("model"), request.param)
    return load_model(find_checkpoint(str(folder)), device="cpu")


@pytest.fixture(scope="module")
def stock(model) -> dict[str, Run]:
    """Stock generation for each kind of clip, before any method was attached."""
    return {kind: run(model, kind) for kind in CLIPS}


@dataclass
class Run:
    """What a generation gave, and what the decoder was called with. positions: of the prompt, then of each new token.
    rotary: cos `[S, d]` of the prompt; layers: cos that each decoder layer got for the prompt."""

    ids: list[int]
    positions: list[torch.Tensor]
    rotary: torch.Tensor
    layers: list[torch.Tensor]
    trace: Trace | None = None


def clip_of(kind: str, model: OmniModel) -> Clip:
    side = 6 * model.patches.token_side
    made = np.random.default_rng(0)
    video = audio = None
    if kind != "no picture":
        pixels = torch.from_numpy(made.integers(0, 256, (2 * SECONDS, 3, side, side), dtype=np.uint8))
        video = Video(pixels, tuple(t / 2 for t in range(2 * SECONDS)), 2.0, side, side, 2.0, "h264")
    if kind != "no sound":
        sound = made.normal(0, 0.3, 16000 * (SECONDS - 1)) * np.linspace(0.1, 1, 16000 * (SECONDS - 1))
        audio = Audio(sound.astype(np.float32), 16000, 1, "aac")
    return Clip(Path("clip"), 0.0, float(SECONDS), float(SECONDS), video, audio)


def stock_inputs(model: OmniModel, kind: str) -> dict[str, Any]:
    """What the stock processor would hand to the thinker."""
    clip = clip_of(kind, model)
    prompt = build_prompt(
        model,
        encode_clip(model, clip, [], StepTimer(model.thinker.device)),
        "what ?",
        None,
        TOKENS,
        method_class("full").wants,
    )
    ids = prompt.sequence.ids[None]
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if clip.video is not None:
        inputs["pixel_values_videos"], grid = patchify(clip.video.pixels, model.patches)
        inputs["video_grid_thw"] = torch.tensor([grid])
        inputs["video_second_per_grid"] = torch.tensor([1.0])
    if clip.audio is not None:
        inputs["input_features"] = log_mel(clip.audio.waveform, model.mel)[None]
        inputs["feature_attention_mask"] = torch.ones(1, inputs["input_features"].shape[2], dtype=torch.long)
    if kind == "both":
        inputs["use_audio_in_video"] = True
    return inputs


def run(model: OmniModel, kind: str, method=None, kv: str = "keep") -> Run:
    """Generate from stock inputs, with a method attached or without, and watch the decoder."""
    thinker = model.thinker
    made = Run([], [], torch.empty(0), [])

    def positions(_module, args, output):
        made.positions.append(args[1][-3:, 0])
        if len(made.positions) == 1:
            made.rotary = output[0][0]

    def layer(_module, _args, kwargs):
        if len(made.positions) == 1:
            made.layers.append(kwargs["position_embeddings"][0][0])

    handles = [thinker.text.rotary_emb.register_forward_hook(positions)]
    handles += [block.register_forward_pre_hook(layer, with_kwargs=True) for block in thinker.layers]
    settings = {"max_new_tokens": TOKENS, "do_sample": False, "eos_token_id": None}
    try:
        if method is None:
            ids = thinker.module.generate(**stock_inputs(model, kind), **settings)
        else:
            with attach(thinker.module, method, kv=kv) as attached:
                ids = thinker.module.generate(**stock_inputs(model, kind), **settings)
            made.trace = attached.trace
    finally:
        for handle in handles:
            handle.remove()
    made.ids = ids[0, -TOKENS:].tolist()
    return made


def state_of(thinker) -> dict[str, Any]:
    """All that attaching could leave behind on a model."""
    found: dict[str, Any] = {}
    for name, module in thinker.module.named_modules():
        hooks = (len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks))
        attributes = sorted(vars(module))
        found[name] = (hooks, attributes, getattr(getattr(module, "config", None), "_attn_implementation", None))
    return found


@pytest.mark.parametrize("kind", CLIPS)
@pytest.mark.parametrize("name", METHODS)
def test_method(model, stock, name, kind):
    method = method_class(name).for_model(model.shape, TARGET, 0)
    before = state_of(model.thinker)

    keep, drop = run(model, kind, method), run(model, kind, method, "drop")

    assert state_of(model.thinker) == before
    trace = keep.trace
    alive = torch.arange(trace.full.total)
    after = {dropped.after_layer: dropped for dropped in trace.drops}
    for number, cos in enumerate(keep.layers):
        alive = after[number].kept if number in after else alive
        assert len(alive) == trace.layers[number].total
        assert torch.equal(cos, keep.rotary[alive])  # every token goes on with the position it had
        assert trace.layers[number].text == trace.full.text
    # Also decoding goes on where it would have without the method.
    assert all(torch.equal(a, b) for a, b in zip(keep.positions, stock[kind].positions, strict=True))
    assert [len(kept) for kept in (dropped.kept for dropped in drop.trace.drops)] == [
        len(dropped.kept) for dropped in trace.drops
    ]
    assert trace.cache_tokens == [counts.total for counts in trace.layers]
    last = trace.drops[-1].counts.total if trace.drops else trace.full.total
    assert drop.trace.cache_tokens == [last] * len(trace.layers)
    check_retention(name, trace)
    if name == "full":
        assert keep.ids == drop.ids == stock[kind].ids


def check_retention(name: str, trace: Trace) -> None:
    video, audio = trace.retention("video"), trace.retention("audio")
    if name == "full":
        assert {video, audio} <= {1.0, None}
        return
    margin = WITHIN.get(name, 0.02)
    if name in INTACT and video is not None and audio is not None:
        assert audio == 1.0
        target = (TARGET.video * trace.full.video + TARGET.audio * trace.full.audio) / (
            trace.full.video + trace.full.audio
        )
        assert trace.retention("overall") == pytest.approx(target, abs=margin)
        return
    assert video is None or video == pytest.approx(TARGET.video, abs=margin)
    assert audio is None or audio == pytest.approx(TARGET.audio, abs=margin)


@pytest.mark.parametrize("kind", CLIPS)
@pytest.mark.parametrize("name", METHODS)
def test_own_pipeline_equals_stock_inputs(model, name, kind):
    method = method_class(name).for_model(model.shape, TARGET, 0)
    theirs = run(model, kind, method)
    timer = StepTimer(model.thinker.device)
    # Encoded for other methods too, as an evaluation does.
    wants = {cls.wants for cls in BUILT_IN}
    encoded = encode_clip(model, clip_of(kind, model), wants, timer)
    prompt = build_prompt(model, encoded, "what ?", None, TOKENS, method.wants)

    ours = generate(model, prompt, method, Decoding(max_new_tokens=TOKENS), timer)

    assert ours.trace.full == theirs.trace.full
    assert len(ours.trace.drops) == len(theirs.trace.drops)
    for mine, other in zip(ours.trace.drops, theirs.trace.drops, strict=True):
        assert torch.equal(mine.kept, other.kept)
    assert list(ours.ids) == theirs.ids
    assert ours.trace.selection_macs == theirs.trace.selection_macs


def test_nothing_of_all_that_is_left(model, stock):
    assert {kind: run(model, kind).ids for kind in CLIPS} == {kind: made.ids for kind, made in stock.items()}
