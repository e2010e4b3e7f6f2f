"""What can be said without seeing or hearing a clip: the commonest answer to a question of that wording, and where it
is a choice, the commonest of its options."""

import random
from collections import Counter, defaultdict

from seats.nano.questions import Question, draw_questions
from seats.nano.vocabulary import COLOUR_NAMES, DIGITS, LETTERS, PLURALS, SHAPES, SOUNDS
from seats.nano.world import describe_clip

_CONTENT = frozenset((*SHAPES, *PLURALS.values(), *COLOUR_NAMES, *SOUNDS, *DIGITS))


class Guesser:
    """Answers from the wording alone, after counting the right answers of other clips."""

    def __init__(self, clips: int = 1000, questions: int = 40) -> None:
        self._answers: dict[tuple[str, ...], Counter[tuple[str, ...]]] = defaultdict(Counter)
        for index in range(clips):
            clip = describe_clip("train", index)
            for question in draw_questions(clip, random.Random(index), questions, choice_rate=0.0):
                self._answers[_wording(question)][question.answer] += 1

    def answer(self, question: Question) -> tuple[str, ...]:
        """The commonest right answer, as words; none for a wording never met."""
        seen = self._answers.get(_wording(question))
        if seen and question.options:
            offered = [seen[(option,)] for option in question.options]
            return (LETTERS[offered.index(max(offered))],)
        return seen.most_common(1)[0][0] if seen else ()


def _wording(question: Question) -> tuple[str, ...]:
    """The question, without options, with what it names left open, so that only its kind is known."""
    words = question.words[: question.words.index("?") + 1] if question.options else question.words
    return tuple("*" if word in _CONTENT else word for word in words)
