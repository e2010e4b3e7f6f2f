"""The patched prefill against stock generation where nothing is dropped, and against masks where something is."""

import weakref
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

import seats
from seats.inference.attach import attach
from seats.inference.prepared import Prepared
from seats.methods import Full, Method, Random, Seats, SeatsPlus, Selection
from seats.methods.fastv import FastVOm
from seats.models import compat
from seats.models.thinker import Thinker
from seats.tokens.layout import Modality
from tests.inference.reference import reference_generate
from tests.stock import adapter_of, stock_positions
from tests.tiny import FAMILIES, IDS, tiny_inputs, tiny_thinker

both_families = pytest.mark.parametrize("family", FAMILIES)
CLIPS = {"both": {}, "no sound": {"mel_frames": 0}, "no picture": {"grid": None}}
every_clip = pytest.mark.parametrize("clip", CLIPS)
SEATS = Seats(0.45, 0.5, num_layers=8, drop_layers=(2, 4, 5), late_layer=7, pre_llm_scale=1.7)


@dataclass(frozen=True)
class Merging(Method):
    """Changes what stays: before the LLM, and again after a layer, as methods that merge tokens do."""

    name: ClassVar[str] = "merging"
    source: ClassVar[str] = "this test"

    @classmethod
    def for_model(cls, shape, retention, seed):
        return cls()

    @property
    def layers(self):
        return (2,)

    def before_llm(self, state):
        return self._merged(state.embeds, state.layout)

    def after_layer(self, state):
        return self._merged(state.hidden, state.layout)

    @staticmethod
    def _merged(values, layout):
        text = layout.is_modality(Modality.TEXT)
        merged = torch.where(text[:, None], values, (values + values.roll(1, 0)) / 2)
        return Selection(torch.arange(len(values)) % 3 > 0, merged)


METHODS = {
    "seats": SEATS,
    "seats+": SeatsPlus(0.45, 0.5, num_layers=8, drop_layers=(2, 4, 5), late_layer=7, pre_llm_scale=1.7),
    "seats, one drop": Seats(0.3, 0.3, num_layers=8, drop_layers=(1,), late_layer=6, pre_llm_scale=2.0),
    "random": Random(0.3, 0.4, seed=3),
    "merging": Merging(),
}


@pytest.fixture(scope="module")
def thinkers():
    return {family: tiny_thinker(family) for family in FAMILIES}


def run(thinker, inputs, new_tokens=8, **settings):
    settings = {"do_sample": False, **settings}
    return thinker.generate(
        **inputs, max_new_tokens=new_tokens, output_logits=True, return_dict_in_generate=True, **settings
    )


def new_ids(out, inputs) -> list[int]:
    return out.sequences[0, inputs["input_ids"].shape[1] :].tolist()


def assert_same(ours, theirs) -> None:
    assert torch.equal(ours.sequences, theirs.sequences)
    for mine, other in zip(ours.logits, theirs.logits, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-4)


class TestNothingDropped:
    @both_families
    @every_clip
    def test_greedy_ids_equal_stock(self, thinkers, family, clip):
        inputs = tiny_inputs(family, **CLIPS[clip])
        stock = run(thinkers[family], inputs, 12)
        with attach(thinkers[family], Full()) as attached:
            ours = run(thinkers[family], inputs, 12)
        assert_same(ours, stock)
        counts = attached.trace.full
        assert (counts.video > 0, counts.audio > 0) == (clip != "no picture", clip != "no sound")
        assert attached.trace.layers == [counts] * 8
        assert attached.trace.cache_tokens == [counts.total] * 8
        assert attached.trace.decoded_tokens == 11
        assert attached.trace.retention("overall") == 1.0

    @both_families
    @every_clip
    def test_sampled_ids_equal_stock(self, thinkers, family, clip):
        inputs = tiny_inputs(family, **CLIPS[clip])

        def sampled(seed):
            torch.manual_seed(seed)
            return run(thinkers[family], inputs, 12, do_sample=True, temperature=2.0, top_p=0.9)

        stock = sampled(7)
        with attach(thinkers[family], Full()):
            ours, other = sampled(7), sampled(8)
        assert_same(ours, stock)
        assert not torch.equal(ours.sequences, other.sequences)

    @both_families
    @pytest.mark.parametrize("length", [5, 1])
    def test_text_alone_goes_through(self, thinkers, family, length):
        inputs = {
            "input_ids": torch.tensor([[1, 2, 3, 10, 11]])[:, :length],
            "attention_mask": torch.ones(1, length, dtype=torch.long),
        }
        stock = run(thinkers[family], inputs)
        with attach(thinkers[family], SEATS) as attached:
            ours = run(thinkers[family], inputs)
        assert_same(ours, stock)
        assert attached.trace.retention("video") is None

    @both_families
    def test_several_new_tokens_at_once(self, thinkers, family):
        """A chunk after the prefill, as in the next turn of a chat, equals the tokens one by one."""
        thinker, inputs = thinkers[family], tiny_inputs(family)
        with torch.no_grad(), attach(thinker, SEATS):

            def after(chunks):
                out = thinker(**inputs, use_cache=True)
                length = inputs["input_ids"].shape[1]
                for chunk in chunks:
                    seen = {compat.CACHE: out[compat.CACHE]}
                    length += len(chunk)
                    out = thinker(
                        input_ids=torch.tensor([chunk]),
                        attention_mask=torch.ones(1, length, dtype=torch.long),
                        position_ids=torch.arange(500 + length - len(chunk), 500 + length).expand(3, 1, -1),
                        use_cache=True,
                        **seen,
                    )
                return out.logits[0, -1]

            torch.testing.assert_close(after([[5, 6]]), after([[5], [6]]), rtol=0, atol=1e-4)


