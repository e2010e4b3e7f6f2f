"""Plans against real runs: tokens, FLOPs and the allocator's own count of memory."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_check import CASES, check, checked
from seats.errors import MediaError, ModelError, SettingsError
from seats.plan.model import planned_model
from seats.plan.plan import Ask, make_plan
from seats.plan.typical import two_minutes
from seats.selection.budget import paired_runs
from seats.tokens.sequence import SequenceRule, build_sequence
from tests.checkpoints import save_tiny_checkpoint


@pytest.mark.parametrize("number", [0, 1, 2, 5, 8])
def test_a_plan_is_what_the_run_takes(number, tmp_path):
    case = CASES[number]
    if case.model != "seats-nano":
        save_tiny_checkpoint(tmp_path / case.model, case.model)
    _holds(check(case, tmp_path))


def test_clips_that_are_encoded_in_parts(tmp_path, monkeypatch):
    for name in ("seats.models.thinker.PATCHES_AT_ONCE", "seats.plan.memory._PATCHES_AT_ONCE"):
        monkeypatch.setattr(name, 1)
    _holds(check(CASES[2], tmp_path))


@pytest.mark.parametrize(
    ("case", "step", "off"),
    [(CASES[0], "prefill", 0.02), (replace(CASES[7], method="full", kv="keep"), "encode_audio", 0.05)],
)
def test_other_steps_decide_where_pictures_are_encoded_in_small_parts(case, step, off, tmp_path, monkeypatch):
    for name in ("seats.models.thinker.PATCHES_AT_ONCE", "seats.plan.memory._PATCHES_AT_ONCE"):
        monkeypatch.setattr(name, 1)
    if case.model != "seats-nano":
        save_tiny_checkpoint(tmp_path / case.model, case.model)
    memory = check(case, tmp_path)["memory_bytes"]
    assert memory["peak_step"] == step
    assert abs(memory["activations_error"]) < off


def test_memory_of_an_hour_is_that_of_its_prompt():
    """On a GPU neither the encoders nor Stage I decide: what is left of an hour at 10 % does."""
    model, hour = planned_model("qwen2.5-omni-7b"), two_minutes()
    seconds = 3600.0
    hour = replace(
        hour,
        duration_s=seconds,
        pictures=replace(hour.pictures, times=np.arange(int(30 * seconds)) / 30),
        sound=replace(hour.sound, end_s=seconds),
    )
    plan = make_plan(model, hour, Ask(device="cuda", dtype_bytes=2))
    assert plan.part.frames == 768
    assert plan.run.memory.peak_step == "prefill"
    assert plan.run.memory.steps["encode_video"] < 4 * 2**30
    assert plan.needed_bytes < 26 * 2**30


@pytest.mark.parametrize(("seconds", "share"), [(1290.0, None), (3600.0, 36)])
def test_compressed_times_are_said(seconds, share):
    """The 7B has 32,768 positions, 25 a second."""
    clip = two_minutes()
    times = np.arange(int(30 * seconds)) / 30
    clip = replace(clip, duration_s=seconds, pictures=replace(clip.pictures, times=times))
    clip = replace(clip, sound=replace(clip.sound, end_s=seconds))
    notes = make_plan(planned_model("qwen2.5-omni-7b"), clip, Ask()).notes
    told = f"the clip, with room for an answer of {Ask().answer_tokens} tokens, is longer than the model's time range"
    said = [f"{told}: times will be compressed to {share} %"]
    assert list(notes) == ([] if share is None else said)


@pytest.mark.parametrize("name", ["qwen2.5-omni-7b", "qwen3-omni-30b-a3b"])
@pytest.mark.parametrize("heard_s", [0.01, 118.7, 200.0])
@pytest.mark.parametrize("fps", [2.0, 0.7, 0.1])
def test_windows_and_times_are_those_of_the_sequence(name, heard_s, fps):
    """A longer answer leaves less room for times: from the same length on they are compressed, and as much."""
    clip, model = two_minutes(), planned_model(name)
    clip = replace(clip, sound=replace(clip.sound, end_s=heard_s))
    asked = Ask(fps=fps, max_pixels=20 * model.sampling.factor**2)
    plan = make_plan(model, clip, asked)
    sequence = _sequence_of(plan)
    assert plan.windows == int(paired_runs(sequence.layout.modality).max()) + 1
    tokens = plan.full.tokens.pre_llm
    latest = math.ceil(sequence.positions[0, sequence.layout.modality > 0].max()) - sequence.positions[0, 0]
    told = set()
    longest = model.config.text_config.max_position_embeddings - tokens.text - int(latest)
    for answer in range(longest - 3, longest + 4):
        scale = _sequence_of(plan, reserve=answer).time_scale
        notes = make_plan(model, clip, replace(asked, answer_tokens=answer)).notes
        share = f"times will be compressed to {100 * scale:.0f} %"
        assert [note for note in notes if "compressed" in note and share not in note] == []
        assert any(share in note for note in notes) == (scale < 1)
        told.add(scale < 1)
    assert told == {False, True}


def _sequence_of(plan, reserve=0):
    """The sequence of a plan, with words of one number."""
    model, tokens = plan.model, plan.full.tokens.pre_llm
    rule = SequenceRule(
        time=model.family.time_rule(model.config),
        max_position=model.config.text_config.max_position_embeddings,
        video=1, audio=2, audio_start=3, audio_end=4,
        repeats_mark_position=model.family.repeats_mark_position,
    )  # fmt: skip
    times, height, width = plan.grid
    prompt = [1] + [5] * (tokens.text - 2 * bool(tokens.audio))
    return build_sequence(prompt, rule, (times, height // 2, width // 2), 2 / plan.part.fps, tokens.audio, reserve)


def test_selection_saves_most_behind_the_encoders():
    model, clip = planned_model("qwen2.5-omni-7b"), two_minutes()
    plan = make_plan(model, clip, Ask())
    assert 1 < plan.flops_reduction < plan.llm_reduction
    full = make_plan(model, clip, Ask(method="full"))
    assert full.flops_reduction == full.llm_reduction == 1


def test_more_tokens_than_asked_for_are_said():
    part = Ask(method="dycoke", keep=60.0, end_s=0.5)
    plan = make_plan(planned_model("qwen2.5-omni-7b"), two_minutes(), part)
    assert any(note.startswith("dycoke keeps ") and "were asked for" in note for note in plan.notes)
    assert make_plan(planned_model("qwen2.5-omni-7b"), two_minutes(), replace(part, method="seats")).notes == ()


def test_a_target_that_is_missed_is_said_though_the_clip_has_a_say():
    """In small pictures whole tokens of each are far from a share, whatever is in them."""
    part = Ask(method="fastvid", keep=5.0, end_s=6.0, max_pixels=168 * 168)
    plan = make_plan(planned_model("qwen2.5-omni-7b"), two_minutes(), part)
    assert not plan.run.tokens.exact
    assert any(note.startswith("fastvid keeps ") and "were asked for" in note for note in plan.notes)


def test_a_part_too_short_for_a_token_is_refused():
    sound_alone = replace(two_minutes(), pictures=None)
    with pytest.raises(MediaError, match="nothing to look at or listen to"):
        make_plan(planned_model("qwen2.5-omni-7b"), sound_alone, Ask(start_s=1.0, end_s=1.005))
    plan = make_plan(planned_model("qwen2.5-omni-7b"), two_minutes(), Ask(start_s=1.0, end_s=1.005))
    assert plan.full.tokens.pre_llm.audio == plan.full.flops.audio_encoder == 0
    assert "sound of 0.005 s is too short for a single token and is left out" in plan.notes
    plan = make_plan(planned_model("qwen2.5-omni-7b"), two_minutes(), Ask(start_s=1.0, end_s=1.03))
    assert (plan.full.tokens.pre_llm.audio, plan.notes) == (1, ())


@pytest.mark.slow
def test_ten_settings(tmp_path):
    found = checked(tmp_path)
    assert found["settings"] == 10
    for one in found["cases"]:
        _holds(one)


def _holds(one):
    tokens, flops, memory = one["tokens"], one["flops"], one["memory_bytes"]
    assert tokens["planned"] == tokens["real"]
    assert tokens["pre_llm_planned"] == tokens["pre_llm_real"]
    assert tokens["later_layers_off_by"] <= tokens["later_layers_promised_within"]
    assert flops["full_planned"] == flops["full_real"]
    if tokens["later_layers_off_by"] == 0:
        assert flops["planned"] == flops["real"]
    assert flops["relative_error"] == pytest.approx(0, abs=2e-3)
    assert memory["weights_planned"] == memory["weights_real"]
    assert abs(memory["activations_error"]) < 0.05


def test_planning_needs_no_torch():
    code = (
        "import sys, seats.plan.search, seats.plan.document; from seats.plan.model import planned_model; "
        "planned_model('qwen2.5-omni-7b'); planned_model('seats-nano'); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_answer_that_leaves_no_room_is_refused_as_by_ask():
    with pytest.raises(SettingsError, match=r"may have 5000, but the model's range is 4096 .* --max-new-tokens"):
        make_plan(planned_model("seats-nano"), two_minutes(), Ask(answer_tokens=5000))


def test_what_is_wrong_with_a_model_in_the_cache_is_told(tmp_path, monkeypatch):
    folder = tmp_path / "models--some--model"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for content, said in (('{"model_type": "llama"}', "some/model is a llama model"), ("{", "is not valid JSON")):
        (folder / "snapshots" / "abc" / "config.json").write_text(content)
        with pytest.raises(ModelError, match=said):
            planned_model("some/model")
