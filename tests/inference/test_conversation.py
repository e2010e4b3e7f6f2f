"""Question after question about one clip: the encoders run once, and every answer is the one asked alone."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import transformers

from seats.errors import OutOfMemoryError, SettingsError
from seats.inference import conversation as conversation_module
from seats.inference.answer import Question, answer
from seats.inference.conversation import Conversation
from seats.inference.encode import build_prompt
from seats.inference.generate import Decoding
from seats.inference.report import answer_json
from seats.inference.speedup import COMPARE_ROUNDS
from seats.media import load_clip
from seats.methods import Method, Random, Seats, registry
from seats.methods.base import Selection
from seats.methods.registry import BUILT_IN
from seats.methods.visionzip import VisionZipOm
from seats.models.checkpoint import Checkpoint, find_checkpoint
from seats.models.omni import Turn, load_model
from seats.models.thinker import Thinker
from tests.checkpoints import save_tiny_checkpoint
from tests.media.make import tone, write_clip
from tests.methods.layouts import layout_of, random_state
from tests.stock import stock_ids, stock_positions
from tests.tiny import FAMILIES, IDS

SAMPLES = Path(__file__).parents[2] / "samples"
CLIP = "crossing.mp4"
ASKED = [
    item["question"]
    for item in map(json.loads, (SAMPLES / "questions.jsonl").read_text().splitlines())
    if item["clip"] == CLIP
][:4]
both_families = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def nano():
    torch.set_num_threads(1)
    return load_model(find_checkpoint("seats-nano"), device="cpu")


@pytest.fixture(scope="module")
def clip(nano):
    return load_clip(SAMPLES / CLIP, sampling=nano.sampling)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return {
        family: load_model(Checkpoint("tiny", save_tiny_checkpoint(tmp_path_factory.mktemp("m"), family)))
        for family in FAMILIES
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return {
        "both": write_clip(folder / "both.mp4", frames=40, rate=10, sound=tone(4.0)),
        "no sound": write_clip(folder / "mute.mp4", frames=40, rate=10),
        "no picture": write_clip(folder / "sound.m4a", sound=tone(4.0)),
    }


@pytest.fixture
def calls(monkeypatch):
    """How often the encoders ran, and Stage I."""
    counted: Counter[str] = Counter()

    def count(owner, name):
        real = getattr(owner, name)

        def wrapper(self, *args, **kwargs):
            counted[name] += 1
            return real(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, wrapper)

    count(Thinker, "encode_grids")
    count(Thinker, "encode_audio")
    count(Seats, "before_llm")
    return counted


def assert_same(made, alone):
    """All of two answers but their times and memory."""
    assert made.text == alone.text
    assert (made.finish_reason, made.method, made.flops) == (alone.finish_reason, alone.method, alone.flops)
    assert made.trace.layers == alone.trace.layers
    assert made.trace.cache_tokens == alone.trace.cache_tokens
    assert [drop.after_layer for drop in made.trace.drops] == [drop.after_layer for drop in alone.trace.drops]
    for mine, theirs in zip(made.trace.drops, alone.trace.drops, strict=True):
        assert torch.equal(mine.kept, theirs.kept)
        if theirs.relevance is not None:
            assert torch.equal(mine.relevance, theirs.relevance)


def test_later_questions_neither_decode_nor_encode(nano, clip, calls):
    conversation = Conversation(nano, clip, decode_ms=12.5)
    answers = [conversation.ask(text) for text in ASKED]
    assert calls == {"encode_grids": 1, "encode_audio": 1, "before_llm": 1}
    first, *later = (made.latency_ms for made in answers)
    assert first["decode_clip"] == 12.5
    assert min(first["encode_video"], first["encode_audio"]) > 0
    for latency in later:
        assert (latency["decode_clip"], latency["encode_video"], latency["encode_audio"]) == (0, 0, 0)
        steps = ("prepare", "selection", "prefill")
        assert sum(latency[step] for step in steps) <= latency["first_token"] * 1.001
    assert len({made.text for made in answers}) > 1
    for text, made in zip(ASKED, answers, strict=True):
        assert_same(made, answer(nano, clip, Question(text)))


def test_a_measured_speedup_is_of_what_a_question_itself_takes(nano, clip, calls):
    conversation = Conversation(nano, clip)
    for text in ASKED:
        made = conversation.ask(Question(text, compare=True))
        assert made.speedup.basis == "measured"
        # The first one pays for the saliency, and for a choice before the LLM that later ones have from it.
        assert calls == {"encode_grids": 2, "encode_audio": 2, "before_llm": 1 + COMPARE_ROUNDS + 1}


def test_settings_may_change_from_question_to_question(nano, clip, calls):
    conversation = Conversation(nano, clip)
    settings = [
        {"keep": 10.0},
        {"keep": 25.0},
        {"keep": 25.0, "kv": "drop"},
        {"method": "full"},
        {"method": "visionzip-om", "keep": 25.0},
        {"keep": 25.0, "keep_audio": 0.3},
        {"keep": 25.0, "decoding": Decoding(8, 0.8, seed=3)},
        {"keep": 10.0, "system": "you are a test ."},
    ]
    asked = [Question(ASKED[i % len(ASKED)], **said) for i, said in enumerate(settings)]
    answers = [conversation.ask(question) for question in asked]
    assert (calls["encode_grids"], calls["encode_audio"]) == (1, 1)
    assert calls["before_llm"] == 5  # the same choice was asked for once only where nothing lay between
    for question, made in zip(asked, answers, strict=True):
        assert_same(made, answer(nano, clip, question))


@pytest.mark.parametrize("kind", [cls.name for cls in BUILT_IN])
@both_families
def test_every_method_chooses_what_it_chooses_alone(tiny, files, family, kind):
    model = tiny[family]
    # These two leave the sound whole, which costs them more of the pictures than this clip has.
    file = files["no sound" if kind in ("dycoke", "fastvid") else "both"]
    clip = load_clip(file, sampling=model.sampling)
    conversation = Conversation(model, clip, history=False)
    conversation.ask(Question("what ?", keep=25.0, decoding=Decoding(2)))  # signals of other methods come later
    for text in ("what is red ?", "who says how many red circle in the clip ?"):
        question = Question(text, method=kind, keep_video=0.5, keep_audio=0.7, decoding=Decoding(3))
        assert_same(conversation.ask(question), answer(model, clip, question))


@pytest.mark.parametrize("kind", ["no sound", "no picture"])
def test_clips_that_lack_one_modality(tiny, files, kind):
    model = tiny["qwen3-omni"]
    clip = load_clip(files[kind], sampling=model.sampling)
    conversation = Conversation(model, clip, decode_ms=3.0, history=False)
    missing, there = ("encode_audio", "encode_video") if kind == "no sound" else ("encode_video", "encode_audio")
    for text in ("what ?", "what is red ?"):
        question = Question(text, keep=25.0, decoding=Decoding(3))
        made = conversation.ask(question)
        assert_same(made, answer(model, clip, question))
        assert made.latency_ms[missing] is None
    assert made.latency_ms[there] == 0


def test_saliency_read_for_a_later_question_counts_for_it(nano, clip, monkeypatch):
    conversation = Conversation(nano, clip)
    conversation.ask(Question(ASKED[0], method="random", decoding=Decoding(2)))
    stock = Thinker.vision_signals

    def slow(*args):
        time.sleep(0.3)
        return stock(*args)

    monkeypatch.setattr(Thinker, "vision_signals", slow)
    first, second = (conversation.ask(Question(ASKED[0], decoding=Decoding(2))) for _ in range(2))
    for step in ("selection", "first_token", "total"):
        assert first.latency_ms[step] > 300 > second.latency_ms[step]


@dataclass(frozen=True)
class Nosy(Seats):
    """A method that looks at the text before the LLM."""

    name: ClassVar[str] = "nosy"
    reads_text_before_llm: ClassVar[bool] = True


def test_a_clip_encoded_in_parts_may_be_asked_with_another_method(tiny, files, monkeypatch):
    """Only the last part's queries and keys are caught, so that for other saliency the encoder runs again."""
    model = tiny["qwen2.5-omni"]
    monkeypatch.setattr("seats.models.thinker.PATCHES_AT_ONCE", 1)
    clip = load_clip(files["both"], sampling=model.sampling)
    short = Decoding(max_new_tokens=2)
    conversation = Conversation(model, clip, history=False)
    for method in ("seats", "visionzip-om", "divprune-om"):
        asked = Question("what ?", method=method, keep=35.0, decoding=short)
        mine, alone = conversation.ask(asked), answer(model, clip, asked)
        assert [drop.kept.tolist() for drop in mine.trace.drops] == [drop.kept.tolist() for drop in alone.trace.drops]
        assert mine.text == alone.text
    assert not conversation._caught[0]  # of no use, and large


