"""FLOPs of answers against torch's own count, and the paper's convention against its published figures."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import Qwen2_5OmniTextConfig
from transformers.models.qwen3_omni_moe.configuration_qwen3_omni_moe import Qwen3OmniMoeTextConfig

from seats.costs.flops import (
    FlopsReport,
    Workload,
    decode_macs,
    flops_report,
    head_macs,
    paper_macs,
    prefill_macs,
    relevance_macs,
)
from seats.inference.attach import attach
from seats.inference.trace import Trace
from seats.methods.base import Method, ModelShape, Retention
from seats.methods.full import Full
from seats.methods.random import Random
from seats.methods.seats import Seats
from seats.models.thinker import Thinker
from tests.costs.counting import countable_thinker, counted, family_named
from tests.schedules import decay_schedule
from tests.tiny import FAMILIES, tiny_inputs

WORKLOADS = [((4, 6, 8), 330), ((3, 6, 10), 1333), ((4, 6, 8), 0), (None, 700)]
METHODS = [Full, Random, Seats]
TEXT_7B = Qwen2_5OmniTextConfig(
    hidden_size=3584,
    intermediate_size=18944,
    num_hidden_layers=28,
    num_attention_heads=28,
    num_key_value_heads=4,
    vocab_size=152064,
)
TEXT_30B = Qwen3OmniMoeTextConfig(
    hidden_size=2048,
    head_dim=128,
    intermediate_size=768,
    moe_intermediate_size=768,
    num_experts=128,
    num_experts_per_tok=8,
    num_hidden_layers=48,
    num_attention_heads=32,
    num_key_value_heads=4,
    vocab_size=152064,
)


@pytest.fixture(scope="module")
def thinkers():
    return {family: countable_thinker(family) for family in FAMILIES}


def _method(kind: type[Method], family: str) -> Method:
    return kind.for_model(ModelShape(family, 8, {}), Retention(0.2, 0.5), 0)


def _answer(thinker, family, workload, method, new_tokens, kv="keep") -> tuple[int, Trace]:
    """What torch counts for encoders, prefill and decoding, and the trace."""
    inputs = tiny_inputs(family, grid=workload.grid, mel_frames=workload.mel_frames)
    with attach(thinker, method, kv=kv) as attached:
        flops = counted(lambda: thinker.generate(**inputs, max_new_tokens=new_tokens, do_sample=False))
    assert attached.trace is not None
    return flops, attached.trace


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize(("grid", "mel_frames"), WORKLOADS)
@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_costs_what_torch_counts(thinkers, family, grid, mel_frames, kind):
    workload, method = Workload(grid, mel_frames), _method(kind, family)

    measured, trace = _answer(thinkers[family], family, workload, method, 6)
    report = flops_report(thinkers[family].config, trace, workload, method.wants, family_named(family), causal=False)

    assert report.run.total == measured


@pytest.mark.parametrize("kv", ["keep", "drop"])
@pytest.mark.parametrize("kind", [Full, Seats])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_part_costs_what_torch_counts(thinkers, family, kind, kv):
    # 48 video tokens and one audio window: no padded selection window, so that all parts are exact.
    workload = Workload((4, 6, 8), 200 if family == "qwen3-omni" else 100)
    method, adapter = _method(kind, family), family_named(family)
    thinker, wrapped = thinkers[family], Thinker(thinkers[family])
    patch = wrapped.vision.config.patch_size
    patches, mel = torch.randn(4 * 6 * 8, 6 * patch**2), torch.randn(128, workload.mel_frames)

    prompt_only, _ = _answer(thinker, family, workload, method, 1, kv)
    with_decoding, trace = _answer(thinker, family, workload, method, 6, kv)
    video = counted(lambda: wrapped.encode_video(patches, workload.grid))
    audio = counted(lambda: wrapped.encode_audio(mel))
    head = counted(lambda: thinker.lm_head(torch.randn(1, 1, 48)))
    run = flops_report(thinker.config, trace, workload, method.wants, adapter, causal=False).run

    assert trace.decoded_tokens == 5
    assert run.llm_decode == with_decoding - prompt_only
    assert run.vision_encoder == video
    assert run.audio_encoder == audio
    assert run.lm_head == head
    assert run.selection + run.llm_prefill == prompt_only - video - audio - head
    assert (run.selection > 0) == (kind is Seats)


@pytest.mark.parametrize(
    "changes",
    [
        {"mlp_only_layers": [0, 5, 6], "decoder_sparse_step": 1},
        {"mlp_only_layers": [], "decoder_sparse_step": 3},
        {"head_dim": 8, "num_experts": 6, "num_experts_per_tok": 3},
        {"num_key_value_heads": 1},
    ],
)
def test_dense_layers_and_odd_heads_among_experts(changes):
    if changes.get("head_dim") == 8:
        changes = {
            **changes,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]},
        }
    family, workload = "qwen3-omni", Workload((2, 4, 4), 90)
    thinker, method = countable_thinker(family, **changes), Full()

    measured, trace = _answer(thinker, family, workload, method, 4)
    report = flops_report(thinker.config, trace, workload, Full.wants, family_named(family), causal=False)

    assert report.run.total == measured


@pytest.mark.parametrize("family", FAMILIES)
def test_relevance_costs_what_torch_counts(thinkers, family):
    thinker = Thinker(thinkers[family])
    hidden = torch.randn(1, 37, 48)
    rotary = thinker.text.rotary_emb(hidden, torch.arange(37).expand(3, 1, 37))

    measured = counted(lambda: thinker.relevance(2, hidden, rotary))

    assert 2 * relevance_macs(thinker.config, 37) == measured


def test_causal_attention_is_counted_once_per_pair():
    lengths = [900, 900, 400, 1] * 7
    pairs = sum(sum(1 for q in range(n) for _ in range(q + 1)) for n in (900, 900, 400, 1)) * 7
    every = sum(n**2 for n in lengths)

    difference = prefill_macs(TEXT_7B, lengths, causal=False) - prefill_macs(TEXT_7B, lengths)

    assert difference == 2 * 28 * 128 * (every - pairs)


def test_a_prompt_costs_as_much_as_decoding_it():
    whole = prefill_macs(TEXT_7B, [50] * 28) + 50 * head_macs(TEXT_7B)
    assert decode_macs(TEXT_7B, [0] * 28, 50) == whole
    step_by_step = sum(decode_macs(TEXT_7B, [n] * 28, 1) for n in range(50))
    assert step_by_step == whole


def test_decoding_without_a_cache_is_refused():
    assert decode_macs(TEXT_7B, [], 0) == 0
    with pytest.raises(ValueError, match="0 cache lengths for 28 layers"):
        decode_macs(TEXT_7B, [], 3)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_report_compares_with_all_tokens(thinkers, family):
    workload, seats, config = Workload((4, 6, 8), 330), _method(Seats, family), thinkers[family].config

    def report(method: Method) -> FlopsReport:
        _, trace = _answer(thinkers[family], family, workload, method, 6)
        return flops_report(config, trace, workload, method.wants, family_named(family))

    with_all, with_few = report(Full()), report(seats)

    assert with_all.run == with_all.full
    assert with_few.full == with_all.full  # also the decoding: as many answer tokens, but the whole cache
    assert with_few.run.llm_decode < with_few.full.llm_decode
    assert with_all.reduction == with_all.llm_reduction == 1
    full, run = with_few.full, with_few.run
    assert with_few.reduction == pytest.approx(full.total / run.total)  # as "reduction" of the JSON documents
    assert with_few.llm_reduction == pytest.approx(
        (full.llm_prefill + full.lm_head) / (run.selection + run.llm_prefill + run.lm_head)
    )
    assert 1 < with_few.reduction < with_few.llm_reduction
    assert with_few.llm_reduction < with_few.paper_full_macs / with_few.paper_run_macs


def test_the_paper_counts_the_head_over_what_the_last_drop_left(thinkers):
    family, workload = "qwen2.5-omni", Workload((4, 6, 8), 330)
    config, method = thinkers[family].config, _method(Seats, family)
    _, trace = _answer(thinkers[family], family, workload, method, 2)

    report = flops_report(config, trace, workload, method.wants, family_named(family))

    tokens = [counts.total for counts in trace.layers]
    assert tokens[-1] == trace.full.text < tokens[0] < trace.full.total
    assert report.paper_run_macs == paper_macs(config, tokens, trace.full.text)
    assert report.paper_full_macs == paper_macs(config, [trace.full.total] * 8, trace.full.total)


def test_a_trace_of_another_model_is_refused(thinkers):
    family, workload = "qwen2.5-omni", Workload((4, 6, 8), 0)
    _, trace = _answer(thinkers[family], family, workload, Full(), 1)
    config = countable_thinker(family, num_hidden_layers=3, layer_types=["full_attention"] * 3).config

    with pytest.raises(ValueError, match="trace has 8 layers, the model 3"):
        flops_report(config, trace, workload, Full.wants, family_named(family))


def _published_cases() -> list[dict]:
    path = Path(__file__).parents[1] / "data" / "seats_reference.json"
    return json.loads(path.read_text())["flops"]


@pytest.mark.parametrize("case", _published_cases())
def test_paper_macs_are_those_of_the_published_code(case):
    config = Qwen2_5OmniTextConfig(
        hidden_size=case["hidden_size"],
        intermediate_size=case["intermediate_size"],
        num_hidden_layers=case["num_layers"],
        num_attention_heads=case["num_heads"],
        num_key_value_heads=case["num_kv_heads"],
        vocab_size=case["vocab_size"],
    )
    borders = [(-1, case["initial_seq_len"]), *case["drop_events"], (case["num_layers"] - 1, 0)]
    lengths = [tokens for (start, tokens), (end, _) in pairwise(borders) for _ in range(start, end)]
    assert len(lengths) == case["num_layers"]

    assert paper_macs(config, lengths, lengths[-1]) == case["macs"]


# The mix behind the published table is not stated; these counts reproduce all its rows.
_MIX_7B, _MIX_30B = (8600, 3000, 150), (8600, 1560, 150)


@pytest.mark.parametrize(
    ("text", "mix", "drops", "late", "pair", "published"),
    [
        (TEXT_7B, _MIX_7B, (16, 18, 20), 24, None, 111.0),
        (TEXT_7B, _MIX_7B, (16, 18, 20), 24, (0.30, 0.65), 36.7),
        (TEXT_7B, _MIX_7B, (16, 18, 20), 24, (0.20, 0.55), 26.5),
        (TEXT_7B, _MIX_7B, (16, 18, 20), 24, (0.10, 0.45), 17.3),
        (TEXT_7B, _MIX_7B, (16, 18, 20), 24, (0.06, 0.35), 12.2),
        (TEXT_30B, _MIX_30B, (27, 31, 35), 40, None, 47.2),
        (TEXT_30B, _MIX_30B, (27, 31, 35), 40, (0.32, 0.70), 13.3),
        (TEXT_30B, _MIX_30B, (27, 31, 35), 40, (0.22, 0.60), 9.0),
        (TEXT_30B, _MIX_30B, (27, 31, 35), 40, (0.12, 0.50), 5.5),
        (TEXT_30B, _MIX_30B, (27, 31, 35), 40, (0.07, 0.45), 3.9),
    ],
)
def test_paper_macs_give_the_published_table(text, mix, drops, late, pair, published):
    video, audio, words = mix
    layers = text.num_hidden_layers
    if pair is None:
        lengths = [sum(mix)] * layers
        left = sum(mix)
    else:
        levels = [decay_schedule(layers, drops, late, ratio, 1.4).levels() for ratio in pair]
        lengths = [words + round(v * video) + round(a * audio) for v, a in zip(*levels, strict=True)]
        left = words

    assert paper_macs(text, lengths, left) / 1e12 == pytest.approx(published, rel=0.03)


def test_the_true_cost_of_wide_heads_is_above_the_paper_count():
    # Qwen3-Omni's heads are 128 wide, hidden / heads is 64.
    tokens = [10310] * 48
    true = prefill_macs(TEXT_30B, tokens, causal=False) - 10310 * 48 * 2048 * 128  # without the router
    narrow = Qwen3OmniMoeTextConfig(**{**TEXT_30B.to_dict(), "head_dim": 64})

    assert prefill_macs(narrow, tokens, causal=False) == paper_macs(TEXT_30B, tokens, 0) + 10310 * 48 * 2048 * 128
    assert true > 1.5 * paper_macs(TEXT_30B, tokens, 0)
