"""A question about a file on disk, from the file to the JSON report."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import seats
from seats.costs.flops import flops_report
from seats.errors import OutOfMemoryError, SettingsError
from seats.inference import answer as answer_module
from seats.inference import speedup as speedup_module
from seats.inference.answer import Question, answer
from seats.inference.generate import Decoding
from seats.inference.report import answer_json
from seats.inference.turns import turn_of
from seats.media import load_clip
from seats.methods import Random, registry
from seats.methods.registry import BUILT_IN
from seats.models.checkpoint import Checkpoint
from seats.models.omni import load_model
from tests.checkpoints import save_tiny_checkpoint
from tests.defaults import DEFAULTS, defaults
from tests.media.make import tone, write_clip
from tests.tiny import FAMILIES

both_families = pytest.mark.parametrize("family", FAMILIES)
TOP = [
    "schema", "clip", "question", "answer", "finish_reason", "model", "method", "tokens", "retention", "flops",
    "latency_ms", "speedup", "memory_bytes", "seed", "versions",
]  # fmt: skip
STEPS = [
    "decode_clip", "prepare", "encode_video", "encode_audio", "selection", "prefill", "first_token",
    "per_output_token", "total",
]  # fmt: skip
PARTS = ["vision_encoder", "audio_encoder", "selection", "llm_prefill", "lm_head", "llm_decode"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return {
        family: load_model(Checkpoint("tiny", save_tiny_checkpoint(tmp_path_factory.mktemp("m"), family)))
        for family in FAMILIES
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    sound = tone(4.0)
    return {
        "both": write_clip(folder / "both.mp4", frames=80, rate=20, sound=sound),
        "no sound": write_clip(folder / "silent.mp4", frames=80, rate=20),
        "no picture": write_clip(folder / "sound.m4a", sound=sound),
    }


def asked(model, file, **settings):
    settings = {"decoding": Decoding(6), "keep": 25.0, **settings}
    clip = load_clip(file, sampling=model.sampling)
    return answer(model, clip, Question("what is red ?", **settings), decode_ms=12.5)


def test_the_peak_of_memory_is_the_question_s_own(models, files, monkeypatch):
    """Not of a question before it, nor of the full tokens that it is compared with."""
    model, moments = models["qwen2.5-omni"], []
    run = answer_module.generate

    def noted(*args, **settings):
        moments.append("run")
        return run(*args, **settings)

    for module in (answer_module, speedup_module):
        monkeypatch.setattr(module, "generate", noted)
    monkeypatch.setattr(answer_module, "reset_peak_device_bytes", lambda _: moments.append("reset"))
    monkeypatch.setattr(answer_module, "peak_device_bytes", lambda _: moments.append("read") or 7)
    assert asked(model, files["both"], compare=True).peak_device_bytes == 7
    assert moments[:3] == ["reset", "run", "read"]
    assert set(moments[3:]) == {"run"}


def by_every_method(model, files):
    model.thinker._grids.clear()  # tables of a grid are made once
    for cls in BUILT_IN:
        # These two leave the sound whole, which costs them more of the pictures than this clip has.
        file = files["no sound" if cls.name in ("dycoke", "fastvid") else "both"]
        decoding = Decoding(3, temperature=0.7)
        made = asked(model, file, method=cls.name, keep_video=0.5, keep_audio=0.7, decoding=decoding)
        told = [(drop.kept.tolist(), drop.relevance) for drop in made.trace.drops]
        yield cls.name, made.text, made.trace.layers, told, made.trace.saliency


@pytest.fixture(scope="module")
def usual(models, files):
    return {family: list(by_every_method(model, files)) for family, model in models.items()}


@both_families
@pytest.mark.parametrize("kind", DEFAULTS)
def test_what_torch_makes_tensors_of_by_default_changes_no_answer(models, files, usual, family, kind):
    with defaults(kind):
        others = list(by_every_method(models[family], files))
    assert str(others) == str(usual[family])
    pairs = zip(*([r for *_, told, _ in these for _, r in told] for these in (usual[family], others)), strict=True)
    assert all(one is other is None or torch.equal(one, other) for one, other in pairs)


@both_families
@pytest.mark.parametrize("kind", ["both", "no sound", "no picture"])
def test_the_report_of_an_answer(models, files, family, kind):
    model = models[family]
    made = asked(model, files[kind])
    report = answer_json(made)
    assert json.loads(json.dumps(report, allow_nan=False)) == json.loads(json.dumps(report))
    assert set(TOP) <= report.keys()
    assert report["schema"] == "seats.answer/1"
    assert (report["question"], report["answer"]) == ("what is red ?", made.text)
    assert report["finish_reason"] == "length"
    assert report["clip"]["path"] == str(files[kind])
    assert report["clip"]["duration_s"] == pytest.approx(4, abs=0.1)
    assert report["model"] == {"name": "tiny", "dtype": "float32", "device": "cpu", "attention": "sdpa"}
    assert report["method"]["name"] == "seats"
    assert report["method"]["kv"] == "keep"
    assert set(report["versions"]) >= {"seats", "torch", "transformers"}
    assert report["versions"]["seats"] == seats.__version__
    assert (report["time_scale"], report["notes"], report["seed"]) == (1.0, list(made.notes), 0)
    assert report["speedup"] == {**vars(made.speedup)}

    video, audio = report["clip"]["video"], report["clip"]["audio"]
    assert (video is None, audio is None) == (kind == "no picture", kind == "no sound")
    trace = made.trace
    for name, there in (("video", video), ("audio", audio)):
        tokens = report["tokens"][name]
        assert set(tokens) == {"full", "pre_llm", "per_layer"}
        assert tokens["per_layer"] == [getattr(counts, name) for counts in trace.layers]
        assert len(tokens["per_layer"]) == 8
        assert tokens["pre_llm"] == tokens["per_layer"][0]
        assert (tokens["full"] > 0) == (there is not None)
        assert tokens["full"] >= tokens["pre_llm"] >= tokens["per_layer"][-1] == 0
        share = None if there is None else sum(tokens["per_layer"]) / 8 / tokens["full"]
        assert report["retention"][name] == (share if share is None else pytest.approx(share))
    full, alive = (sum(report["tokens"][name][key] for name in ("video", "audio")) for key in ("full", "pre_llm"))
    assert alive < full
    mean = sum(sum(report["tokens"][name]["per_layer"]) for name in ("video", "audio")) / 8
    assert report["retention"]["overall"] == pytest.approx(mean / full)
    if video is not None:
        side = model.patches.token_side
        assert report["tokens"]["video"]["full"] == video["frames"] // 2 * (video["height"] // side) * (
            video["width"] // side
        )
        assert (video["source_width"], video["source_height"]) == (160, 120)
        assert video["width"] > video["height"]
        assert video["fps"] == pytest.approx(2, rel=0.05)
    if audio is not None:
        assert audio == {"seconds": pytest.approx(4, abs=0.1), "sample_rate": 16000}
        rate = 25 if family == "qwen2.5-omni" else 13
        assert report["tokens"]["audio"]["full"] == pytest.approx(4 * rate, abs=4)


def test_a_name_that_is_not_utf_8_is_told_in_letters(models, files):
    clip = replace(load_clip(files["both"]), path=Path("a\udcff.mp4"))
    made = answer(models["qwen2.5-omni"], clip, Question("what is red ?", decoding=Decoding(2)))
    assert answer_json(made)["clip"]["path"] == "a\\xff.mp4"


def test_the_report_of_a_part_tells_it_from_the_whole(models, files):
    model = models["qwen2.5-omni"]
    clip = load_clip(files["both"], sampling=model.sampling, start_s=1.0, end_s=3.0)
    told = answer_json(answer(model, clip, Question("what is red ?", decoding=Decoding(2))))["clip"]
    assert (told["start_s"], told["end_s"]) == (1.0, 3.0)
    assert told["duration_s"] == pytest.approx(4, abs=0.1)


@both_families
def test_costs_and_times_agree_with_each_other(models, files, family):
    model = models[family]
    made = asked(model, files["both"])
    report = answer_json(made)
    flops = report["flops"]
    assert list(flops["parts"]) == list(flops["parts_full"]) == PARTS
    assert sum(flops["parts"].values()) == pytest.approx(flops["run"])
    assert sum(flops["parts_full"].values()) == pytest.approx(flops["full"])
    assert flops["reduction"] == pytest.approx(flops["full"] / flops["run"])
    assert flops["parts"]["llm_prefill"] < flops["parts_full"]["llm_prefill"]
    assert flops["parts"]["vision_encoder"] == flops["parts_full"]["vision_encoder"] > 0
    assert (flops["parts"]["selection"] > 0, flops["parts_full"]["selection"]) == (True, 0)
    assert flops["paper_macs"]["full"] > flops["paper_macs"]["run"] > 0
    assert flops["llm_reduction"] > 1

    latency = report["latency_ms"]
    assert set(STEPS) <= latency.keys()
    assert latency["decode_clip"] == 12.5
    assert all(latency[step] > 0 for step in STEPS)
    steps = ("decode_clip", "prepare", "encode_video", "encode_audio", "selection", "prefill")
    assert sum(latency[step] for step in steps) <= latency["first_token"] * 1.001
    assert latency["total"] == pytest.approx(latency["first_token"] + 5 * latency["per_output_token"], rel=0.01)

    speedup = report["speedup"]
    assert (speedup["basis"], speedup["spread"]) == ("estimated", None)
    assert (speedup["prefill"] > 1) == (speedup["first_token"] > 1)  # on so small a model choosing may cost more
    text = model.thinker.config.text_config
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    cached = sum(made.trace.cache_tokens)
    assert report["memory_bytes"]["kv_cache"] == cached * 2 * text.num_key_value_heads * head * 4
    assert report["memory_bytes"]["peak_device"] > 10**6


def test_the_end_of_an_answer_is_told_once_before_full_tokens_are_measured(models, files, monkeypatch):
    model, moments = models["qwen2.5-omni"], []
    measured = answer_module.measured_speedup
    monkeypatch.setattr(
        answer_module, "measured_speedup", lambda *given: moments.append("measured") or measured(*given)
    )
    clip = load_clip(files["no picture"], sampling=model.sampling)
    asked = Question("what is red ?", decoding=Decoding(2), compare=True)
    answer(model, clip, asked, on_text=lambda _: moments.append("text"), on_end=lambda: moments.append("end"))
    assert moments[-3:] == ["text", "end", "measured"]
    assert moments.count("end") == 1


def test_an_answer_that_was_cut_says_so_in_words(models, files):
    made = asked(models["qwen2.5-omni"], files["no picture"], decoding=Decoding(1))
    assert made.cut == "the answer was cut after 1 token"
    assert replace(made, text="red", thoughts="Is it ?").cut == made.cut
    thinking = replace(made, text="", thoughts="Is it ?")
    assert thinking.cut == "the model was still thinking after 1 token, so there is no answer"
    assert replace(made, finish_reason="stop").cut is None


def test_the_same_answer_twice_costs_the_same(models, files):
    first, second = (asked(models["qwen2.5-omni"], files["both"]) for _ in range(2))
    assert first.text == second.text
    assert first.trace.layers == second.trace.layers
    assert first.flops == second.flops


def test_answers_and_what_they_hold_are_equal_to_themselves_alone(models, files):
    first, second = (asked(models["qwen2.5-omni"], files["both"], decoding=Decoding(2)) for _ in range(2))
    again = replace(second)
    for one in (first, first.clip, first.clip.video, first.clip.audio, first.model, first.trace, first.trace.drops[0]):
        assert one == one
    assert first != second != again
    assert first.trace != second.trace == again.trace
    assert first.trace.layout != second.trace.layout
    assert first.trace.drops[0] in first.trace.drops
    assert len({first, second, again, first.trace, second.trace, first.model, second.model, *first.trace.drops}) == (
        6 + len(first.trace.drops)
    )


def test_full_tokens_cost_what_full_costs(models, files):
    made = asked(models["qwen2.5-omni"], files["both"], method="full")
    report = answer_json(made)
    assert report["retention"] == {"video": 1.0, "audio": 1.0, "overall": 1.0}
    assert report["flops"]["reduction"] == 1.0
    assert report["speedup"]["prefill"] == 1.0
    assert report["method"] == {"name": "full", "kv": "keep"}


def test_where_full_tokens_do_not_fit_the_answer_stays_and_the_speedup_is_estimated(models, files, monkeypatch):
    model = models["qwen2.5-omni"]
    layer, measuring = model.thinker.layers[3], []
    forward, measured = layer.forward, answer_module.measured_speedup
    monkeypatch.setattr(answer_module, "measured_speedup", lambda *given: measuring.append(True) or measured(*given))

    def of_few_tokens(hidden, *args, **kwargs):
        if measuring and hidden.shape[1] > 100:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(hidden, *args, **kwargs)

    alone = asked(model, files["both"])
    monkeypatch.setattr(layer, "forward", of_few_tokens)
    made = asked(model, files["both"], compare=True)
    assert measuring
    assert made.text == alone.text
    assert made.speedup.basis == "estimated"
    note = "not enough memory on cpu to measure the speed-up, so it is estimated"
    assert made.notes == (*alone.notes, note)


def test_times_add_up():
    steps = {"prepare": 1.0, "encode_video": 2.0, "encode_audio": 3.0, "selection": 4.0, "prefill": 5.0}
    made = SimpleNamespace(first_token_ms=50.0, first_token_at=12.0, per_token_ms=7.0, ids=(1, 2, 3))
    found = answer_module._latency({**steps, "selection": 1.5, "saliency": 2.5}, made, 100.0, None)
    assert found == {
        "decode_clip": 100.0,
        **steps,
        "first_token": 158.5,
        "per_output_token": 7.0,
        "total": 172.5,
    }
    # Where it is known when reading ended, what lies between the steps counts too.
    assert answer_module._latency(steps, made, 100.0, 11.5)["first_token"] == 600.0
    made.per_token_ms = None
    found = answer_module._latency({"prefill": 5.0}, made, None, None)
    assert (found["first_token"], found["total"]) == (50.0, 50.0)
    assert (found["prepare"], found["selection"]) == (0.0, 0.0)
    assert found["decode_clip"] is found["encode_video"] is found["encode_audio"] is found["per_output_token"] is None


@pytest.mark.parametrize("kv", ["keep", "drop"])
def test_the_cache_policy_reaches_the_report(models, files, kv):
    made = asked(models["qwen3-omni"], files["both"], kv=kv)
    report = answer_json(made)
    assert report["method"]["kv"] == kv
    expected = [counts.total for counts in made.trace.layers] if kv == "keep" else [made.trace.full.text] * 8
    assert made.trace.cache_tokens == expected


def test_keep_and_its_two_parts(models, files):
    model = models["qwen2.5-omni"]
    pair = asked(model, files["both"], keep=10).method
    assert (pair.video, pair.audio) == (0.06, 0.35)
    one = asked(model, files["both"], keep=10, keep_audio=0.5).method
    assert (one.video, one.audio) == (0.06, 0.5)
    with pytest.raises(SettingsError, match="95 % of the video"):
        asked(model, files["both"], keep_video=0.95)
    with pytest.raises(SettingsError, match="unknown method"):
        asked(model, files["both"], method="sheats")


def test_a_method_that_is_none_is_told_before_anything_is_encoded(models, files, monkeypatch):
    class Mine(Random):
        @classmethod
        def for_model(cls, shape, retention, seed):
            cls(retention.video, retention.audio, seed)

    monkeypatch.setitem(registry._BUILT_IN, "mine", Mine)
    monkeypatch.setattr(answer_module, "encode_clip", None)
    with pytest.raises(SettingsError, match=r"what Mine.for_model returns is None; it must be a seats\.Method"):
        asked(models["qwen2.5-omni"], files["both"], method="mine")


def test_what_a_user_must_know_is_in_the_notes(models, files, monkeypatch):
    model = models["qwen2.5-omni"]
    assert any("sound" in note for note in asked(model, files["no sound"]).notes)
    assert asked(model, files["both"]).time_scale == 1
    monkeypatch.setattr(model.thinker.config.text_config, "max_position_embeddings", 80)
    pressed = asked(model, files["both"])
    assert pressed.time_scale < 1
    assert any(f"times were compressed to {100 * pressed.time_scale:.0f} %" in note for note in pressed.notes)
    assert answer_json(pressed)["time_scale"] == pressed.time_scale


def test_sound_that_was_left_out_is_in_the_notes(models, tmp_path):
    path = write_clip(tmp_path / "a.mkv", frames=20, rate=10, sound=tone(0.005), sound_codec="pcm_s16le")
    assert any("too short for a single token" in note for note in asked(models["qwen2.5-omni"], path).notes)


def test_more_tokens_than_asked_for_are_in_the_notes(models, files):
    made = asked(models["qwen2.5-omni"], files["no sound"], method="dycoke", keep=60)
    kept, target = made.trace.retention("overall"), made.method.video
    assert kept > 1.1 * target
    told = f"dycoke keeps {100 * kept:.0f} % of this clip's video and audio tokens, {100 * target:.0f} % were asked for"
    assert told in made.notes
    exact = asked(models["qwen2.5-omni"], files["no sound"], method="random", keep=60)
    assert not any("asked for" in note for note in exact.notes)


def test_a_question_keeps_its_history_when_a_list_goes_on():
    turns = [seats.Turn("Who?", "Red.")]
    question = Question("And now?", history=turns)
    turns.append("no turn")
    assert question.history == (seats.Turn("Who?", "Red."),)
    assert hash(question) == hash(Question("And now?", history=tuple(question.history)))


@pytest.mark.parametrize("question", ["", " \n", Question("")])
def test_a_question_without_words_is_refused(models, files, question):
    with pytest.raises(SettingsError, match="the question is empty"):
        seats.answer(models["qwen2.5-omni"], load_clip(files["both"]), question)


def test_the_public_names(models, files):
    """What the README shows works from the package's top, and is found there."""
    assert set(seats.__all__) <= set(dir(seats))
    model = models["qwen3-omni"]
    pieces = []
    made = seats.answer(
        model,
        seats.load_clip(files["both"], sampling=model.sampling),
        seats.Question("who says red ?", method="random", decoding=seats.Decoding(5, 1.5, seed=3)),
        on_text=pieces.append,
    )
    report = seats.answer_json(made)
    assert "".join(pieces).strip() == made.text == report["answer"]
    assert (report["seed"], report["method"]["seed"]) == (3, 3)
    assert report["latency_ms"]["decode_clip"] is None
    assert math.isfinite(report["latency_ms"]["total"])
    again = flops_report(
        model.thinker.config, made.trace, _workload(model, made.clip), made.method.wants, model.thinker.family
    )
    assert again == made.flops


