"""The whole way from a decoded clip to ids, against stock generation; stops, streaming and seeds."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers.generation import utils as stock_generation

from seats.costs.timers import StepTimer
from seats.errors import MediaError, ModelError, OutOfMemoryError, SettingsError
from seats.inference import generate as generate_module
from seats.inference.encode import build_prompt, encode_clip
from seats.inference.generate import Decoding, generate
from seats.methods import Full, Random
from seats.models.checkpoint import Checkpoint
from seats.models.omni import load_model
from seats.tokens.layout import Modality, TokenLayout
from tests.checkpoints import save_tiny_checkpoint
from tests.inference.clips import clip_of, stock_inputs
from tests.tiny import FAMILIES, IDS, tiny_thinker
from tests.waits import hide_values

both_families = pytest.mark.parametrize("family", FAMILIES)
CLIPS = {
    "both": {},
    "no sound": {"seconds": 0},
    "no picture": {"frames": 0},
    "odd frames and rate": {"frames": 7, "fps": 1.498},
    "short sound": {"seconds": 0.7},
    "long sound": {"seconds": 9.01},
    "far apart": {"frames": 40, "fps": 0.2, "size": (1, 1), "seconds": 50},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {}
    for family in FAMILIES:
        folder = save_tiny_checkpoint(tmp_path_factory.mktemp("model"), family, stops=True)
        made[family] = load_model(Checkpoint("tiny", folder))
        # The positions of the clips whose frames are far apart would not fit, and be compressed.
        made[family].thinker.config.text_config.max_position_embeddings = 100_000
    return made


@pytest.fixture(scope="module")
def stock():
    """The same weights, with nothing of this package."""
    return {family: tiny_thinker(family) for family in FAMILIES}


def prompt_of(model, clip, method, question="what is red ?", reserve=16):
    timer = StepTimer()
    encoded = encode_clip(model, clip, [method.wants], timer)
    return build_prompt(model, encoded, question, None, reserve, method.wants)


def ask(model, prompt, method, decoding=None, **settings):
    return generate(model, prompt, method, decoding or Decoding(12), StepTimer(), **settings)


def watched_logits(module, run):
    """What `run()` gives, and the logits of every step."""
    seen = []
    handle = module.lm_head.register_forward_hook(lambda _module, _args, output: seen.append(output[0, -1].clone()))
    try:
        return run(), seen
    finally:
        handle.remove()


@both_families
@pytest.mark.parametrize("kind", CLIPS)
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_equals_stock_generation(models, stock, family, kind, temperature):
    model, thinker = models[family], stock[family]
    clip = clip_of(model.patches.token_side, **CLIPS[kind])
    prompt = prompt_of(model, clip, Full())
    assert prompt.sequence.time_scale == 1
    decoding = Decoding(12, temperature, seed=11)
    made, ours = watched_logits(model.thinker.module, lambda: ask(model, prompt, Full(), decoding))

    torch.manual_seed(11)
    sampling = {"do_sample": True, "temperature": 1.5} if temperature else {"do_sample": False}
    inputs = stock_inputs(model, clip, prompt)
    out, theirs = watched_logits(
        thinker,
        lambda: thinker.generate(**inputs, **sampling, max_new_tokens=12, eos_token_id=IDS["eos"], pad_token_id=0),
    )
    assert list(made.ids) == out[0, inputs["input_ids"].shape[1] :].tolist()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-4)


@both_families
def test_the_prompt_is_the_clip_between_the_words(models, family):
    model = models[family]
    clip = clip_of(model.patches.token_side)
    prompt = prompt_of(model, clip, Full())
    counts = prompt.prepared.layout.counts()
    assert counts.video == 3 * 2 * 3
    assert counts.audio == (82 if family == "qwen2.5-omni" else 43)
    assert prompt.embeds.shape == (counts.total, 48)
    assert (prompt.sequence.ids == IDS["video"]).sum() == counts.video
    text = prompt.prepared.layout.is_modality(Modality.TEXT)
    expected = model.thinker.text.embed_tokens(prompt.sequence.ids[text])
    assert torch.equal(prompt.embeds[text], expected)


class Scripted:
    """In the place of the LM head's forward: answers with the given ids, one a step."""

    def __init__(self, ids):
        self.ids, self.step = ids, 0

    def __call__(self, hidden):
        logits = torch.zeros(1, hidden.shape[1], 128)
        logits[..., self.ids[min(self.step, len(self.ids) - 1)]] = 10.0
        self.step += 1
        return logits


@pytest.fixture
def scripted(models, monkeypatch):
    model = models["qwen2.5-omni"]
    prompt = prompt_of(model, clip_of(model.patches.token_side), Full())

    def answer(ids, decoding=None, **settings):
        monkeypatch.setattr(model.thinker.module.lm_head, "forward", Scripted(ids))
        return ask(model, prompt, Full(), decoding or Decoding(8), **settings)

    return SimpleNamespace(model=model, answer=answer, words=model.tokenizer.convert_tokens_to_ids)