def test_pictures_that_another_method_has_encoded_again_are_not_its_selection(nano, clip, calls, monkeypatch):
    monkeypatch.setattr("seats.models.thinker.PATCHES_AT_ONCE", 1)
    conversation = Conversation(nano, clip)
    conversation.ask(Question(ASKED[0], method="full"))
    with nano.thinker.vision.register_forward_pre_hook(lambda *_: time.sleep(0.3)):
        first, second = (conversation.ask(Question(ASKED[0], compare=True)) for _ in range(2))
    assert first.latency_ms["encode_video"] > 300 > first.latency_ms["selection"]
    assert first.latency_ms["first_token"] > 300 > second.latency_ms["first_token"]
    assert first.latency_ms["encode_audio"] == second.latency_ms["encode_video"] == 0
    assert first.speedup.prefill > 0.5  # full tokens are not measured against an encoder
    assert calls["encode_audio"] == 1 + 1  # once more only to measure the saliency


def test_a_choice_made_before_is_the_same_and_leaves_the_prompt_alone():
    state = random_state(layout_of("qwen2.5-omni", (3, 4, 5), 60))
    before = state.embeds.clone()
    chosen = VisionZipOm(0.3, 0.5).before_llm(state)
    again = conversation_module._among(conversation_module._of_clip(chosen, state.layout), state)
    assert torch.equal(again.keep, chosen.keep)
    assert torch.equal(again.embeds, chosen.embeds)
    assert not torch.equal(again.embeds, before)
    assert torch.equal(state.embeds, before)


