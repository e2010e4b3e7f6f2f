import json

import pytest

from seats.errors import SettingsError
from seats.evaluation.qa import load_qa, same_answer


def test_a_set_is_read_with_clips_beside_it(tmp_path):
    file = tmp_path / "questions.jsonl"
    rows = [
        {"clip": "a.mp4", "question": "What?", "answer": "red", "type": "colour", "id": "x"},
        {"clip": "sub/b.mp4", "question": "Why?", "answer": "so"},
    ]
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")

    first, second = load_qa(file)

    assert (first.id, first.clip, first.type) == ("x", tmp_path / "a.mp4", "colour")
    assert (second.id, second.clip, second.type) == ("2", tmp_path / "sub" / "b.mp4", "")


@pytest.mark.parametrize("line", ["{", "[1]", '{"clip": "a.mp4", "question": "What?"}', '{"clip": 3}'])
def test_a_bad_line_is_named(tmp_path, line):
    file = tmp_path / "questions.jsonl"
    file.write_text('{"clip": "a.mp4", "question": "What?", "answer": "red"}\n' + line)

    with pytest.raises(SettingsError, match="line 2"):
        load_qa(file)


def test_an_empty_or_missing_set_is_refused(tmp_path):
    (tmp_path / "none.jsonl").write_text("\n")
    for name in ("none.jsonl", "missing.jsonl"):
        with pytest.raises(SettingsError, match=name):
            load_qa(tmp_path / name)


@pytest.mark.parametrize(
    ("given", "right", "same"),
    [
        ("Red circle.", "red circle", True),
        ("red  circle", "red circle", True),
        ("B.", "b", True),
        ("red", "red circle", False),
        ("circle red", "red circle", False),
        ("", "red", False),
    ],
)
def test_answers_are_compared_by_their_words(given, right, same):
    assert same_answer(given, right) is same