def test_the_end_of_the_turn_stops_the_answer(scripted):
    red, blue, end = scripted.words(["red", "blue", "<|im_end|>"])
    made = scripted.answer([red, blue, end, red])
    assert made.ids == (red, blue, end)
    assert (made.text, made.finish_reason) == ("red blue", "stop")
    assert made.trace.decoded_tokens == 2


def test_a_step_that_stock_code_takes_back_is_not_counted(scripted, monkeypatch):
    """As on MPS, where it looks a step late whether the answer has ended."""
    if not hasattr(stock_generation, "DeferredStopCheck"):
        pytest.skip("this transformers looks at once")
    red, blue, end = scripted.words(["red", "blue", "<|im_end|>"])
    at_once = scripted.answer([red, blue, end, red])
    steps = scripted.model.thinker.module.lm_head.forward
    monkeypatch.setattr(stock_generation.DeferredStopCheck, "is_supported", lambda *_args, **_settings: True)
    monkeypatch.setattr(torch, "Event", lambda **_: SimpleNamespace(record=lambda: None, synchronize=lambda: None))
    pieces = []
    late = scripted.answer([red, blue, end, red], on_text=pieces.append)
    assert (steps.step, scripted.model.thinker.module.lm_head.forward.step) == (3, 4)
    assert (late.ids, late.text, late.finish_reason) == (at_once.ids, "red blue", "stop")
    assert "".join(pieces).strip() == "red blue"
    assert late.trace.decoded_tokens == at_once.trace.decoded_tokens == 2


def test_the_end_of_the_turn_stops_whatever_the_tokenizer_calls_its_end(scripted, monkeypatch):
    red, pad, end = scripted.words(["red", "<|pad|>", "<|im_end|>"])
    monkeypatch.setattr(scripted.model.thinker.module.generation_config, "eos_token_id", None)
    tokenizer = scripted.model.tokenizer
    before = tokenizer.eos_token
    tokenizer.eos_token = "<|pad|>"
    try:
        assert scripted.answer([red, end, red]).ids == (red, end)
        assert scripted.answer([red, pad, red]).ids == (red, pad)
    finally:
        tokenizer.eos_token = before


def test_the_limit_stops_the_answer(scripted):
    red = scripted.words("red")
    made = scripted.answer([red], Decoding(5))
    assert (made.ids, made.finish_reason) == ((red,) * 5, "length")
    assert made.per_token_ms > 0
    one = scripted.answer([red], Decoding(1))
    assert (one.ids, one.finish_reason, one.per_token_ms) == ((red,), "length", None)
    assert one.first_token_ms > 0


def test_an_answer_that_ends_with_its_last_token_was_not_cut(scripted):
    red, end = scripted.words(["red", "<|im_end|>"])
    assert scripted.answer([red, end], Decoding(2)).finish_reason == "stop"


def test_times_of_tokens(scripted, monkeypatch):
    moments = itertools.count(10.0, 0.25)  # every token takes a quarter of a second
    monkeypatch.setattr(generate_module, "time", SimpleNamespace(perf_counter=lambda: next(moments)))
    made = scripted.answer([scripted.words("red")], Decoding(5))
    assert (made.first_token_ms, made.first_token_at, made.per_token_ms) == (250.0, 10.25, 250.0)


def test_space_around_an_answer_is_no_part_of_it(scripted, monkeypatch):
    decode = scripted.model.tokenizer.decode
    monkeypatch.setattr(scripted.model.tokenizer, "decode", lambda *args, **said: f" {decode(*args, **said)}\n")
    assert scripted.answer(scripted.words(["red", "<|im_end|>"])).text == "red"


def test_an_answer_of_nothing(scripted):
    made = scripted.answer([scripted.words("<|im_end|>")])
    assert (made.text, made.finish_reason, len(made.ids)) == ("", "stop", 1)


@pytest.mark.parametrize("said", [50, [50, 51]])
def test_the_checkpoint_s_own_stop_ids_count_too(scripted, monkeypatch, said):
    monkeypatch.setattr(scripted.model.thinker.module.generation_config, "eos_token_id", said)
    made = scripted.answer([20, 50, 20])
    assert (made.ids, made.finish_reason) == ((20, 50), "stop")


@both_families
@pytest.mark.parametrize("seed", range(3))
def test_streamed_pieces_are_the_text(models, family, seed):
    model = models[family]
    prompt = prompt_of(model, clip_of(model.patches.token_side), Full())
    pieces = []
    made = ask(model, prompt, Full(), Decoding(20, 2.0, seed), on_text=pieces.append)
    assert "".join(pieces).strip() == made.text
    assert len(pieces) > 3
    assert all(pieces)


