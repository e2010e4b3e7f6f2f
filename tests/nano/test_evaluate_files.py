"""Questions about real files, with the controls that leave something out."""

import json

import pytest
import torch

from seats.nano.config import build_thinker
from seats.nano.evaluate import Accuracy
from seats.nano.evaluate_files import evaluate_file, guess_all, read_questions
from seats.nano.packing import PackedForward
from seats.nano.testset import held_out_clips, write_test_set


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    write_test_set(folder, "validation", clips=2, questions=4)
    return list(read_questions(folder))


def test_questions_come_back_as_they_were_written(files):
    assert [len(file.questions) for file in files] == [4, 4]
    assert all(file.path.exists() for file in files)
    asked = [question for file in files for question in file.questions]
    written = [question for test in held_out_clips("validation", 2, 4) for question in test.questions]
    assert [question.words for question in asked] == [question.words for question in written]
    assert [question.options for question in asked] == [question.options for question in written]
    assert any(question.options for question in asked)


def test_a_line_ends_at_a_line_feed_only(tmp_path):
    record = {"id": "a\u2028b\x85", "clip": "a.mp4", "question": "which shape is red ?", "answer": "ring", "type": "v"}
    (tmp_path / "questions.jsonl").write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    (asked,) = read_questions(tmp_path)
    assert [question.answer for question in asked.questions] == [("ring",)]


@pytest.mark.parametrize("control", ["none", "no_picture", "no_sound", "blind"])
def test_each_control_asks_every_question_and_shows_what_it_says(files, control, monkeypatch):
    torch.manual_seed(0)
    shown = []
    forward = PackedForward(build_thinker().eval())
    monkeypatch.setattr(
        "seats.nano.evaluate_files.encode_video", lambda thinker, frames: shown.append(frames) or _video(frames)
    )
    result = Accuracy()
    evaluate_file(forward, files[0], control, result)
    assert sum(result.asked.values()) == 4
    assert (shown[0].max() == 0) == (control in ("no_picture", "blind"))


def _video(frames):
    return torch.zeros(1, frames.shape[1] // 2 * 36, 160)


def test_guesses_are_counted_like_answers(files):
    result = guess_all(files)
    assert sum(result.asked.values()) == 8
    assert result.of() < 1