def test_the_peak_of_memory_is_that_of_each_question(nano, clip, monkeypatch):
    resets = []
    monkeypatch.setattr(conversation_module, "reset_peak_device_bytes", resets.append)
    conversation = Conversation(nano, clip)
    for count, text in enumerate(ASKED[:2], start=1):
        conversation.ask(Question(text, decoding=Decoding(1)))
        assert len(resets) == count


def test_a_method_that_reads_the_text_chooses_every_time(nano, clip, calls, monkeypatch):
    monkeypatch.setitem(registry._BUILT_IN, "nosy", Nosy)
    conversation = Conversation(nano, clip)
    for text in ASKED[:3]:
        conversation.ask(Question(text, method="nosy", decoding=Decoding(2)))
    assert calls["before_llm"] == 3
    assert Method.reads_text_before_llm  # what nobody vouches for is asked again


def mask_alone(_method, state):
    return torch.ones(len(state.layout), dtype=torch.bool)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"before_llm": mask_alone}, ValueError),
        ({"before_llm": lambda *_: Selection(torch.ones(3, dtype=torch.bool))}, ValueError),
        ({"layers": (3,), "after_layer": mask_alone}, ValueError),
        ({"num_layers": 99}, SettingsError),
    ],
)
def test_what_a_method_does_wrong_is_told_of_it_as_without_a_conversation(nano, clip, monkeypatch, wrong, error):
    said = {"name": "mine", "reads_text_before_llm": False, "for_model": classmethod(lambda cls, *_: cls()), **wrong}
    mine = type("Mine", (Method,), said)
    monkeypatch.setitem(registry._BUILT_IN, "mine", mine)
    asked = Question(ASKED[0], method="mine", decoding=Decoding(1))
    with pytest.raises(error, match=r"^mine ") as alone:
        answer(nano, clip, asked)
    conversation = Conversation(nano, clip)
    for _ in range(2):
        with pytest.raises(error) as told:
            conversation.ask(asked)
        assert str(told.value) == str(alone.value)