def test_special_tokens_are_not_streamed(scripted):
    red, pad, end = scripted.words(["red", "<|pad|>", "<|im_end|>"])
    pieces = []
    made = scripted.answer([red, pad, red, end], on_text=pieces.append)
    assert "".join(pieces).split() == made.text.split() == ["red", "red"]


@both_families
def test_seeds(models, family):
    model = models[family]
    prompt = prompt_of(model, clip_of(model.patches.token_side), Full())

    def ids(seed):
        torch.seed()  # whatever was drawn before must not matter
        return ask(model, prompt, Full(), Decoding(16, 1.0, seed)).ids

    assert ids(1) == ids(1)
    assert ask(model, prompt, Full(), Decoding(16, 1, 1)).ids == ids(1)  # a whole number of degrees
    assert len({ids(seed) for seed in range(4)}) > 1
    greedy = [ask(model, prompt, Full(), Decoding(8, 0.0, seed)).ids for seed in (1, 2)]
    assert greedy[0] == greedy[1]


def test_an_answer_that_is_not_sampled_leaves_torch_s_generator_alone(scripted):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    scripted.answer([scripted.words("red")], Decoding(3))
    assert torch.equal(torch.get_rng_state(), before)


def test_sampled_answers_of_two_models_take_turns(models):
    """torch has one generator for all: what another thread draws or seeds meanwhile would change an answer."""
    prompts = {family: prompt_of(model, clip_of(model.patches.token_side), Full()) for family, model in models.items()}

    def ids(family, **settings):
        return ask(models[family], prompts[family], Full(), Decoding(8, 2.0, seed=3), **settings).ids

    one, other = FAMILIES
    alone, beside = ids(one), []
    with ThreadPoolExecutor(1) as pool:

        def meanwhile(_piece):
            if not beside:
                beside.append(pool.submit(ids, other))
                wait(beside, timeout=0.5)

        assert ids(one, on_text=meanwhile) == alone
        assert beside[0].result() == ids(other)


@both_families
def test_a_compressed_clip_stays_inside_the_model_s_range(models, family, monkeypatch):
    model = models[family]
    monkeypatch.setattr(model.thinker.config.text_config, "max_position_embeddings", 500)
    clip = clip_of(model.patches.token_side, frames=40, fps=0.2, size=(1, 1), seconds=50)
    prompt = prompt_of(model, clip, Full(), reserve=10)
    assert prompt.sequence.time_scale < 1
    seen = []
    handle = model.thinker.text.rotary_emb.register_forward_pre_hook(lambda _m, args: seen.append(args[1].max()))
    try:
        ask(model, prompt, Full(), Decoding(10))
    finally:
        handle.remove()
    assert len(seen) == 10
    assert max(seen) < 500
    assert prompt.sequence.positions.max() > 470


@both_families
def test_sound_too_short_for_a_token(models, family):
    model, timer = models[family], StepTimer()
    seconds = 0.01 if family == "qwen2.5-omni" else 0.009
    both = encode_clip(model, clip_of(model.patches.token_side, seconds=seconds), [Full.wants], timer)
    assert both.audio is None
    assert both.mel_frames == 0
    assert "too short for a single token" in both.notes[0]
    assert build_prompt(model, both, "what ?", None, 8, Full.wants).prepared.layout.counts().audio == 0
    with pytest.raises(MediaError, match="nothing to look at or listen to"):
        encode_clip(model, clip_of(model.patches.token_side, frames=0, seconds=seconds), [Full.wants], timer)


