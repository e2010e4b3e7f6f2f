import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seats.errors import MediaError, SettingsError
from seats.evaluation.qa import QAItem
from seats.evaluation.rows import Row
from seats.evaluation.run import Evaluation, answer_clip, plan
from seats.evaluation.settings import Asking, named_settings, set_up
from seats.inference.answer import Question, answer
from seats.inference.generate import Decoding
from seats.media import load_clip
from seats.methods import BeforeLLM, Method, Random, Selection
from seats.models.checkpoint import find_checkpoint
from seats.models.omni import load_model
from tests.checkpoints import save_tiny_checkpoint

SAMPLES = Path(__file__).parents[2] / "samples"
CLIP, OTHER = SAMPLES / "simple.mp4", SAMPLES / "silent.mp4"
DECODING = Decoding(max_new_tokens=3)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_tiny_checkpoint(folder, "qwen2.5-omni")
    return load_model(find_checkpoint(str(folder)), device="cpu")


def item(number: int, clip: Path = CLIP, answer: str = "?", **more) -> QAItem:
    return QAItem(str(number), clip, f"what {number}", (answer,), **more)


def evaluation(model, methods=("full", "seats", "random"), keeps=(10.0,)) -> Evaluation:
    asking = Asking(decoding=DECODING)
    return Evaluation.of(set_up(named_settings(methods, keeps), asking, model.shape), asking, {"name": "m"}, {})


def run(model, items, ready, load=None, done=None) -> list[Row]:
    def decode(path):
        return load_clip(path, sampling=model.sampling, end_s=2.0)

    work = plan(items, ready, done or {}).work
    return [row for clip in work for row in answer_clip(model, ready, clip, load or decode)]


def test_a_clip_is_decoded_once_for_all_questions_and_settings(model):
    loaded = []

    def load(path):
        loaded.append(path)
        return load_clip(path, sampling=model.sampling, end_s=2.0)

    rows = run(model, [item(1), item(2, OTHER), item(3)], evaluation(model), load)

    assert loaded == [CLIP, OTHER]  # although its questions don't follow each other
    assert [(row.id, row.label) for row in rows] == [
        (number, label) for number in "132" for label in ("full", "seats 10%", "random 10%")
    ]
    full, seats, random = rows[:3]
    assert (full.video, full.audio, full.overall) == (1.0, 1.0, 1.0)
    assert seats.video < 0.5
    assert full.llm_flops == full.llm_flops_full == seats.llm_flops_full > seats.llm_flops
    assert min(row.prefill_ms for row in rows) > 0
    assert random.selection_ms > 0
    assert rows[-1].audio is None  # no sound in it
    assert {row.status for row in rows} == {"answered"}


def test_answers_are_those_that_ask_gives(model):
    rows = run(model, [item(1)], evaluation(model))
    clip = load_clip(CLIP, sampling=model.sampling, end_s=2.0)
    for row, method in zip(rows, ("full", "seats", "random"), strict=True):
        said = answer(model, clip, Question("what 1", method, 10.0, decoding=DECODING))
        assert (row.answer, row.finish_reason) == (said.text, said.finish_reason)
        assert row.llm_flops == said.flops.run.after_encoders
        assert row.overall == said.trace.retention("overall")


def test_rows_say_what_they_are_of(model):
    ready = evaluation(model, ("random",))
    (row,) = run(model, [item(1, options=("a", "b"))], ready)
    assert row.about["prompt"] == "what 1\nA. a\nB. b\nAnswer with the letter."
    assert row.about["method"] == {"name": "random", "video": 0.06, "audio": 0.35, "seed": 0}
    assert row.about["asking"]["max_new_tokens"] == 3
    assert row.about["model"]["name"] == "m"
    assert row.about["clip"].startswith("sha256:")
    assert Row.from_line(row.to_line()) == row


def test_the_right_answer_counts_and_any_other_does_not(model):
    ready = evaluation(model, ("full",))
    (seen,) = run(model, [item(1)], ready)
    rows = run(model, [item(1, answer=seen.answer.upper()), item(2, answer="something else")], ready)
    assert [row.right for row in rows] == [True, False]


