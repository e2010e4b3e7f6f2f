"""Attaching a method leaves a model as it was, and each prompt of one to itself."""

import threading
import weakref

import pytest
import torch
from torch.backends import cuda

import seats
from seats.inference.attach import _attention_of_any_length, attach
from seats.methods import Full, ModelShape, Retention
from seats.methods.registry import BUILT_IN
from seats.models import compat
from seats.models.signals import EncoderWants
from seats.models.thinker import Thinker
from seats.tokens.layout import Modality
from tests.defaults import defaults
from tests.inference.prompts import CLIPS, SEATS, assert_same, prepared_by_hand, run
from tests.tiny import FAMILIES, tiny_inputs, tiny_thinker

both_families = pytest.mark.parametrize("family", FAMILIES)


def fingerprint(thinker):
    """All that attaching may change."""
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), sorted(m.__dict__)) for m in thinker.modules()]
    configs = [m.config._attn_implementation for m in thinker.modules() if hasattr(m, "config")]
    return hooks, configs


@both_families
@pytest.mark.parametrize("kind", ["float64", "bfloat16"])
def test_the_default_type_changes_nothing(thinkers, family, kind):
    thinker, inputs = thinkers[family], tiny_inputs(family)
    with attach(thinker, SEATS) as usual:
        ids = run(thinker, inputs)
    with defaults(kind), attach(thinker, SEATS) as other:
        assert_same(run(thinker, inputs), ids)
    assert torch.equal(usual.trace.layout.time_s, other.trace.layout.time_s)
    assert [drop.kept.tolist() for drop in other.trace.drops] == [drop.kept.tolist() for drop in usual.trace.drops]


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
        latest = third.__enter__()
        first.__exit__(None, None, None)
        run(thinker, inputs, 1)
        assert latest.trace.retention("video") < 1
        third.__exit__(None, None, None)
        assert_same(run(thinker, inputs), stock)
        assert inner.trace.retention("video") == 1.0
        second.__exit__(None, None, None)
        assert fingerprint(thinker) == before
        assert_same(run(thinker, inputs), stock)

    @both_families
    def test_a_forward_that_others_put_there_since_the_last_time(self, thinkers, family, monkeypatch):
        text = compat.text_model(thinkers[family])
        with attach(thinkers[family], SEATS):
            pass

        def mine(*_args, **_settings):
            return None

        monkeypatch.setitem(text.__dict__, "forward", mine)
        with attach(thinkers[family], SEATS):
            assert text.forward is not mine
        assert text.forward is mine

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


