import json
import os
from pathlib import Path

import pytest

from seats.errors import MediaError, SettingsError
from seats.evaluation.qa import check_clips, load_qa
from seats.nano.testset import held_out_clips, question_lines

GOOD = {"clip": "a.mp4", "question": "What?", "answer": "red"}


def write(folder: Path, *rows: object) -> Path:
    file = folder / "questions.jsonl"
    file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n\n")
    return file


def test_a_set_is_read_with_clips_beside_it(tmp_path):
    first, second = load_qa(
        write(tmp_path, {**GOOD, "type": "colour", "id": "x"}, {**GOOD, "clip": "sub/b.mp4", "answer": ["so", "thus"]})
    )

    assert (first.id, first.clip, first.type, first.answers) == ("x", tmp_path / "a.mp4", "colour", ("red",))
    assert (second.id, second.clip, second.type) == ("2", tmp_path / "sub" / "b.mp4", "")
    assert [second.is_right(given) for given in ("Thus.", "The answer is so.", "then")] == [True, True, False]


def test_null_is_what_is_not_there(tmp_path):
    """As tables write it, pandas' for one."""
    nothing = {"id": None, "type": None, "options": None, "note": None}
    (item,) = load_qa(write(tmp_path, {**GOOD, **nothing}))
    assert (item.id, item.type, item.options) == ("1", "", ())


def test_rows_of_an_evaluation_are_no_set(tmp_path):
    """Their question is a digest, which would be asked."""
    with pytest.raises(SettingsError, match=r"line 1.* a row that seats wrote, and no question of a set"):
        load_qa(write(tmp_path, {**GOOD, "schema": "seats.eval-row/1"}))


def test_a_type_of_question_steers_no_terminal(tmp_path):
    (item,) = load_qa(write(tmp_path, {**GOOD, "type": "\x1b]0;title\x07ev\u202eil"}))
    assert item.type == "\ufffd]0;title\ufffdev\ufffdil"


def test_a_text_may_hold_line_separators_that_json_does_not_escape(tmp_path):
    odd = "What is\u2028it?\x85Say."
    first, second = load_qa(write(tmp_path, json.dumps({**GOOD, "question": odd}, ensure_ascii=False) + "\r", GOOD))

    assert (first.question, second.line) == (odd, 2)


def test_options_make_the_prompt_and_judge_the_answer(tmp_path):
    options = {"options": ["cat", "dog", "3"]}
    by_letter, by_text, by_number = load_qa(
        write(
            tmp_path,
            {**GOOD, **options, "answer": "b"},
            {**GOOD, **options, "answer": "Dog"},
            {**GOOD, **options, "answer": 3},
        )
    )

    assert by_letter.prompt == "What?\nA. cat\nB. dog\nC. 3\nAnswer with the letter."
    assert by_letter.answers == by_text.answers == ("B",)
    assert by_number.answers == ("C",)
    assert [by_text.is_right(given) for given in ("B", "b) dog", "dog", "A", "cat", "B or C")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


def test_the_built_in_set_is_asked_as_it_stands(tmp_path):
    lines = [
        line for test, _ in zip(held_out_clips(), range(12), strict=False) for line in question_lines(test).splitlines()
    ]
    items = load_qa(write(tmp_path, *lines))

    assert any(item.options for item in items)
    assert [item.prompt for item in items] == [json.loads(line)["question"] for line in lines]
    assert [item.answers[0].casefold() for item in items] == [json.loads(line)["answer"] for line in lines]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("clip,question,answer", 'column 1); each line of a set is an object {"clip": '),
        ("[1]", "expected an object"),
        ({"clip": "a.mp4", "question": "What?"}, "answer is missing"),
        ({**GOOD, "clip": 3.5}, "clip is 3.5"),
        ({**GOOD, "question": " "}, "question is empty"),
        ({**GOOD, "answer": ""}, "answer is empty"),
        ({**GOOD, "answer": 2.5}, "answer is 2.5, not a text: put it in quotes"),
        ({**GOOD, "question": "What \ud800 ?"}, "question is not UTF-8 text"),
        ({**GOOD, "id": "\ud800"}, "id is not UTF-8 text"),
        ({**GOOD, "id": True}, "id True is no text"),
        ({**GOOD, "type": "\ud800"}, "type is not UTF-8 text"),
        ("[" * 100_000, "not JSON"),
        ({**GOOD, "answer": []}, "empty list"),
        ({**GOOD, "type": "all"}, "type 'all'"),
        ({**GOOD, "options": "cat"}, "options must be a list"),
        ({**GOOD, "options": ["cat"]}, "2 to 26"),
        ({**GOOD, "options": ["cat", "Cat."]}, "options 'cat' and 'Cat.' are the same"),
        ({**GOOD, "options": ["x", "y", "x"]}, "options 'x' and 'x' are the same"),
        ({**GOOD, "options": ["5!", "5"]}, "case, spacing and punctuation aside: word them otherwise"),
        ({**GOOD, "options": ["cat", "dog"]}, "'red' is neither"),
        ({**GOOD, "options": ["cat", "dog"], "answer": "C"}, "'C' is neither"),
        ({**GOOD, "options": ["B", "A"], "answer": "B"}, "letter of one option and the text of another"),
        ({**GOOD, "id": "1"}, "already that of line 1"),
        ({**GOOD, "Options": ["cat", "dog"]}, "key 'Options': write 'options'"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, says):
    with pytest.raises(SettingsError, match="line 2: ") as caught:
        load_qa(write(tmp_path, GOOD, line))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_or_missing_set_is_refused(tmp_path):
    (tmp_path / "none.jsonl").write_text("\n")
    for name in ("none.jsonl", "missing.jsonl"):
        with pytest.raises(SettingsError, match=name):
            load_qa(tmp_path / name)


def test_missing_clips_are_counted_and_the_first_named(tmp_path):
    items = load_qa(
        write(tmp_path, GOOD, {**GOOD, "clip": "b.mp4"}, {**GOOD, "clip": "b.mp4"}, {**GOOD, "clip": "c.mp4"})
    )
    (tmp_path / "a.mp4").touch()

    check_clips(items[:1])
    for some, others in ((items[:3], ""), (items, ", nor 1 other clip")):
        with pytest.raises(MediaError, match=rf"b\.mp4 \(line 2 of the set\) is not there{others}; check"):
            check_clips(some)


def test_a_folder_is_no_clip(tmp_path):
    with pytest.raises(MediaError, match=r"line 1 of the set\) is no file; check"):
        check_clips(load_qa(write(tmp_path, {**GOOD, "clip": "."})))


def test_a_clip_s_name_may_hold_bytes_that_are_not_utf_8(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.mp4")).touch()
    items = load_qa(write(tmp_path, {**GOOD, "clip": "caf\udce9.mp4"}))
    check_clips(items)
    assert os.fsencode(items[0].clip).endswith(b"/caf\xe9.mp4")
