"""The patched prefill on models and clips drawn at random: other heads, experts, windows and depths, odd clips."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from seats.inference.attach import attach
from seats.methods import Full, Method, Random, Seats, SeatsPlus
from seats.methods.fastv import FastVOm
from tests.inference.prompts import assert_same, new_ids, prepared_by_hand, run
from tests.inference.reference import reference_generate
from tests.tiny import FAMILIES, tiny_config, tiny_inputs, tiny_thinker


def odd_config(family: str, draw: random.Random) -> Any:
    """A tiny config of another shape."""
    layers = draw.randint(3, 9)
    said = tiny_config(family, layers).to_dict()
    text, vision, audio = (said[f"{part}_config"] for part in ("text", "vision", "audio"))
    heads = draw.choice([1, 2, 3, 6])
    text["num_attention_heads"] = heads
    text["num_key_value_heads"] = draw.choice([n for n in (1, 2, 3, 6) if heads % n == 0])
    half = 24 // heads if family == "qwen2.5-omni" else draw.choice([4, 8, 12])
    wide, high = draw.randint(1, half // 3), draw.randint(1, half // 3)
    text["rope_parameters"] = {**text["rope_parameters"], "mrope_section": [half - wide - high, wide, high]}
    said["tie_word_embeddings"] = text["tie_word_embeddings"] = draw.random() < 0.3
    vision["depth"] = depth = draw.randint(1, 4)
    audio["encoder_layers"], audio["encoder_attention_heads"] = draw.randint(1, 3), draw.choice([1, 2, 4])
    if family == "qwen2.5-omni":
        vision["window_size"] = draw.choice([28, 56, 84])
        vision["fullatt_block_indexes"] = draw.sample(range(depth), draw.randint(0, depth))
    else:
        text["head_dim"], text["num_experts"] = 2 * half, draw.randint(1, 6)
        text["num_experts_per_tok"] = draw.randint(1, text["num_experts"])
        text["mlp_only_layers"] = draw.sample(range(layers), draw.randint(0, layers - 1))
        text["decoder_sparse_step"] = draw.choice([1, 2])
        vision["deepstack_visual_indexes"] = sorted(draw.sample(range(depth), draw.randint(0, min(depth, layers))))
        audio["n_window_infer"] = draw.choice([100, 400, 800])
    return type(tiny_config(family))(**{key: value for key, value in said.items() if key != "model_type"})


def odd_clip(family: str, draw: random.Random) -> dict[str, Any]:
    """Stock inputs: a grid or many, close or far apart, with sound that is short, long or not there."""
    grid = (draw.choice([1, 2, 3, 7]), 2 * draw.randint(1, 4), 2 * draw.randint(1, 4))
    mel_frames = draw.choice([12, 77, 330, 1333])
    alone = draw.choice(["", "", "grid", "mel_frames"])
    return tiny_inputs(
        family,
        grid=None if alone == "mel_frames" else grid,
        mel_frames=0 if alone == "grid" else mel_frames,
        fps=draw.choice([2.0, 1.3, 0.17]),
        seed=draw.randrange(1000),
    )


def some_method(layers: int, draw: random.Random) -> Method:
    video, audio = draw.uniform(0.1, 0.45), draw.uniform(0.1, 0.45)
    late = draw.randint(3, layers)
    drops = tuple(sorted(draw.sample(range(1, late - 1), draw.randint(0, min(3, late - 2)))))
    staged = draw.choice([Seats, SeatsPlus])(
        video, audio, num_layers=layers, drop_layers=drops, late_layer=late, pre_llm_scale=draw.uniform(1.0, 2.0)
    )
    return draw.choice([staged, staged, Random(video, audio, seed=1), FastVOm(0.8, 0.7, layers)])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("family", FAMILIES)
def test_equal_to_stock_code_and_to_a_computation_with_masks(family, seed):
    draw = random.Random(seed)
    thinker, inputs = tiny_thinker(family, seed, config=odd_config(family, draw)), odd_clip(family, draw)
    stock = run(thinker, inputs, 4)
    with attach(thinker, Full()):
        assert_same(run(thinker, inputs, 4), stock)
    method = some_method(thinker.config.text_config.num_hidden_layers, draw)
    embeds, positions, layout, saliency, deepstack = prepared_by_hand(thinker, family, inputs, method)
    for kv in ("keep", "drop"):
        with attach(thinker, method, kv=kv) as attached:
            ours = run(thinker, inputs, 4)
        plain = reference_generate(
            thinker, embeds, positions, layout, method, saliency=saliency, deepstack=deepstack, kv=kv, new_tokens=4
        )
        assert new_ids(ours, inputs) == plain.ids
        for mine, other in zip(ours.logits, plain.logits, strict=True):
            torch.testing.assert_close(mine[0], other, rtol=0, atol=2e-4)
        assert [counts.total for counts in attached.trace.layers] == list(map(len, plain.alive))
