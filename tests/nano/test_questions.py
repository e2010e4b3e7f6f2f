"""Questions against a second, independent reading of the description."""

import itertools
import random
from collections import Counter

import pytest

from seats.nano.facts import ClipFacts
from seats.nano.questions import all_questions, as_choice, draw_questions
from seats.nano.vocabulary import COLOUR_NAMES, PLURALS, SHAPES, build_tokenizer, encode_words
from seats.nano.world import POST_HALF_WIDTH, describe_clip

CLIPS = 60


def _every_question(split="test", count=CLIPS, **more):
    for index in range(count):
        clip = describe_clip(split, index, **more)
        for question in all_questions(clip, random.Random(index)):
            yield clip, question


def _objects(clip, words):
    """Objects that fit a phrase, found by its words and not by the question's own mentions."""
    shape = next((word for word in words if word in SHAPES), None)
    colour = next((word for word in words if word in COLOUR_NAMES), None)
    return [
        item
        for item in clip.objects
        if (shape is None or item.shape == shape) and (colour is None or item.colour == colour)
    ]


def _sounds(clip, words):
    return [sound for sound in clip.sounds if sound.kind in words]


def _seen_at(clip, sound):
    """Objects visible during the whole of a sound, by exact times."""
    return [item for item in clip.objects if item.start < sound.start and sound.start + sound.duration < item.end]


def _is_on(clip, item, side, time):
    x, _ = item.position(time)
    return x < clip.post_x - POST_HALF_WIDTH if side == "left" else x > clip.post_x + POST_HALF_WIDTH


def _value(item, words):
    return item.colour if {"colour", "color"} & set(words) else item.shape


def test_all_types_occur():
    types = Counter(question.type for _, question in _every_question())
    assert len(types) == 31
    assert min(types.values()) >= 5


def test_a_thing_that_a_question_names_is_one_thing_only():
    for clip, question in _every_question():
        for place, mention in question.mentions:
            phrase = question.words[place - len(mention.words) + 1 : place + 1]
            assert phrase == mention.words
            if mention.kind == "object":
                assert _objects(clip, phrase) == [clip.objects[mention.index]]
            if mention.kind == "sound":
                assert _sounds(clip, phrase) == [clip.sounds[mention.index]]
            if mention.kind == "no_object":
                assert not _objects(clip, phrase)
            if mention.kind == "no_sound":
                assert not _sounds(clip, phrase)


def test_what_is_seen_when_a_sound_is_heard():
    checked = 0
    for clip, question in _every_question():
        if question.type not in ("x_shape_as", "x_shape_while", "x_shape_side"):
            continue
        (sound,) = _sounds(clip, question.words)
        seen = _seen_at(clip, sound)
        if question.type == "x_shape_as":
            seen = [item for item in seen if int(item.start) == int(sound.start)]
        if question.type == "x_shape_side":
            side = "left" if "left" in question.words else "right"
            seen = [item for item in seen if _is_on(clip, item, side, sound.start)]
        assert [_value(item, question.words) for item in seen] == list(question.answer)
        checked += 1
    assert checked > 100


def test_what_is_heard_while_something_is_seen():
    checked = 0
    for clip, question in _every_question():
        if question.type not in ("x_sound_as", "x_sound_while"):
            continue
        (item,) = _objects(clip, question.words)
        heard = [sound for sound in clip.sounds if item in _seen_at(clip, sound)]
        if question.type == "x_sound_as":
            heard = [sound for sound in heard if int(sound.start) == int(item.start)]
        assert [sound.kind for sound in heard] == list(question.answer)
        checked += 1
    assert checked > 100


def test_yes_and_no():
    checked = Counter()
    for clip, question in _every_question():
        words, answer = question.words, question.answer[0]
        if answer not in ("yes", "no"):
            continue
        things = [mention for _, mention in question.mentions]
        if question.type == "x_visible":
            (item,), (sound,) = _objects(clip, things[0].words), _sounds(clip, things[1].words)
            truth = item in _seen_at(clip, sound)
        elif question.type == "x_order":
            (item,), (sound,) = _objects(clip, things[0].words), _sounds(clip, things[1].words)
            truth = item.start < sound.start
            assert abs(item.start - sound.start) > 0.2
        elif question.type == "v_order":
            (one,), (two,) = (_objects(clip, thing.words) for thing in things)
            truth = one.start < two.start
        elif question.type == "a_order":
            (one,), (two,) = (_sounds(clip, thing.words) for thing in things)
            truth = one.start < two.start
        elif question.type == "v_is_there":
            truth = bool(_objects(clip, things[0].words))
        else:
            assert question.type == "a_is_there"
            truth = bool(_sounds(clip, words))
        assert answer == ("yes" if truth else "no")
        checked[question.type, answer] += 1
    # Nobody gains by always saying the same.
    for type_ in {type_ for type_, _ in checked}:
        yes, no = checked[type_, "yes"], checked[type_, "no"]
        assert 0.3 < yes / (yes + no) < 0.7, type_


