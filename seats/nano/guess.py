"""The best that can be said without seeing or hearing a clip: the commonest answer to a question of that wording."""

import random
from collections import Counter, defaultdict

from seats.nano.questions import Question, draw_questions
from seats.nano.vocabulary import COLOUR_NAMES, DIGITS, PLURALS, SHAPES, SOUNDS
from seats.nano.world import describe_clip

_CONTENT = frozenset((*SHAPES, *PLURALS.values(), *COLOUR_NAMES, *SOUNDS, *DIGITS))


class Guesser:
    """Answers from the wording alone, after counting the right answers of other clips."""

    def __init__(self, clips: int = 1000, questions: int = 40) -> None:
        self._answers: dict[tuple[str, ...], Counter[tuple[str, ...]]] = defaultdict(Counter)
        for index in range(clips):
            for question in draw_questions(describe_clip("train", index), random.Random(index), questions):
                self._answers[_wording(question)][question.answer] += 1

    def answer(self, question: Question) -> tuple[str, ...]:
        """The commonest right answer, as words; none for a wording never met."""
        seen = self._answers.get(_wording(question))
        return seen.most_common(1)[0][0] if seen else ()


def _wording(question: Question) -> tuple[str, ...]:
    """The question with what it names left open, so that only its kind is known."""
    return tuple("*" if word in _CONTENT else word for word in question.words)