@pytest.mark.parametrize("other", ["full", "fastv"])
def test_methods_with_and_without_a_choice_before_the_llm_may_alternate(nano, clip, other):
    conversation = Conversation(nano, clip)
    for method in (other, "seats", other, other, "seats"):
        asked = Question(ASKED[0], method=method, keep=35.0, decoding=Decoding(2))
        made = conversation.ask(asked)
        assert answer_json(made)["method"] == answer_json(answer(nano, clip, asked))["method"]
        assert answer_json(made)["method"]["name"] == method
        assert_same(made, answer(nano, clip, asked))


class Plain(Random):
    """A method that is no dataclass and keeps its own setting as an attribute: the two shares are always the same."""

    name = "plain"

    def __init__(self, share):
        super().__init__(0.3, 0.3)
        object.__setattr__(self, "share", share)

    @classmethod
    def for_model(cls, shape, retention, seed):
        return cls(retention.video)

    def before_llm(self, state):
        return Random(float(self.share), 0.3).before_llm(state)


class Slotted(Plain):
    __slots__ = ("share",)


class OfTensors(Plain):
    def __init__(self, share):
        super().__init__(torch.tensor(share))
        object.__setattr__(self, "weights", torch.tensor([share, 1.0]))


class FromNothing(Method):
    name, source, reads_text_before_llm = "plain", "these tests", False
    for_model, before_llm = classmethod(Plain.for_model.__func__), Plain.before_llm

    def __init__(self, share):
        object.__setattr__(self, "share", share)


@dataclass(frozen=True)
class Uncompared(FromNothing):
    share: float = field(compare=False)


@pytest.mark.parametrize("kind", [Plain, Slotted, OfTensors, FromNothing, Uncompared])
def test_settings_that_are_no_fields_choose_anew(nano, clip, monkeypatch, kind):
    monkeypatch.setitem(registry._BUILT_IN, "plain", kind)
    chosen, stock = [], kind.before_llm
    monkeypatch.setattr(kind, "before_llm", lambda self, state: chosen.append(1) or stock(self, state))
    conversation = Conversation(nano, clip)
    for share in (0.2, 0.2, 0.8, 0.2):
        asked = Question(ASKED[0], method="plain", keep_video=share, decoding=Decoding(1))
        before = conversation.ask(asked).trace.pre_llm().video
        assert before == int(share * 216)
    assert len(chosen) == (4 if kind is OfTensors else 3)


def test_methods_that_are_no_dataclasses_are_not_all_equal():
    assert FromNothing(0.2) != FromNothing(0.8)
    assert Random(0.2, 0.3) == Random(0.2, 0.3) != Random(0.8, 0.3)