def test_order_time_and_place():
    for clip, question in _every_question():
        words, answer = question.words, question.answer
        objects = sorted(clip.objects, key=lambda item: item.start)
        sounds = sorted(clip.sounds, key=lambda sound: sound.start)
        if question.type in ("v_first", "v_last"):
            item = objects[0 if question.type == "v_first" else -1]
            assert answer == (_value(item, words),)
        elif question.type in ("v_after", "v_before"):
            (item,) = _objects(clip, question.mentions[0][1].words)
            other = objects[objects.index(item) + (1 if question.type == "v_after" else -1)]
            assert answer == (_value(other, words),)
        elif question.type in ("a_after", "a_before"):
            (sound,) = _sounds(clip, words)
            assert answer == (sounds[sounds.index(sound) + (1 if question.type == "a_after" else -1)].kind,)
        elif question.type in ("a_first", "a_last"):
            assert answer == (sounds[0 if question.type == "a_first" else -1].kind,)
        elif question.type == "v_when":
            (item,) = _objects(clip, question.mentions[0][1].words)
            assert answer == (str(int(item.start)),)
        elif question.type == "a_when":
            (sound,) = _sounds(clip, words)
            assert answer == (str(int(sound.start)),)
        elif question.type == "v_side":
            (item,) = _objects(clip, question.mentions[0][1].words)
            assert all(_is_on(clip, item, answer[0], time) for time in (item.start, item.end))
        elif question.type == "a_second":
            assert [sound.kind for sound in sounds if str(int(sound.start)) in words] == list(answer)


def test_counts_and_lists():
    for clip, question in _every_question():
        if question.type == "v_count":
            plural = {name: shape for shape, name in PLURALS.items()}
            wanted = [plural.get(word, word) for word in question.words]
            assert question.answer == (str(len(_objects(clip, wanted))),)
        elif question.type == "a_count":
            assert question.answer == (str(len(_sounds(clip, question.words))),)
        elif question.type == "d_sounds":
            assert question.answer_text == " then ".join(sound.kind for sound in clip.sounds)
        elif question.type == "d_shapes":
            in_order = sorted(clip.objects, key=lambda item: item.start)
            assert question.answer_text == " then ".join(f"{item.colour} {item.shape}" for item in in_order)
        elif question.type == "d_clip":
            parts = question.answer_text.split(" then ")
            assert sorted(parts) == sorted(
                [f"{item.colour} {item.shape}" for item in clip.objects] + [sound.kind for sound in clip.sounds]
            )
            begins = {f"{item.colour} {item.shape}": item.start for item in clip.objects}
            for before, after in itertools.pairwise(parts):
                if before in begins and after in begins:
                    assert begins[before] < begins[after]


def test_questions_only_ask_about_what_the_clip_has():
    assert {q.type[0] for _, q in _every_question(has_audio=False)} == {"v", "d"}
    assert {q.type[0] for _, q in _every_question(has_video=False)} == {"a", "d"}
    assert not any(q.type in ("d_shapes", "d_clip") for _, q in _every_question(has_video=False))


def test_types_of_no_weight_are_never_drawn():
    clip = describe_clip("test", 0)
    weights = {question.type: 0.0 for question in all_questions(clip, random.Random(0)) if question.type[0] != "a"}
    drawn = draw_questions(clip, random.Random(0), 1000, weights)
    assert {question.type[0] for question in drawn} == {"a"}


def test_choices_hold_the_right_answer_once():
    for clip, question in _every_question(count=20):
        if not question.category:
            continue
        choice = as_choice(question, clip, random.Random(1))
        assert len(set(choice.options)) == 4
        assert choice.options["abcd".index(choice.answer[0])] == question.answer[0]
        assert choice.text.startswith(question.text + "\nA. ")


def test_the_tokenizer_reads_questions_as_training_does():
    tokenizer = build_tokenizer()
    for index in range(CLIPS):
        for question in draw_questions(describe_clip("test", index), random.Random(index), 12):
            assert tokenizer.encode(question.text).ids == encode_words([*question.words])
            assert tokenizer.decode(encode_words([*question.answer])) == question.answer_text


@pytest.mark.parametrize("index", range(5))
def test_facts_of_a_second_agree_with_exact_times(index):
    clip = describe_clip("validation", index)
    facts = ClipFacts(clip)
    for second in range(clip.seconds):
        middle = second + 0.5
        assert facts.visible[second] == [
            number for number, item in enumerate(clip.objects) if item.start < middle < item.end
        ]