def _workload(model, clip):
    from seats.costs.flops import Workload
    from seats.tokens.mel import mel_frames

    frames, _, height, width = clip.video.pixels.shape
    patch = model.patches.patch_size
    return Workload((frames // 2, height // patch, width // patch), mel_frames(len(clip.audio.waveform), model.mel))


def test_text_alone_is_a_question(models, files):
    model = models["qwen2.5-omni"]
    clip = load_clip(files["no picture"], sampling=model.sampling)
    assert (
        answer(model, clip, "what is in the clip ?").text == answer(model, clip, Question("what is in the clip ?")).text
    )


def test_threads_take_turns(models, files):
    """Each would otherwise find the other's method in the model and leave it there."""
    model = models["qwen2.5-omni"]
    clips = [load_clip(files[kind], sampling=model.sampling) for kind in ("both", "no sound")]
    asked = Question("what is in the clip ?", decoding=Decoding(max_new_tokens=4))
    alone = [answer(model, clip, asked) for clip in clips]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda clip: answer(model, clip, asked), clips * 6))
    for made, expected in zip(together, alone * 6, strict=True):
        assert made.text == expected.text
        assert made.trace.layers == expected.trace.layers
    assert "forward" not in model.thinker.text.__dict__


def test_another_question_may_be_asked_in_the_middle_of_an_answer(models, files):
    model = models["qwen2.5-omni"]
    clip = load_clip(files["no picture"], sampling=model.sampling)
    outer, inner = (Question(text, decoding=Decoding(max_new_tokens=6)) for text in ("what is red ?", "how many ?"))
    expected = [answer(model, clip, asked).text for asked in (outer, inner)]
    found = []

    def on_text(_):
        if not found:
            assert turn_of(model).acquire(blocking=False)  # or it would wait for itself
            turn_of(model).release()
            found.append(answer(model, clip, inner).text)

    assert [answer(model, clip, outer, on_text=on_text).text, *found] == expected


def test_a_device_that_the_prompt_fills_is_told_in_one_line(models, files, monkeypatch):
    model = models["qwen2.5-omni"]

    def fail(*_args, **_kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\n many lines")

    monkeypatch.setattr("seats.inference.answer.build_prompt", fail)
    with pytest.raises(OutOfMemoryError, match=r"^the clip's prompt does not fit into cpu: lower --max-frames"):
        answer(model, load_clip(files["both"], sampling=model.sampling), "what ?")
