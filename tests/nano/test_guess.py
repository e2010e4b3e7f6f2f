"""Guessing by the wording alone: what any answer has to beat."""

import random

from seats.nano.guess import Guesser
from seats.nano.questions import all_questions, draw_questions
from seats.nano.world import describe_clip


def test_the_wording_gives_little_away():
    guesser = Guesser(clips=300)
    right, asked = {}, {}
    for index in range(150):
        for question in all_questions(describe_clip("validation", index), random.Random(index)):
            kind = "yes or no" if question.answer[0] in ("yes", "no", "left", "right") else question.category
            right[kind] = right.get(kind, 0) + (guesser.answer(question) == question.answer)
            asked[kind] = asked.get(kind, 0) + 1
    share = {kind: right[kind] / asked[kind] for kind in asked}
    assert share["yes or no"] < 0.6
    assert share["colour"] < 0.2
    assert share["shape"] < 0.25
    assert share["sound"] < 0.2


def test_a_choice_is_guessed_from_what_its_options_offer():
    guesser = Guesser(clips=300)
    right = []
    for index in range(200):
        clip = describe_clip("validation", index)
        for question in draw_questions(clip, random.Random(index), 60, choice_rate=1.0):
            if question.type in ("v_count", "a_count"):
                right.append(guesser.answer(question) == question.answer)
    assert sum(right) / len(right) > 0.6  # hardly anything comes 0 times, or more than 3


def test_a_wording_never_met_has_no_answer():
    guesser = Guesser(clips=1, questions=1)
    clip = describe_clip("validation", 0)
    assert sum(guesser.answer(question) == () for question in all_questions(clip, random.Random(0))) > 5
