"""Questions about a clip and their right answers, read off its description."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from seats.nano.facts import ClipFacts
from seats.nano.vocabulary import COLOUR_NAMES, DIGITS, LETTERS, PLURALS, SHAPES, SOUNDS
from seats.nano.world import ClipDescription, ShapeObject

CATEGORIES = {"colour": COLOUR_NAMES, "shape": SHAPES, "sound": SOUNDS, "number": DIGITS}
MOST_LISTED = 6
"""Descriptions that would list more than this many things are not asked for."""


@dataclass(frozen=True)
class Mention:
    """A thing that a question names.

    `kind` is object, sound, second, count, known_sound, no_object or no_sound; `index` which one, or the count; `side`
    where the question looks while a sound is heard.
    """

    words: tuple[str, ...]
    kind: str
    index: int = -1
    side: str | None = None


@dataclass(frozen=True)
class Question:
    """One question. Words are tokens.

    `mentions` gives the position in the question of the last word of each thing named, `answer_mentions` the same in
    the answer of a description. `options` are the words that the letters of a choice stand for.
    """

    type: str
    words: tuple[str, ...]
    answer: tuple[str, ...]
    mentions: tuple[tuple[int, Mention], ...] = ()
    category: str = ""
    form: str = "short"
    options: tuple[str, ...] = ()
    answer_mentions: tuple[tuple[int, Mention], ...] = ()

    @property
    def describes(self) -> bool:
        """Whether the answer is a description: several things in order."""
        return self.type.startswith("d_")

    @property
    def text(self) -> str:
        """The question as a person writes it."""
        return _as_text(self.words)

    @property
    def answer_text(self) -> str:
        """The answer as the tokenizer decodes it."""
        return " ".join(self.answer)


def all_questions(clip: ClipDescription, rng: random.Random) -> list[Question]:
    """Every short-answer and description question that is well defined for a clip, phrased at random."""
    facts = ClipFacts(clip)
    found: list[Question] = []
    if clip.has_video:
        found += _about_picture(facts, rng)
    if clip.has_audio:
        found += _about_sound(facts, rng)
    if clip.has_video and clip.has_audio:
        found += _about_both(facts, rng)
    return found


def draw_questions(
    clip: ClipDescription,
    rng: random.Random,
    count: int,
    weights: dict[str, float] | None = None,
    choice_rate: float = 0.25,
) -> list[Question]:
    """Up to `count` different questions, each type as likely as its weight (1 where none is given; 0 for never).

    Args:
        choice_rate: how many of those that can be are asked as lettered multiple choice, 0 to 1.
    """
    by_type: dict[str, list[Question]] = {}
    for question in all_questions(clip, rng):
        if (weights or {}).get(question.type, 1.0) > 0:
            by_type.setdefault(question.type, []).append(question)
    drawn: list[Question] = []
    while by_type and len(drawn) < count:
        names = list(by_type)
        name = rng.choices(names, [(weights or {}).get(name, 1.0) for name in names])[0]
        question = by_type[name].pop(rng.randrange(len(by_type[name])))
        if not by_type[name]:
            del by_type[name]
        if question.category and rng.random() < choice_rate:
            question = as_choice(question, clip, rng)
        drawn.append(question)
    return drawn


def as_choice(question: Question, clip: ClipDescription, rng: random.Random) -> Question:
    """The same question with four lettered options; wrong ones come from the clip first, so that they are no hint."""
    (right,) = question.answer
    present = {
        "colour": [item.colour for item in clip.objects],
        "shape": [item.shape for item in clip.objects],
        "sound": [sound.kind for sound in clip.sounds],
        "number": [str(second) for second in range(clip.seconds)],
    }[question.category]
    pool = CATEGORIES[question.category]
    wrong = [word for word in dict.fromkeys(rng.sample(present, len(present))) if word != right]
    if len(wrong) < 3:
        others = [word for word in pool if word != right and word not in wrong]
        wrong += rng.sample(others, 3 - len(wrong))
    options = rng.sample([right, *wrong[:3]], 4)
    words = list(question.words)
    for letter, option in zip(LETTERS, options, strict=True):
        words += [letter, ".", option]
    if rng.random() < 0.5:
        words += ["answer", "with", "the", "letter", "."]
    letter = LETTERS[options.index(right)]
    return replace(question, words=tuple(words), answer=(letter,), form="choice", options=tuple(options))


def _ask(
    type_: str, rng: random.Random, templates: str, answer: str, category: str = "", **mentions: Mention
) -> Question:
    """One of the templates (separated by "|"), its `{names}` filled by the mentions."""
    words: list[str] = []
    places = []
    for word in rng.choice(templates.split("|")).split():
        if word.startswith("{"):
            mention = mentions[word[1:-1]]
            words += mention.words
            places.append((len(words) - 1, mention))
        else:
            words.append("color" if word == "colour" and rng.random() < 0.15 else word)
    return Question(type_, tuple(words), tuple(answer.split()), tuple(places), category)


def _list(type_: str, rng: random.Random, templates: str, events: list[Mention]) -> Question:
    """A description: the things in order, "then" between them."""
    question = _ask(type_, rng, templates, " then ".join(" ".join(event.words) for event in events))
    places = []
    place = -1
    for event in events:
        place += len(event.words)
        places.append((place, event))
        place += 1
    return replace(question, answer_mentions=tuple(places))


def _name_fully(facts: ClipFacts, index: int) -> Mention:
    item = facts.clip.objects[index]
    return Mention((item.colour, item.shape), "object", index)


def _name_object(facts: ClipFacts, index: int, rng: random.Random) -> Mention:
    """A phrase that fits one object only: by its shape or its colour where that is enough, else by both."""
    objects = facts.clip.objects
    item = objects[index]
    phrases: list[tuple[str, ...]] = [(item.colour, item.shape)]
    if sum(other.shape == item.shape for other in objects) == 1:
        phrases.append((item.shape,))
    if sum(other.colour == item.colour for other in objects) == 1:
        phrases.append((item.colour, "shape"))
    return Mention(rng.choice(phrases), "object", index)


def _name_sound(facts: ClipFacts, index: int) -> Mention:
    return Mention((facts.clip.sounds[index].kind,), "sound", index)


def _name_count(word: str, count: int) -> Mention:
    return Mention((word,), "count", count)


def _name_second(second: int) -> Mention:
    return Mention((str(second),), "second", second)


def _about_picture(facts: ClipFacts, rng: random.Random) -> Iterator[Question]:
    objects = facts.clip.objects
    for index in range(len(objects)):
        yield from _about_object(facts, index, rng)
    if len(objects) >= 2:
        one, two = rng.sample(range(len(objects)), 2)
        answer = "yes" if one < two else "no"
        a, b = _name_object(facts, one, rng), _name_object(facts, two, rng)
        yield _ask("v_order", rng, "does the {a} appear before the {b} ?", answer, a=a, b=b)
    for type_, text, item in (("v_first", "first", objects[0]), ("v_last", "last", objects[-1])):
        yield _ask(type_, rng, f"which shape appears {text} ?|which is the {text} shape ?", item.shape, "shape")
        yield _ask(type_, rng, f"what colour is the {text} shape ?", item.colour, "colour")
    yield from _is_there(facts, rng)
    yield from _how_many_shapes(facts, rng)
    for second in range(facts.clip.seconds):
        yield from _at_second(facts, second, rng)
    if len(objects) <= MOST_LISTED:
        events = [_name_fully(facts, index) for index in range(len(objects))]
        yield _list("d_shapes", rng, "list the shapes in order .|describe the video .", events)


def _about_object(facts: ClipFacts, index: int, rng: random.Random) -> Iterator[Question]:
    objects = facts.clip.objects
    item = objects[index]
    if sum(other.shape == item.shape for other in objects) == 1:
        by_shape = Mention((item.shape,), "object", index)
        yield _ask("v_colour", rng, "what colour is the {o} ?", item.colour, "colour", o=by_shape)
    if sum(other.colour == item.colour for other in objects) == 1:
        by_colour = Mention((item.colour,), "object", index)
        yield _ask("v_shape", rng, "which shape is {o} ?|what shape is {o} ?", item.shape, "shape", o=by_colour)
    named = _name_object(facts, index, rng)
    side = facts.lasting_side(index)
    if side:
        yield _ask("v_side", rng, "is the {o} left or right of the post ?", side, o=named)
    when = "at which second does the {o} appear ?|when does the {o} appear ?"
    yield _ask("v_when", rng, when, str(item.first_second), "number", o=named)
    for type_, other, place in (("v_after", index + 1, "next after"), ("v_before", index - 1, "last before")):
        if not 0 <= other < len(objects):
            continue
        if rng.random() < 0.5:
            text = f"which shape appears {place} the {{o}} ?"
            yield _ask(type_, rng, text, objects[other].shape, "shape", o=named)
        else:
            text = f"what colour is the shape that appears {place} the {{o}} ?"
            yield _ask(type_, rng, text, objects[other].colour, "colour", o=named)


def _at_second(facts: ClipFacts, second: int, rng: random.Random) -> Iterator[Question]:
    objects, named = facts.clip.objects, _name_second(second)
    fresh = facts.appearing[second]
    if fresh is not None:
        yield _ask("v_second", rng, "which shape appears at second {n} ?", objects[fresh].shape, "shape", n=named)
    for side in ("left", "right"):
        _, only = facts.only_visible(second, side)
        if only is not None:
            yield _what_object("v_second", rng, objects[only], f"{side} of the post at second {{s}}", named)


def _is_there(facts: ClipFacts, rng: random.Random) -> Iterator[Question]:
    objects = facts.clip.objects
    pairs = {(item.colour, item.shape) for item in objects}
    index = rng.randrange(len(objects))
    item = objects[index]
    text = "is there a {o} ?|does a {o} appear ?"
    yield _ask("v_is_there", rng, text, "yes", o=Mention((item.colour, item.shape), "object", index))
    # Half of the absent ones are made of a colour and a shape that both are in the clip, but not together.
    mixed = [(a.colour, b.shape) for a in objects for b in objects if (a.colour, b.shape) not in pairs]
    if mixed and rng.random() < 0.5:
        absent = rng.choice(mixed)
    else:
        absent = rng.choice([(c, s) for c in COLOUR_NAMES for s in SHAPES if (c, s) not in pairs])
    yield _ask("v_is_there", rng, text, "no", o=Mention(absent, "no_object"))


def _how_many_shapes(facts: ClipFacts, rng: random.Random) -> Iterator[Question]:
    colours = [item.colour for item in facts.clip.objects]
    shapes = [item.shape for item in facts.clip.objects]
    for colour in sorted(set(colours)):
        count = colours.count(colour)
        if count > 1 or rng.random() < 0.25:
            yield _ask(
                "v_count", rng, "how many {o} shapes appear ?", str(count), "number", o=_name_count(colour, count)
            )
    for shape in sorted(set(shapes)):
        count = shapes.count(shape)
        if count > 1 or rng.random() < 0.25:
            counted = _name_count(PLURALS[shape], count)
            yield _ask("v_count", rng, "how many {o} appear ?", str(count), "number", o=counted)


def _about_sound(facts: ClipFacts, rng: random.Random) -> Iterator[Question]:
    sounds = facts.clip.sounds
    kinds = [sound.kind for sound in sounds]
    unique = [index for index in range(len(sounds)) if facts.unique_sound(index)]
    for index in unique:
        named = _name_sound(facts, index)
        text = "at which second is the {s} heard ?|when is the {s} heard ?"
        yield _ask("a_when", rng, text, str(sounds[index].second), "number", s=named)
        if index + 1 < len(sounds):
            text = "which sound comes next after the {s} ?"
            yield _ask("a_after", rng, text, kinds[index + 1], "sound", s=named)
        if index > 0:
            text = "which sound comes last before the {s} ?"
            yield _ask("a_before", rng, text, kinds[index - 1], "sound", s=named)
    if len(unique) >= 2:
        one, two = rng.sample(unique, 2)
        a, b = _name_sound(facts, one), _name_sound(facts, two)
        yield _ask("a_order", rng, "is the {a} heard before the {b} ?", "yes" if one < two else "no", a=a, b=b)
    yield _ask("a_first", rng, "which sound is heard first ?|what is the first sound ?", kinds[0], "sound")
    yield _ask("a_last", rng, "which sound is heard last ?|what is the last sound ?", kinds[-1], "sound")
    text = "is there a {s} ?|is a {s} heard ?"
    present = rng.randrange(len(sounds))
    yield _ask("a_is_there", rng, text, "yes", s=Mention((kinds[present],), "known_sound", present))
    absent = [kind for kind in SOUNDS if kind not in kinds]
    if absent:
        yield _ask("a_is_there", rng, text, "no", s=Mention((rng.choice(absent),), "no_sound"))
    for kind in sorted(set(kinds)):
        count = kinds.count(kind)
        if count > 1 or rng.random() < 0.2:
            counted = _name_count(kind, count)
            yield _ask("a_count", rng, "how many times is the {s} heard ?", str(count), "number", s=counted)
    for sound in sounds:
        text = "which sound is heard at second {n} ?"
        yield _ask("a_second", rng, text, sound.kind, "sound", n=_name_second(sound.second))
    if len(sounds) <= MOST_LISTED:
        events = [_name_sound(facts, index) for index in range(len(sounds))]
        yield _list("d_sounds", rng, "list the sounds in order .|describe the sounds .", events)


def _about_both(facts: ClipFacts, rng: random.Random) -> Iterator[Question]:
    objects, sounds = facts.clip.objects, facts.clip.sounds
    for index, item in enumerate(objects):
        named = _name_object(facts, index, rng)
        at_start = facts.heard[item.first_second]
        if at_start is not None:
            text = "which sound is heard as the {o} appears ?|what is heard as the {o} appears ?"
            yield _ask("x_sound_as", rng, text, sounds[at_start].kind, "sound", o=named)
        during = facts.sounds_while(index)
        if len(during) == 1:
            text = "which sound is heard while the {o} is visible ?|what is heard while the {o} is visible ?"
            yield _ask("x_sound_while", rng, text, sounds[during[0]].kind, "sound", o=named)
    pairs: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    for index, sound in enumerate(sounds):
        if not facts.unique_sound(index):
            continue
        named = _name_sound(facts, index)
        here = facts.visible[sound.second]
        for number in range(len(objects)):
            pairs[number in here].append((number, index))
        fresh = facts.appearing[sound.second]
        if fresh is not None:
            yield _what_object("x_shape_as", rng, objects[fresh], "that appears as the {s} is heard", named)
        if len(here) == 1:
            yield _what_object("x_shape_while", rng, objects[here[0]], "visible when the {s} is heard", named)
        for side in ("left", "right"):
            _, only = facts.only_visible(sound.second, side)
            if only is not None:
                text = f"{side} of the post when the {{s}} is heard"
                yield _what_object("x_shape_side", rng, objects[only], text, replace(named, side=side))
        for number, item in enumerate(objects):
            if item.first_second != sound.second and rng.random() < 0.2:
                answer = "yes" if item.first_second < sound.second else "no"
                text = "does the {o} appear before the {s} is heard ?"
                yield _ask("x_order", rng, text, answer, o=_name_object(facts, number, rng), s=named)
    truth = rng.random() < 0.5
    if pairs[truth]:
        number, index = rng.choice(pairs[truth])
        yield _ask(
            "x_visible",
            rng,
            "is the {o} visible when the {s} is heard ?",
            "yes" if truth else "no",
            o=_name_object(facts, number, rng),
            s=_name_sound(facts, index),
        )
    if len(objects) + len(sounds) <= MOST_LISTED + 2:
        name = {"object": _name_fully, "sound": _name_sound}
        events = [name[kind](facts, index) for kind, index in facts.events]
        yield _list("d_clip", rng, "describe the clip .|what happens in the clip ?", events)


def _what_object(type_: str, rng: random.Random, item: ShapeObject, rest: str, named: Mention) -> Question:
    if rng.random() < 0.5:
        return _ask(type_, rng, f"what colour is the shape {rest} ?", item.colour, "colour", s=named)
    return _ask(type_, rng, f"which shape is {rest} ?".replace("is that ", ""), item.shape, "shape", s=named)


def _as_text(words: tuple[str, ...]) -> str:
    text = ""
    for index, word in enumerate(words):
        if word in (".", "?", ",", "!"):
            text += word
        elif word in LETTERS and index + 1 < len(words) and words[index + 1] == ".":
            text += f"\n{word.upper()}"
        elif word == "answer" and index:
            text += "\nAnswer"
        else:
            text += f" {word}" if text else word.capitalize()
    return text