def test_a_full_device_is_told_in_one_line(models, monkeypatch):
    model = models["qwen2.5-omni"]
    prompt = prompt_of(model, clip_of(model.patches.token_side), Full())

    def fail(*_args, **_kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\n many lines")

    monkeypatch.setattr(model.thinker.text.layers[2], "forward", fail)
    with pytest.raises(OutOfMemoryError, match="do not fit into cpu: lower --max-frames") as caught:
        ask(model, prompt, Full())
    assert "\n" not in str(caught.value)
    assert "forward" not in model.thinker.text.__dict__


def test_what_a_device_says_as_it_fails_is_not_lost_over_its_trace(models, monkeypatch):
    model = models["qwen2.5-omni"]
    prompt = prompt_of(model, clip_of(model.patches.token_side), Full())

    def fail(*_args, **_kwargs):
        def fail_too(*_):
            raise RuntimeError("CUDA error: another one, from copying the layout")

        monkeypatch.setattr(TokenLayout, "to", fail_too)
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(model.thinker.text.layers[2], "forward", fail)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        ask(model, prompt, Full())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": 1e-40}, "temperature is 1e-40; it must be 0, or 0.001 or more"),
        ({"seed": 2**63}, "seed is 9223372036854775808; it must be at least 0 and below 2"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_decoding_outside_its_range(settings, said):
    with pytest.raises(SettingsError, match=said):
        Decoding(**settings)


def test_decoding_at_the_ends_of_its_range():
    Decoding(max_new_tokens=1, temperature=0.001, seed=2**63 - 1)
    Decoding(temperature=0, seed=0)


@both_families
def test_steps_are_timed(models, family):
    model, timer = models[family], StepTimer()
    method = Random(0.5, 0.5)
    encoded = encode_clip(model, clip_of(model.patches.token_side), [method.wants], timer)
    prompt = build_prompt(model, encoded, "what ?", None, 8, method.wants)
    began = time.perf_counter()
    made = generate(model, prompt, method, Decoding(4), timer)
    assert made.first_token_ms <= 1e3 * (made.first_token_at - began)
    assert made.per_token_ms * (len(made.ids) - 1) <= 1e3 * (time.perf_counter() - made.first_token_at)
    steps = timer.ms()
    assert {"prepare", "encode_video", "encode_audio", "selection", "prefill"} <= steps.keys()
    assert all(ms > 0 for ms in steps.values())
    assert steps["selection"] + steps["prefill"] <= made.first_token_ms


class Words:
    """A tokenizer whose n-th generated token is the n-th word, whichever the model chose."""

    def __init__(self, tokenizer, words, prompt_ends="assistant"):
        self._tokenizer, self._words, self._prompt_ends = tokenizer, words, prompt_ends

    def __getattr__(self, name):
        return getattr(self._tokenizer, name)

    def decode(self, ids, **settings):
        return " ".join(self._words[: len(ids)]) if settings else self._prompt_ends


@pytest.mark.parametrize(
    ("words", "prompt_ends", "thoughts", "answer"),
    [
        ("<think> Is it ? </think> A red circle .", "assistant", "Is it ?", "A red circle ."),
        ("Is it ? </think> A red circle .", "assistant <think> ", "Is it ?", "A red circle ."),
        ("<think> Is it ? It may be , or", "assistant", "Is it ? It may be , or", ""),
        ("A red <think> circle , no more", "assistant", None, "A red <think> circle , no more"),
    ],
)
def test_thoughts_are_no_part_of_the_answer(models, words, prompt_ends, thoughts, answer):
    model, words = models["qwen3-omni"], words.split()
    prompt = prompt_of(model, clip_of(model.patches.token_side), Full())
    model, pieces = replace(model, tokenizer=Words(model.tokenizer, words, prompt_ends)), []
    made = ask(model, prompt, Full(), Decoding(len(words)), on_text=pieces.append)
    assert len(made.ids) == len(words)
    assert (made.thoughts, made.text) == (thoughts, answer)
    assert "".join(pieces).strip() == answer


def test_a_mark_of_thoughts_that_comes_in_two_pieces_is_not_streamed(scripted):
    pieces = []
    streamer = generate_module._Streamer(scripted.model.tokenizer, False, pieces.append)
    for text in ("<thi", "nk> Is it ?", " </think> A red", " circle"):
        streamer.on_finalized_text(text)
    streamer.on_finalized_text(" .", stream_end=True)
    assert pieces == ["A red", " circle", " ."]


def test_an_error_of_a_method_is_not_the_checkpoint_s(models):
    class Failing(Full):
        def before_llm(self, state):
            raise ValueError("mine")

    model = models["qwen2.5-omni"]
    with pytest.raises(ValueError, match=r"^mine$"):
        ask(model, prompt_of(model, clip_of(model.patches.token_side), Full()), Failing())


def test_a_stop_string_of_the_checkpoint_stops_the_answer(scripted, monkeypatch):
    """Stock code finds it in the text; this tokenizer's words are not the parts that it looks for."""
    red, blue = scripted.words(["red", "blue"])

    def criteria(stop_strings, tokenizer):
        assert (stop_strings, tokenizer) == (["blue"], scripted.model.tokenizer)
        return lambda ids, _scores: ids[:, -1] == blue

    monkeypatch.setattr("transformers.generation.utils.StopStringCriteria", criteria)
    monkeypatch.setattr(scripted.model.thinker.module.generation_config, "stop_strings", ["blue"])
    made = scripted.answer([red, blue, red])
    assert (made.ids, made.finish_reason) == ((red, blue), "stop")


def test_numbers_that_overflowed_are_said_of_one_token(models, monkeypatch):
    model = models["qwen2.5-omni"]
    prompt = prompt_of(model, clip_of(model.patches.token_side), Full())
    prompt = replace(prompt, embeds=torch.full_like(prompt.embeds, torch.inf))
    hide_values(monkeypatch)
    with pytest.raises(ModelError, match="not finite"):
        ask(model, prompt, Full(), Decoding(max_new_tokens=1))
