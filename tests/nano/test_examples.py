"""Labels of the auxiliary losses, read back as words."""

import random

import pytest

from seats.nano.examples import make_batch
from seats.nano.facts import FACT_NAMES, FACTS, GROUPS, IGNORE
from seats.nano.vocabulary import LETTERS, WORDS
from seats.nano.world import describe_clip


@pytest.fixture(scope="module")
def batch():
    clips = [describe_clip("train", index, 6) for index in range(6)]
    return make_batch(clips, 24, random.Random(4))


def _each_question(batch):
    for row, asked in enumerate(batch.questions):
        for number, question in enumerate(asked):
            yield row, (batch.block[row] == number), question


def test_targets_are_the_answer_and_the_end(batch):
    for row, places, question in _each_question(batch):
        target = batch.target[row][places]
        assert [WORDS[word] for word in target.tolist() if word != IGNORE] == [*question.answer, "<|im_end|>"]
        assert batch.offset[row][places].tolist() == list(range(int(places.sum())))


def test_the_early_answer_is_at_the_question_mark_and_at_the_end_of_the_prompt(batch):
    for row, places, question in _each_question(batch):
        found = [
            (WORDS[word], WORDS[answer])
            for word, answer in zip(batch.ids[row][places], batch.early_answer[row][places], strict=True)
            if answer != IGNORE
        ]
        if question.describes:
            assert not found
        else:
            right = question.options[LETTERS.index(question.answer[0])] if question.options else question.answer[0]
            assert found == [("?", right), ("assistant", right)]


def test_each_option_of_a_choice_carries_its_letter(batch):
    choices = 0
    for row, places, question in _each_question(batch):
        words, letters = batch.ids[row][places], batch.option_letter[row][places]
        found = {WORDS[word]: int(letter) for word, letter in zip(words, letters, strict=True) if letter != IGNORE}
        assert found == {option: number for number, option in enumerate(question.options)}
        choices += bool(question.options)
    assert choices > 5


def test_the_place_of_the_answer_points_at_the_right_option(batch):
    for row, places, question in _each_question(batch):
        words, pointers = batch.ids[row][places], batch.option_at[row][places]
        found = [
            (WORDS[word], WORDS[words[pointer]])
            for word, pointer in zip(words, pointers, strict=True)
            if pointer != IGNORE
        ]
        expected = question.options[LETTERS.index(question.answer[0])] if question.options else None
        assert found == ([("assistant", expected)] if expected else [])


def test_things_named_carry_their_facts(batch):
    names = 0
    for row, places, question in _each_question(batch):
        for word, labels in zip(batch.ids[row][places], batch.question_facts[row][places], strict=True):
            facts = {
                name: GROUPS[FACTS[name]][value]
                for name, value in zip(FACT_NAMES, labels.tolist(), strict=True)
                if value != IGNORE
            }
            word = WORDS[word]
            if facts and word in GROUPS["sound"] and not question.type.endswith(("is_there", "_count")):
                assert facts["sound"] == word
            if facts and word in GROUPS["shape"] and question.type != "v_is_there":
                assert facts["shape"] == word
            names += bool(facts)
    assert names > 50


def test_video_tokens_say_what_they_show_and_when(batch):
    shape, time = FACT_NAMES.index("shape"), FACT_NAMES.index("time")
    for facts in batch.video_facts:
        shown = facts[:, shape] > 0
        assert 0.02 < shown.float().mean() < 0.5
        seconds = facts[shown][:, time]
        assert (seconds == shown.nonzero().squeeze(1) // 36).all()