@both_families
@pytest.mark.parametrize("kind", ["both", "no sound", "no picture"])
def test_prompts_with_history_equal_the_stock_ones(tiny, files, family, kind):
    """Ids and positions of three turns against the stock processor's template and `get_rope_index`."""
    model = tiny[family]
    conversation = Conversation(model, load_clip(files[kind], sampling=model.sampling))
    for text in ("what is red ?", "who says blue ?"):
        conversation.ask(Question(text, system="you are a test .", decoding=Decoding(4)))
    turns = conversation.turns
    encoded = conversation.encoded_with(Seats.wants)
    prompt = build_prompt(model, encoded, "how many ?", "you are a test .", 8, Seats.wants, turns)

    def message(role, text, *media):
        return {"role": role, "content": [*media, {"type": "text", "text": text}]}

    media = {"type": "audio", "audio": "a"} if kind == "no picture" else {"type": "video", "video": "v"}
    stock = [message("system", "you are a test ."), message("user", turns[0].question, media)]
    stock += [message("assistant", turns[0].answer), message("user", turns[1].question)]
    stock += [message("assistant", turns[1].answer), message("user", "how many ?")]
    name = {"qwen2.5-omni": "Qwen2_5OmniProcessor", "qwen3-omni": "Qwen3OmniMoeProcessor"}[family]
    processor = getattr(transformers, name).__new__(getattr(transformers, name))  # the whole needs torchvision
    processor.tokenizer, processor.chat_template = model.tokenizer, model.chat_template
    text = processor.apply_chat_template(stock, add_generation_prompt=True, tokenize=False)
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    marks = ("audio_start", "audio_end") if kind == "no picture" else ("vision_start", "vision_end")
    start, end = (ids.index(IDS[mark]) for mark in marks)
    assert ids.count(IDS[marks[0]]) == 1

    grid = encoded.grid and (encoded.grid[0], encoded.grid[1] // 2, encoded.grid[2] // 2)
    audio = 0 if encoded.audio is None else len(encoded.audio.embeds)
    expected = stock_ids(family, ids[:start], ids[end + 1 :], grid, encoded.seconds_per_grid, audio)
    assert prompt.sequence.ids.tolist() == expected
    mel_frames = encoded.mel_frames if audio else 0
    positions = stock_positions(model.thinker.module, expected, grid, encoded.seconds_per_grid, mel_frames)
    assert torch.equal(prompt.sequence.positions, positions.to(prompt.sequence.positions.dtype))
    said = model.tokenizer.decode(expected[-60:])
    assert said.index("who says blue") < said.index("how many")


@both_families
def test_history_is_part_of_the_prompt_until_reset(tiny, files, family):
    model = tiny[family]
    clip = load_clip(files["both"], sampling=model.sampling)
    conversation = Conversation(model, clip)
    plain = Question("what is red ?", keep=25.0, decoding=Decoding(6))
    first = conversation.ask(plain)
    assert_same(first, answer(model, clip, plain))
    assert conversation.turns == (Turn("what is red ?", first.text),)
    second = conversation.ask(plain)
    assert_same(second, answer(model, clip, replace(plain, history=conversation.turns[:1])))
    assert second.trace.full.text > first.trace.full.text
    assert second.question.history == conversation.turns[:1]
    with pytest.raises(SettingsError, match="without one"):
        conversation.ask(second.question)
    conversation.reset()
    assert (conversation.turns, conversation.last) == ((), None)
    assert_same(conversation.ask(plain), first)


def test_the_model_says_whether_it_knows_earlier_turns(nano, clip, tiny):
    assert not Conversation(nano, clip).history
    assert Conversation(nano, clip, history=True).history
    assert Conversation(tiny["qwen2.5-omni"], clip).history
    conversation = Conversation(nano, clip, history=True)
    for text in ASKED[:2]:
        conversation.ask(text)
    assert [turn.question for turn in conversation.turns] == ASKED[:2]


@pytest.mark.parametrize(
    ("text", "thoughts", "kept"), [("circle", "Is it ?", True), ("", "Is it", False), ("", None, True)]
)
def test_thoughts_that_took_all_the_tokens_are_no_turn(nano, clip, monkeypatch, text, thoughts, kept):
    stock = conversation_module.answer_encoded

    def thinking(*args, **settings):
        return replace(stock(*args, **settings), text=text, thoughts=thoughts)

    monkeypatch.setattr(conversation_module, "answer_encoded", thinking)
    conversation = Conversation(nano, clip, history=True)
    conversation.ask(Question(ASKED[0], decoding=Decoding(1)))
    assert conversation.turns == ((Turn(ASKED[0], text),) if kept else ())


def test_an_interrupted_answer_leaves_no_trace(nano, clip):
    conversation = Conversation(nano, clip, decode_ms=5.0, history=True)

    def interrupt(_piece):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conversation.ask(ASKED[0], on_text=interrupt)
    assert (conversation.turns, conversation.last) == ((), None)
    assert "forward" not in nano.thinker.text.__dict__
    made = conversation.ask(ASKED[0])
    assert_same(made, answer(nano, clip, Question(ASKED[0])))
    # The encoders' time is told by the first answer that comes through.
    assert made.latency_ms["decode_clip"] == 5.0
    assert made.latency_ms["encode_video"] > 0


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_running_out_of_memory_ends_a_question_not_the_conversation(nano, clip, monkeypatch, error):
    conversation = Conversation(nano, clip)

    def full(*_args, **_settings):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(nano.thinker.vision, "forward", full)
        with pytest.raises(OutOfMemoryError, match="pictures do not fit into cpu: lower --max-frames"):
            conversation.ask(ASKED[0])
    assert conversation.ask(ASKED[0]).text == answer(nano, clip, Question(ASKED[0])).text
    with pytest.raises(SettingsError, match="unknown method"):
        conversation.ask(Question(ASKED[0], method="magic"))
