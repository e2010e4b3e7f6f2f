"""Whether an answer is right: lettered options, and free answers by their words."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence

LETTERS = string.ascii_uppercase
INSTRUCTION = "Answer with the letter."
_LETTER = re.compile(r"\(?([A-Za-z])(?:[).:]+|\s*\n|$)\s*(.*)", re.DOTALL)


def normalised(text: str) -> str:
    """The words of a text in lower case, punctuation and spacing aside; a text without words ("+") as it is."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", text)) or text.strip()


def same_answer(given: str, right: str) -> bool:
    """Whether two answers say the same, case, punctuation and spacing aside."""
    return normalised(given) == normalised(right)


def with_options(question: str, options: Sequence[str]) -> str:
    """The question as it is asked: with "A. first option" and so on, a line each, and "Answer with the letter.".

    A question whose text already lists the options with their letters is asked as it stands, and so is one without
    options.
    """
    if not options or lists_options(question, options):
        return question
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([question, *lines, INSTRUCTION])


def lists_options(question: str, options: Sequence[str]) -> bool:
    """Whether each option stands in the question on a line of its own, after its letter."""
    lines = {normalised(line) for line in question.splitlines()}
    return all(normalised(f"{letter}. {option}") in lines for letter, option in zip(LETTERS, options, strict=False))


def named_option(given: str, options: Sequence[str]) -> int | None:
    """Which of the options an answer names, None if none.

    In this order: a letter alone ("b", "B.", "(B)"), an option's whole text, a letter set off from whatever follows it
    ("B) text", "B: text", or on a line of its own), a letter and that option's text ("B text"). Case, spacing and
    punctuation don't count.
    """
    given = given.strip().strip("*\"'`").strip()
    texts = [normalised(option) for option in options]
    letter = _LETTER.match(given)
    index = LETTERS.index(letter[1].upper()) if letter else None
    if index is not None and index >= len(options):
        index = None
    if index is not None and letter is not None and not letter[2].strip("*\"'`.) \n"):
        return index
    said = normalised(given)
    if said in texts:
        return texts.index(said)
    if index is not None:
        return index
    lettered = [f"{letter.casefold()} {text}" for letter, text in zip(LETTERS, texts, strict=False)]
    return lettered.index(said) if said in lettered else None