def test_what_is_done_is_not_done_again(model):
    ready = evaluation(model, ("full", "random"))
    items = [item(1), item(2), item(3, OTHER)]
    rows = run(model, items[:2], ready)
    done = {row.key: row for row in rows}

    again = plan(items, ready, done)
    assert [(work.clip, work.answers) for work in again.work] == [(OTHER, 2)]
    assert len(again.questions) == 3
    # Another setting is to be done for all, and a failed row once more.
    more = evaluation(model, ("full", "random"), (10.0, 25.0))
    assert plan(items, more, done).answers == 2 + 3
    failed = {**done, rows[0].key: Row(*rows[0].key, "1", "", "", "full", "failed")}
    assert plan(items, ready, failed).answers == 2 + 1


def test_what_a_method_cannot_serve_is_not_asked_again(model):
    ready = evaluation(model, ("full",))
    ((_, question, _),) = plan([item(1)], ready, {}).questions
    (digest,) = ready.digests.values()
    for status, left in (("unreachable", 0), ("answered", 0), ("failed", 1)):
        row = Row(question, digest, "1", "", "", "full", status)
        assert plan([item(1)], ready, {row.key: row}).answers == left


def test_a_question_about_a_clip_read_with_fewer_frames_is_another(model):
    ready = evaluation(model, ("full",))
    done = {row.key: row for row in run(model, [item(1)], ready)}
    fewer = plan([item(1)], ready, done, {CLIP: {"max_frames": 4}})
    assert fewer.answers == 1
    (work,) = fewer.work
    (row,) = answer_clip(model, ready, work, lambda path: load_clip(path, sampling=model.sampling, end_s=2.0))
    assert row.about["lowered"] == {"max_frames": 4}
    assert plan([item(1)], ready, {row.key: row}, {CLIP: {"max_frames": 4}}).answers == 0
    assert plan([item(1)], ready, {row.key: row}, {CLIP: {"max_frames": 2}}).answers == 1


def test_a_clip_replaced_after_planning_is_not_answered_for_the_other(model, tmp_path):
    clip = tmp_path / "a.mp4"
    shutil.copy(CLIP, clip)
    ready = evaluation(model, ("full",))
    (work,) = plan([item(1, clip)], ready, {}).work
    shutil.copy(CLIP, clip)  # another file, but the same clip
    (row,) = answer_clip(model, ready, work, lambda path: load_clip(path, sampling=model.sampling, end_s=2.0))
    assert row.status == "answered"
    shutil.copy(OTHER, clip)
    (row,) = answer_clip(model, ready, work, lambda path: load_clip(path, sampling=model.sampling, end_s=2.0))
    assert row.status == "failed"
    assert "changed while it was read; run this again" in row.reason


def test_the_same_question_twice_is_asked_once(model):
    ready = evaluation(model, ("full",))
    planned = plan([item(1), QAItem("x", CLIP, "what 1", ("other",))], ready, {})
    assert (planned.answers, len(planned.questions)) == (1, 2)


def test_a_clip_that_cannot_be_read_costs_its_questions_only(model):
    def load(path):
        if path == CLIP:
            raise MediaError("simple.mp4: no\nway")
        return load_clip(path, sampling=model.sampling, end_s=2.0)

    rows = run(model, [item(1), item(2, OTHER)], evaluation(model, ("full", "random")), load)

    assert [(row.id, row.status) for row in rows] == [
        ("1", "failed"), ("1", "failed"), ("2", "answered"), ("2", "answered"),
    ]  # fmt: skip
    assert rows[0].reason == "simple.mp4: no way"