class TestTorchsSwitches:
    """torch has them once for all models; they say nothing of a device, so that no GPU is needed to see them."""

    @staticmethod
    def switches():
        kinds = (cuda.cudnn_sdp_enabled, cuda.flash_sdp_enabled, cuda.mem_efficient_sdp_enabled, cuda.math_sdp_enabled)
        return tuple(enabled() for enabled in kinds)

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
    @pytest.mark.parametrize("flash", [True, False])
    def test_turned_until_the_last_context_ends(self, order, flash):
        before_all = cuda.flash_sdp_enabled()
        cuda.enable_flash_sdp(flash)
        try:
            before = self.switches()
            contexts = [_attention_of_any_length(torch.device(name)) for name in ("cuda:0", "cuda:1", "cuda:0")]
            for context in contexts:
                context.__enter__()
            for number in order:
                assert self.switches() == (False, True, True, True)
                contexts[number].__exit__(None, None, None)
            assert self.switches() == before
            with pytest.raises(KeyError), _attention_of_any_length(torch.device("cuda")):
                raise KeyError
            assert self.switches() == before
        finally:
            cuda.enable_flash_sdp(before_all)

    def test_left_alone_on_a_cpu(self):
        before = self.switches()
        with _attention_of_any_length(torch.device("cpu")):
            assert self.switches() == before

    def test_threads_that_come_and_go(self):
        before, wrong = self.switches(), []
        barrier = threading.Barrier(4)

        def answer():
            barrier.wait()
            for _ in range(200):
                with _attention_of_any_length(torch.device("cuda")):
                    if cuda.cudnn_sdp_enabled():
                        wrong.append(True)

        threads = [threading.Thread(target=answer) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert self.switches() == before


class TestAutocast:
    """As users run models whose weights are kept in 32 bits: the model computes in 16, the choice stays exact."""

    @both_families
    def test_with_all_tokens_the_stock_answer(self, thinkers, family):
        thinker, inputs = thinkers[family], tiny_inputs(family)
        with torch.autocast("cpu", torch.bfloat16):
            stock = run(thinker, inputs)
            with attach(thinker, Full()):
                ours = run(thinker, inputs)
        torch.testing.assert_close(ours.logits[0], stock.logits[0], rtol=0, atol=0.3)

    @both_families
    @pytest.mark.parametrize("cls", BUILT_IN, ids=lambda cls: cls.name)
    def test_every_method_chooses_with_numbers_of_32_bits(self, thinkers, family, cls):
        whole = cls.name in ("dycoke", "fastvid")  # they leave sound whole, which costs more pictures than there are
        inputs = tiny_inputs(family, grid=(6, 6, 8), mel_frames=0 if whole else 330)
        shape = ModelShape(family, 8, {"drop_layers": [2, 4, 5], "late_layer": 7})
        method = cls.for_model(shape, Retention(0.4, 0.5), seed=0)
        with attach(thinkers[family], method) as attached:
            run(thinkers[family], inputs, 1)
        kept = attached.trace.retention("video")
        with torch.autocast("cpu", torch.bfloat16), attach(thinkers[family], method, kv="drop") as attached:
            run(thinkers[family], inputs, 3)
        trace = attached.trace
        assert trace.retention("video") == pytest.approx(kept, abs=0.06)
        read = [trace.saliency, *(drop.relevance for drop in trace.drops)]
        assert {each.dtype for each in read if each is not None} <= {torch.float32}

    def test_before_the_llm_nothing_is_cast(self, thinkers):
        seen = []

        class Looking(Full):
            wants = EncoderWants(video_grids=1, audio="clip", keys=True)

            def before_llm(self, state):
                seen.extend([*state.keys.values(), state.saliency, state.embeds @ state.embeds.T])

        inputs = tiny_inputs("qwen2.5-omni")
        with torch.autocast("cpu", torch.bfloat16), attach(thinkers["qwen2.5-omni"], Looking()):
            run(thinkers["qwen2.5-omni"], inputs, 1)
        assert [each.dtype for each in seen] == [torch.float32] * 4


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


@both_families
@pytest.mark.parametrize("part", ["thinker", "decoder", "vision encoder", "audio encoder", "layers of encoders"])
def test_a_compiled_model_keeps_the_same_tokens(family, part):
    """Compiled code passes the hooks by that read the encoders, and must not trace the forward that drops tokens."""
    thinker, inputs = tiny_thinker(family), tiny_inputs(family)
    with attach(thinker, SEATS) as eager:
        ids = run(thinker, inputs)
    vision, audio = compat.vision_encoder(thinker), compat.audio_encoder(thinker)
    parts = {"thinker": [thinker], "decoder": [compat.text_model(thinker)], "vision encoder": [vision]}
    modules = {**parts, "audio encoder": [audio], "layers of encoders": [*vision.blocks, *audio.layers]}[part]
    for module in modules:
        module.compile(backend="eager")
    compiled = [module._compiled_call_impl for module in modules]
    with attach(thinker, SEATS) as attached:
        assert_same(run(thinker, inputs), ids)
    assert attached.trace.saliency.sum() > 0
    assert torch.equal(attached.trace.saliency, eager.trace.saliency)
    assert [drop.kept.tolist() for drop in attached.trace.drops] == [drop.kept.tolist() for drop in eager.trace.drops]
    assert [module._compiled_call_impl for module in modules] == compiled