def prepared_by_hand(thinker, family, inputs, method):
    """Embeddings, positions, layout and saliency of stock inputs, from encoder outputs put in place row by row."""
    from seats.tokens.sequence import build_sequence

    wrapped, adapter = Thinker(thinker), adapter_of(family)
    ids = inputs["input_ids"][0]
    has_video, has_sound = "video_grid_thw" in inputs, "input_features" in inputs
    grid = tuple(inputs["video_grid_thw"][0].tolist()) if has_video else None
    mel = inputs["input_features"][0] if has_sound else None
    seconds = float(inputs["video_second_per_grid"][0]) if has_video else 1.0
    merged = grid and (grid[0], grid[1] // 2, grid[2] // 2)
    tokens = adapter.audio_tokens(mel.shape[1], thinker.config) if has_sound else 0
    placeholder = IDS["video"] if has_video else IDS["audio"]
    marks = (IDS["vision_start"], IDS["vision_end"]) if has_video else (IDS["audio_start"], IDS["audio_end"])
    prompt = [1, 2, 3, marks[0], placeholder, marks[1], 10, 11, 12, 13]
    sequence = build_sequence(prompt, wrapped.rule, merged, seconds, tokens)
    assert torch.equal(sequence.ids, ids)
    positions = stock_positions(thinker, ids.tolist(), merged, seconds, mel.shape[1] if has_sound else 0)
    layout, wants = sequence.layout, method.wants
    embeds, saliency, deepstack = wrapped.text.embed_tokens(ids).detach().clone(), torch.zeros(len(ids)), ()
    if has_video:
        video = wrapped.encode_video(inputs["pixel_values_videos"], grid, wants)
        where = layout.is_modality(Modality.VIDEO)
        embeds[where], deepstack = video.embeds.clone(), video.deepstack
        if wants.of_video:
            saliency[where] = video.signals[wants].saliency.clone()
    if has_sound:
        audio = wrapped.encode_audio(mel, wants)
        where = layout.is_modality(Modality.AUDIO)
        embeds[where] = audio.embeds.clone()
        if wants.of_audio:
            saliency[where] = audio.signals[wants].saliency.clone()
    return embeds, positions, layout, saliency if wants.of_video else None, deepstack


class TestTokensDropped:
    @both_families
    @pytest.mark.parametrize("kv", ["keep", "drop"])
    @pytest.mark.parametrize("name", METHODS)
    @every_clip
    def test_equals_full_length_computation_with_masks(self, thinkers, family, clip, name, kv):
        thinker, method = thinkers[family], METHODS[name]
        inputs = tiny_inputs(family, **{"grid": (4, 6, 8), "mel_frames": 430, **CLIPS[clip]})
        with attach(thinker, method, kv=kv) as attached:
            ours = run(thinker, inputs, 6)
        embeds, positions, layout, saliency, deepstack = prepared_by_hand(thinker, family, inputs, method)
        plain = reference_generate(
            thinker,
            embeds,
            positions,
            layout,
            method,
            saliency=saliency,
            deepstack=deepstack,
            kv=kv,
            new_tokens=6,
        )
        trace = attached.trace
        assert [counts.total for counts in trace.layers] == [len(row) for row in plain.alive]
        assert trace.layers[0].total < trace.full.total
        for layer in method.layers:  # something was dropped at each moment, or the rest would show nothing
            assert trace.layers[layer].total < trace.layers[layer - 1].total
        for drop in trace.drops:
            if drop.after_layer < 8:
                assert drop.kept.tolist() == plain.alive[drop.after_layer]
        assert new_ids(ours, inputs) == plain.ids
        for mine, other in zip(ours.logits, plain.logits, strict=True):
            torch.testing.assert_close(mine[0], other, rtol=0, atol=1e-4)

    @both_families
    @pytest.mark.parametrize("method", [SEATS, FastVOm(0.5, 0.7, num_layers=8)], ids=["seats", "fastv-om"])
    def test_the_two_cache_policies_differ(self, thinkers, family, method):
        """Also of the layers before the first drop, where the method drops nothing before the LLM."""
        inputs = tiny_inputs(family)
        logits = {}
        for kv in ("keep", "drop"):
            with attach(thinkers[family], method, kv=kv) as attached:
                logits[kv] = run(thinkers[family], inputs, 3).logits
            layers = [counts.total for counts in attached.trace.layers]
            if kv == "keep":
                assert attached.trace.cache_tokens == layers
            else:
                assert attached.trace.cache_tokens == [layers[-1]] * 8
        assert torch.equal(logits["keep"][0], logits["drop"][0])  # the first token comes from the prefill
        assert not torch.allclose(logits["keep"][1], logits["drop"][1], atol=1e-4)

    @both_families
    def test_dropping_matters(self, thinkers, family):
        """The comparisons above would pass on a model that ignores its clip."""
        inputs = tiny_inputs(family)
        stock = run(thinkers[family], inputs, 1).logits[0]
        with attach(thinkers[family], SEATS):
            ours = run(thinkers[family], inputs, 1).logits[0]
        assert (ours - stock).abs().max() > 1e-2

    @both_families
    @pytest.mark.parametrize("fps", [2.0, 1.498, 0.7])
    def test_layout_of_stock_inputs_is_the_one_made_with_the_sequence(self, thinkers, family, fps):
        for clip in CLIPS.values():
            inputs = tiny_inputs(family, **{"grid": (7, 4, 6), "mel_frames": 330, "fps": fps, **clip})
            with attach(thinkers[family], Full()) as attached:
                run(thinkers[family], inputs, 1)
            _, _, expected, _, _ = prepared_by_hand(thinkers[family], family, inputs, Full())
            for name in ("modality", "window", "row", "grid", "origin"):
                assert torch.equal(getattr(attached.trace.layout, name), getattr(expected, name)), name
            torch.testing.assert_close(attached.trace.layout.time_s, expected.time_s)

    @both_families
    def test_prepared_by_the_caller(self, thinkers, family):
        """Embeddings and layout made outside give what the stock inputs give."""
        thinker, inputs = thinkers[family], tiny_inputs(family)
        with attach(thinker, SEATS) as watched:
            theirs = run(thinker, inputs)
        embeds, positions, layout, saliency, deepstack = prepared_by_hand(thinker, family, inputs, SEATS)
        order = torch.arange(len(layout), dtype=positions.dtype)[None]
        with attach(thinker, SEATS, prepared=Prepared(layout, saliency, deepstack)) as handed:
            ours = thinker.generate(
                input_ids=inputs["input_ids"],
                inputs_embeds=embeds[None],
                attention_mask=inputs["attention_mask"],
                position_ids=torch.cat([order, positions])[:, None],
                max_new_tokens=8,
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
            )
        assert_same(ours, theirs)
        for mine, other in zip(handed.trace.drops, watched.trace.drops, strict=True):
            assert torch.equal(mine.kept, other.kept)

    @both_families
    def test_trace_tells_what_was_scored_and_kept(self, thinkers, family):
        inputs = tiny_inputs(family)
        with attach(thinkers[family], SEATS) as attached:
            run(thinkers[family], inputs, 4)
        trace = attached.trace
        assert [drop.after_layer for drop in trace.drops] == [0, 2, 4, 5, 6]
        assert [asked.layer for asked in trace.scored] == [2, 4, 5]
        assert [asked.tokens for asked in trace.scored] == [trace.layers[i].total for i in (1, 3, 4)]
        assert (trace.layers[6].video, trace.layers[6].audio) == (0, 0)
        assert all(counts.text == trace.full.text for counts in trace.layers)
        for drop in trace.drops:
            assert (drop.relevance is not None) == (drop.after_layer in (2, 4, 5))
            assert len(drop.kept) == drop.counts.total
        assert trace.saliency.shape == (trace.full.total,)
        assert trace.decoded_tokens == 3
        assert trace.selection_macs > 0


def fingerprint(thinker):
    """All that attaching may change."""
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), sorted(m.__dict__)) for m in thinker.modules()]
    configs = [m.config._attn_implementation for m in thinker.modules() if hasattr(m, "config")]
    return hooks, configs


