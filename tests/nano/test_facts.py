"""Facts that training asks for, against the clip's own words."""

import random

import pytest

from seats.nano.facts import GROUPS, ClipFacts
from seats.nano.questions import all_questions
from seats.nano.world import describe_clip


@pytest.fixture(scope="module", params=range(12))
def clip(request):
    return describe_clip("validation", request.param)


def _following(facts, labels):
    shape, colour, sound = (GROUPS[group][labels[f"following_{group}"]] for group in ("shape", "colour", "sound"))
    return " ".join(word for word in (colour, shape, sound) if word != "none")


def test_following_facts_chain_the_whole_description(clip):
    facts = ClipFacts(clip)
    names = {"object": lambda i: f"{clip.objects[i].colour} {clip.objects[i].shape}"}
    names["sound"] = lambda i: clip.sounds[i].kind
    told = [names[kind](index) for kind, index in facts.events]
    labels = [facts.of_object(i) if kind == "object" else facts.of_sound(i) for kind, i in facts.events]
    assert [_following(facts, item) for item in labels] == [*told[1:], ""]
    described = [q.answer_text for q in all_questions(clip, random.Random(0)) if q.type == "d_clip"]
    assert not described or described == [" then ".join(told)]


def test_the_last_of_a_kind_has_the_number_of_that_kind(clip):
    facts = ClipFacts(clip)
    colours = [item.colour for item in clip.objects]
    for index, colour in enumerate(colours):
        if colour not in colours[index + 1 :]:
            assert facts.nth(index)["nth_of_colour"] == colours.count(colour)
    kinds = [sound.kind for sound in clip.sounds]
    for index, kind in enumerate(kinds):
        if kind not in kinds[:index]:
            assert facts.nth_of_sound(index) == 1
        if kind not in kinds[index + 1 :]:
            assert facts.nth_of_sound(index) == kinds.count(kind)


def test_what_is_counted_carries_its_number(clip):
    for question in all_questions(clip, random.Random(1)):
        if question.type in ("v_count", "a_count"):
            ((place, mention),) = question.mentions
            assert mention.kind == "count"
            assert str(mention.index) == question.answer_text
            assert question.words[place] == mention.words[-1]


def test_a_sound_asked_about_with_a_side_knows_what_is_there(clip):
    facts = ClipFacts(clip)
    asked = [q for q in all_questions(clip, random.Random(0)) if q.type == "x_shape_side"]
    for question in asked:
        ((_, mention),) = question.mentions
        assert mention.side in question.words
        labels = facts.of_sound(mention.index, mention.side)
        known = GROUPS[question.category][labels[f"asked_{question.category}"]]
        assert known == question.answer_text
    assert not any(name.startswith("asked_") for i in range(len(clip.sounds)) for name in facts.of_sound(i))