def test_a_name_that_is_not_utf_8_can_be_written(model, tmp_path):
    good, bad = (tmp_path / os.fsdecode(name) for name in (b"caf\xe9.mp4", b"no \xe9.mp4"))
    shutil.copy(CLIP, good)

    def load(path):
        if path == bad:
            raise MediaError(f"{path}: no such file")
        return load_clip(path, sampling=model.sampling, end_s=2.0)

    rows = run(model, [item(1, good), item(2, bad)], evaluation(model, ("full",)), load)

    assert [Row.from_line(row.to_line()) for row in rows] == rows
    assert [row.clip for row in rows] == [rf"{tmp_path}/caf\xe9.mp4", rf"{tmp_path}/no \xe9.mp4"]
    assert [row.status for row in rows] == ["answered", "failed"]
    assert rows[1].reason == rf"{tmp_path}/no \xe9.mp4: no such file"


class OnlyWithSound(Random):
    """Refuses clips without sound."""

    def before_llm(self, state: BeforeLLM) -> Selection:
        if not state.layout.counts().audio:
            raise SettingsError("it needs sound")
        return super().before_llm(state)


def test_a_clip_that_a_method_cannot_serve_is_told_from_a_failure(model):
    ready = evaluation(model, ("full", "random"))
    methods: dict = dict(ready.compared.methods)
    random = next(setting for setting in methods if setting.method == "random")
    methods[random] = OnlyWithSound(0.5, 0.5)
    ready.compared.methods.update(methods)

    rows = run(model, [item(1), item(2, OTHER)], ready)

    assert [(row.label, row.status, row.reason) for row in rows] == [
        ("full", "answered", ""),
        ("random 10%", "answered", ""),
        ("full", "answered", ""),
        ("random 10%", "unreachable", "it needs sound"),
    ]


def test_questions_that_are_too_long_fail_for_every_method(model):
    long = QAItem("1", CLIP, "what " * 5000, ("?",))
    rows = run(model, [long], evaluation(model, ("full", "random")))
    assert [row.status for row in rows] == ["failed", "failed"]
    assert "shorter question" in rows[0].reason


def test_a_device_without_memory_fails_the_clip(model, monkeypatch):
    def full_up(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("seats.evaluation.run.encode_clip", full_up)
    (row,) = run(model, [item(1)], evaluation(model, ("full",)))
    assert (row.status, row.reason) == ("failed", "CUDA out of memory")


def test_a_machine_without_memory_fails_the_clip(model):
    def load(path):
        if path == CLIP:
            raise MemoryError
        return load_clip(path, sampling=model.sampling, end_s=2.0)

    rows = run(model, [item(1), item(2, OTHER)], evaluation(model, ("full",)), load)
    assert [(row.status, row.reason) for row in rows] == [("failed", "memory ran out"), ("answered", "")]


def test_an_error_that_nobody_foresaw_costs_its_clip_or_answer_only(model, monkeypatch, capsys):
    def load(path):
        return None if path == CLIP else load_clip(path, sampling=model.sampling, end_s=2.0)

    ready = replace(evaluation(model, ("full", "random")), debug=True)
    monkeypatch.setattr(Random, "before_llm", lambda *_: [].pop())
    rows = run(model, [item(1), item(2, OTHER)], ready, load)
    assert [(row.label, row.status) for row in rows] == [
        ("full", "failed"), ("random 10%", "failed"), ("full", "answered"), ("random 10%", "failed"),
    ]  # fmt: skip
    assert rows[0].reason.startswith("unexpected AttributeError: 'NoneType' object has no attribute")
    assert rows[3].reason == "unexpected IndexError: pop from empty list"
    assert capsys.readouterr().err.count("Traceback") == 2


@pytest.mark.skipif(not hasattr(torch, "AcceleratorError"), reason="this torch has no such error")
def test_a_device_that_gives_up_ends_the_run(model, monkeypatch):
    def gives_up(*_):
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    monkeypatch.setattr("seats.evaluation.run.encode_clip", gives_up)
    with pytest.raises(torch.AcceleratorError):
        run(model, [item(1)], evaluation(model, ("full",)))


def test_methods_are_set_up_once(model, monkeypatch):
    ready = evaluation(model, ("full", "random"))
    monkeypatch.setattr(Random, "for_model", classmethod(lambda *_: pytest.fail("set up again")))
    assert all(isinstance(method, Method) for method in ready.compared.methods.values())
    assert len(run(model, [item(1)], ready)) == 2
