"""What a model thinks is no part of its answer."""

import pytest

from seats.inference.thoughts import part_thoughts


@pytest.mark.parametrize(
    ("text", "begun", "thoughts", "answer"),
    [
        ("A circle.", False, None, "A circle."),
        (" A circle.", False, None, " A circle."),
        ("", False, None, ""),
        ("<think>\nIs it? Yes.\n</think>\n\nA circle.", False, "Is it? Yes.", "A circle."),
        ("\n<think>\n\n</think>\n\nB", False, "", "B"),
        ("Is it? Yes.\n</think>\n\nA circle.", True, "Is it? Yes.", "A circle."),
        ("<think>\nIs it", False, "Is it", ""),
        ("Is it", True, "Is it", ""),
        ("Is <think> a word? </think> yes", False, None, "Is <think> a word? </think> yes"),
        ("<th", False, None, "<th"),
    ],
)
def test_thoughts_and_answer(text, begun, thoughts, answer):
    assert part_thoughts(text, begun) == (thoughts, answer)


@pytest.mark.parametrize("begun", [False, True])
def test_pieces_of_the_answer_never_take_back_a_letter(begun):
    text = ("" if begun else "<think>") + "a < b </th> c</think>\n\nA <think> B"
    given = ""
    for end in range(len(text) + 1):
        _, answer = part_thoughts(text[:end], begun, whole=end == len(text))
        assert answer.startswith(given)
        given = answer
    assert given == "A <think> B"
