"""The patched prefill against stock transformers, with nothing dropped and against a plain computation with masks."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from seats.errors import SettingsError
from seats.inference.attach import attach
from seats.inference.prepared import Prepared
from seats.methods import Full, Method, Random, Seats, SeatsPlus, Selection
from seats.methods.fastv import FastVOm
from seats.models import compat
from seats.tokens.interleave import interleave
from seats.tokens.layout import Modality
from tests.inference.prompts import CLIPS, SEATS, assert_same, new_ids, prepared_by_hand, run
from tests.inference.reference import reference_generate
from tests.stock import adapter_of
from tests.tiny import FAMILIES, tiny_inputs, tiny_thinker

both_families = pytest.mark.parametrize("family", FAMILIES)
every_clip = pytest.mark.parametrize("clip", CLIPS)


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
        with pytest.raises(SettingsError, match="'vision' is unknown: choose video, audio, overall or text"):
            attached.trace.retention("vision")

    @both_families
    @pytest.mark.parametrize("shape", [(1, -1), (3, 1, -1), (4, 1, -1)], ids=["one row", "three", "four"])
    def test_positions_in_every_shape_that_stock_code_takes(self, thinkers, family, shape):
        inputs = tiny_inputs(family)
        positions = torch.arange(inputs["input_ids"].shape[1]).expand(shape)
        with torch.no_grad():
            stock = thinkers[family](**inputs, position_ids=positions).logits[:, -1:]
            with attach(thinkers[family], Full()):
                ours = thinkers[family](**inputs, position_ids=positions).logits
        torch.testing.assert_close(ours, stock, rtol=0, atol=1e-4)

    def test_what_a_method_does_to_its_scores_is_not_told_as_relevance(self, thinkers):
        class Masks(Full):
            layers = (2,)

            def after_layer(self, state):
                scores = state.relevance()
                scores[state.layout.is_modality(Modality.TEXT)] = torch.inf
                return Selection(scores > scores.median())

        with attach(thinkers["qwen2.5-omni"], Masks()) as attached:
            run(thinkers["qwen2.5-omni"], tiny_inputs("qwen2.5-omni"), 1)
        (drop,) = attached.trace.drops
        assert float(drop.relevance.sum()) == pytest.approx(1.0, abs=1e-5)

    @both_families
    def test_several_new_tokens_at_once(self, thinkers, family):
        """A chunk after the prefill, as in the next turn of a chat, equals the tokens one by one."""
        thinker, inputs = thinkers[family], tiny_inputs(family)
        with torch.no_grad(), attach(thinker, SEATS) as attached:

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
            after([[5, 6], [7], [8, 9, 10]])  # which a count of steps instead of tokens would not let go on
        assert attached.trace.decoded_tokens == 6


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
    @pytest.mark.parametrize("fps", [0.6, 1.2, 1.5, 2.4, 3.0, 30.0, 16 / 300 * 30])
    def test_windows_do_not_depend_on_how_seconds_are_rounded(self, thinkers, family, fps):
        """The processor lays out tokens by seconds of 64 bits and hands on 32: a grid at the very time of an audio
        token, or on a chunk's border, would change sides."""
        grid, mel_frames = (24, 2, 2), int(1600 / fps)  # the pictures outlast the sound
        inputs = tiny_inputs(family, grid=grid, mel_frames=mel_frames, fps=fps)
        with attach(thinkers[family], Full()) as attached:
            run(thinkers[family], inputs, 1)
        adapter, config = adapter_of(family), thinkers[family].config
        block = interleave((24, 1, 1), 2 / fps, adapter.audio_tokens(mel_frames, config), adapter.time_rule(config))
        layout = attached.trace.layout
        in_clip = ~layout.is_modality(Modality.TEXT)
        assert layout.window[in_clip].tolist() == block.window.tolist()
        assert layout.is_modality(Modality.AUDIO)[in_clip].tolist() == block.is_audio.tolist()

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


@both_families
@pytest.mark.parametrize("name", ["seats", "seats+"])
def test_trace_tells_how_many_tokens_asked(thinkers, family, name):
    """The last one alone, or the whole question."""
    with attach(thinkers[family], METHODS[name]) as attached:
        run(thinkers[family], tiny_inputs(family), 1)
    question = attached.trace.layout.question()
    assert question > 1
    assert [asked.queries for asked in attached.trace.scored] == [1 if name == "seats" else question] * 3


class AsksTwice(Full):
    @property
    def layers(self):
        return (2,)

    def after_layer(self, state):
        assert torch.equal(state.relevance(), state.relevance())
        assert torch.equal(state.question_relevance(), state.question_relevance())


@both_families
def test_a_relevance_asked_for_twice_is_computed_once(thinkers, family):
    with attach(thinkers[family], AsksTwice()) as attached:
        run(thinkers[family], tiny_inputs(family), 1)
    assert [asked.queries for asked in attached.trace.scored] == [1, attached.trace.layout.question()]


class MergingInFloat32(Merging):
    @staticmethod
    def _merged(values, layout):
        made = Merging._merged(values, layout)
        return replace(made, embeds=made.embeds.float())


@both_families
def test_what_is_merged_in_float32_goes_on_in_the_model_s_type(family):
    thinker, inputs = tiny_thinker(family).to(torch.bfloat16), tiny_inputs(family)
    made = []
    for method in (Merging(), MergingInFloat32()):
        with attach(thinker, method):
            made.append(run(thinker, inputs, 2))
    assert_same(*made)


def test_a_trace_may_be_read_again(thinkers):
    with attach(thinkers["qwen2.5-omni"], SEATS) as attached:
        run(thinkers["qwen2.5-omni"], tiny_inputs("qwen2.5-omni"), 2)
    for _ in range(2):
        assert [drop.after_layer for drop in attached.trace.drops] == [0, 2, 4, 5, 6]