class TestRestoring:
    @both_families
    def test_after_use(self, thinkers, family):
        thinker, inputs = thinkers[family], tiny_inputs(family)
        before, stock = fingerprint(thinker), run(thinker, inputs)
        with attach(thinker, SEATS):
            assert "forward" in compat.text_model(thinker).__dict__
            run(thinker, inputs)
        assert fingerprint(thinker) == before
        assert_same(run(thinker, inputs), stock)

    @both_families
    def test_after_an_exception(self, thinkers, family):
        thinker = thinkers[family]
        before = fingerprint(thinker)
        with pytest.raises(KeyError, match="mine"), attach(thinker, SEATS):
            raise KeyError("mine")
        assert fingerprint(thinker) == before

    @both_families
    def test_after_an_exception_inside_generate(self, thinkers, family):
        thinker, inputs = thinkers[family], tiny_inputs(family)
        before = fingerprint(thinker)

        def fail(*_args):
            raise MemoryError("no more")

        handle = compat.text_model(thinker).layers[3].register_forward_pre_hook(fail)
        try:
            with pytest.raises(MemoryError, match="no more"), attach(thinker, SEATS):
                run(thinker, inputs)
        finally:
            handle.remove()
        assert fingerprint(thinker) == before

    @both_families
    def test_nested(self, thinkers, family):
        """The inner method rules inside, the outer one before and after."""
        thinker, inputs = thinkers[family], tiny_inputs(family)
        before, stock = fingerprint(thinker), run(thinker, inputs)
        with attach(thinker, SEATS) as outer:
            dropped = run(thinker, inputs)
            with attach(thinker, Full()) as inner:
                assert_same(run(thinker, inputs), stock)
            assert inner.trace.retention("video") == 1.0
            assert_same(run(thinker, inputs), dropped)
            assert outer.trace.retention("video") < 1
        assert fingerprint(thinker) == before
        assert_same(run(thinker, inputs), stock)

    def test_contexts_that_end_in_another_order(self, thinkers):
        thinker, inputs = thinkers["qwen2.5-omni"], tiny_inputs("qwen2.5-omni")
        before, stock = fingerprint(thinker), run(thinker, inputs)
        first, second, third = attach(thinker, SEATS), attach(thinker, Full()), attach(thinker, SEATS)
        first.__enter__()
        inner = second.__enter__()
        third.__enter__()
        first.__exit__(None, None, None)
        third.__exit__(None, None, None)
        assert_same(run(thinker, inputs), stock)
        assert inner.trace.retention("video") == 1.0
        second.__exit__(None, None, None)
        assert fingerprint(thinker) == before
        assert_same(run(thinker, inputs), stock)

    @both_families
    def test_a_wrapped_thinker_will_do(self, thinkers, family):
        inputs = tiny_inputs(family)
        with seats.attach(Thinker(thinkers[family]), SEATS) as attached:
            run(thinkers[family], inputs, 1)
        assert attached.trace.retention("video") < 1

    @both_families
    def test_a_subclass_will_do(self, family):
        """As fine-tuning and sharding libraries make them."""
        thinker, inputs = tiny_thinker(family), tiny_inputs(family)
        thinker.__class__ = type("Mine", (type(thinker),), {})
        with seats.attach(thinker, SEATS) as attached:
            run(thinker, inputs, 1)
        assert attached.trace.retention("video") < 1


class TestSeveralPrompts:
    @both_families
    def test_the_cache_of_an_answer_is_not_held(self, thinkers, family):
        thinker = thinkers[family]
        with attach(thinker, SEATS):
            cache = weakref.ref(run(thinker, tiny_inputs(family), 2)[compat.CACHE])
            assert cache() is None

    @both_families
    def test_no_prompt_meets_the_saliency_of_the_one_before(self, thinkers, family):
        thinker = thinkers[family]
        prompts = [tiny_inputs(family, **clip, seed=i) for i, clip in enumerate([*CLIPS.values(), {}])]
        alone = []
        for inputs in prompts:
            with attach(thinker, SEATS) as attached:
                alone.append((run(thinker, inputs), attached.trace))
        with attach(thinker, SEATS) as attached:
            for inputs, (expected, trace) in zip(prompts, alone, strict=True):
                assert_same(run(thinker, inputs), expected)
                assert attached.trace is not trace
                assert torch.equal(attached.trace.saliency, trace.saliency)
                assert attached.trace.layers == trace.layers

    @both_families
    def test_the_saliency_is_the_clip_s_own(self, thinkers, family):
        inputs = tiny_inputs(family)
        with attach(thinkers[family], SEATS) as attached:
            run(thinkers[family], inputs, 1)
        _, _, layout, saliency, _ = prepared_by_hand(thinkers[family], family, inputs, SEATS)
        torch.testing.assert_close(attached.trace.saliency, saliency)
        assert (saliency[layout.is_modality(Modality.TEXT)] == 0).all()
        assert (saliency[~layout.is_modality(Modality.TEXT)] > 0).all()


def test_a_trace_may_be_read_again(thinkers):
    with attach(thinkers["qwen2.5-omni"], SEATS) as attached:
        run(thinkers["qwen2.5-omni"], tiny_inputs("qwen2.5-omni"), 2)
    for _ in range(2):
        assert [drop.after_layer for drop in attached.trace.drops] == [0, 2, 4, 5, 6]
