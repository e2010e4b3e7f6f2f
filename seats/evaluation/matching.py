"""Whether an answer is right: lettered options, and free answers by their words."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence

LETTERS = string.ascii_uppercase
INSTRUCTION = "Answer with the letter."
_EDGES = "*\"'` \t\r\n"
_LETTER = re.compile(
    r"\(?([A-Za-z])[\"']?(?:[).:,;*]+(?!\w\.)|\s+[-–—]\s|\s+(?=(?:because|since)\b)|\s*\n|$)\s*(.*)",  # noqa: RUF001
    re.DOTALL,
)
"""A letter and what follows it, set off; "a.m." is none."""
_ANOTHER = re.compile(
    r"(?:^[\s,;/&]*(?:(?:and|or|maybe|perhaps)\s+)*|\n\s*)\(?(?:([B-HJ-Z])\b(?!')|([AI])(?=\s*(?:[).:,;/&]|$|\n)))",
    re.IGNORECASE,
)
"""A second letter after the first; "A" and "I" are words, too, where a word follows them."""
_STATEMENT = re.compile(
    r"(?:^|[.!?]\s+|\n)[ \t*`]*(?:(?:so|thus|therefore|hence),?\s+)?(?:the\s+|my\s+)?"
    r"(?:(?:correct|right|best|final)\s+)?answer[*`]*(?:\s+is\b\s*:?|\s*:)",
    re.IGNORECASE,
)
_YES_NO = re.compile(r"(yes|no)\b(?:\s*[.,:;!]|\s+[-–—]\s|\s*\n|$)\W*(.*)", re.IGNORECASE | re.DOTALL)  # noqa: RUF001


def normalised(text: str) -> str:
    """The words of a text in lower case, punctuation and spacing aside, but for the sign of a number below 0; a text
    without words ("+") as it is."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("\N{MINUS SIGN}", "-")
    return " ".join(re.findall(r"(?:(?<![\w-])-(?=\d))?\w+", text)) or text.strip()


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
    """Which of the options an answer names, None if none, or several.

    In this order: a letter alone ("b", "B.", "(B)"), an option's whole text, a letter set off from whatever follows it
    ("B) text", "B, because ...", or on a line of its own) unless that is another letter or another's text, a letter and
    that option's text ("B text"), or a yes or no that goes on ("Yes, it does.") where that is an option. Each may stand
    in a sentence of its own after "The answer is" or "Answer:". Case, spacing and punctuation don't count.
    """
    given = _squeezed(given)
    stated = [_option(said, options) for said in _statements(given)]
    plain = _option(given, options)
    if not stated:
        return plain
    named = {*stated, *([] if plain is None else [plain])}
    return named.pop() if len(named) == 1 else None


def answers_with(given: str, right: str) -> bool:
    """Whether an answer without options says the right one: its words and no others (`same_answer`), or for a letter,
    yes and no as `named_option` has it. It may stand in a sentence of its own after "The answer is" or "Answer:"."""
    if same_answer(given, right):
        return True
    given = _squeezed(given)
    stated = _statements(given)
    return all(_says(said, right) for said in stated) if stated else _says(given, right)


def _squeezed(given: str) -> str:
    """The answer's lines without empty ones, of which a model that goes on and on may write thousands."""
    return "\n".join(filter(None, map(str.strip, given.split("\n"))))


def _says(given: str, right: str) -> bool:
    if same_answer(given, right):
        return True
    said = right.strip().upper()
    if len(said) == 1 and said in LETTERS:
        return _letter(given.strip(_EDGES), LETTERS) == LETTERS.index(said)
    return normalised(right) in ("yes", "no") and _yes_or_no(given.strip(_EDGES)) == normalised(right)


def _statements(given: str) -> list[str]:
    """What an answer says the answer is: what follows each "The answer is" or "Answer:", to the next of them; its first
    sentence where more follows that is no part of a lettered answer."""
    places = list(_STATEMENT.finditer(given))
    ends = [*(place.start() for place in places), len(given)][1:]
    said = [given[place.end() : end].strip(_EDGES) for place, end in zip(places, ends, strict=True)]
    return [re.split(r"(?<!\b[A-Za-z])[.!?]\s|\n", text)[0] for text in said]


def _option(given: str, options: Sequence[str]) -> int | None:
    """As `named_option`, of an answer or of what a sentence says it is."""
    given = given.strip(_EDGES)
    texts = [normalised(option) for option in options]
    said = normalised(given)
    if len(said) == 1 and said.upper() in LETTERS[: len(options)]:
        return LETTERS.index(said.upper())
    if said in texts:
        return texts.index(said)
    lettered = [f"{letter.casefold()} {text}" for letter, text in zip(LETTERS, texts, strict=False)]
    if said in lettered:
        return lettered.index(said)
    index = _letter(given, options)
    if index is not None:
        return None if said[2:] in texts else index  # the letter of one and the text of another
    answer = _yes_or_no(given)
    return texts.index(answer) if answer in texts else None


def _letter(given: str, options: Sequence[str]) -> int | None:
    """Which option's letter an answer begins with, set off from what follows; None where another letter follows."""
    found = _LETTER.match(given)
    if found is None:
        return None
    index = LETTERS.index(found[1].upper())
    others = {(match[1] or match[2]).upper() for match in _ANOTHER.finditer(found[2])} - {found[1].upper()}
    return index if index < len(options) and not others & set(LETTERS[: len(options)]) else None


def _yes_or_no(given: str) -> str | None:
    """The yes or no that an answer begins with, set off from what follows; None where the other follows at once."""
    found = _YES_NO.match(given)
    if found is None or re.match(r"(?:(?:and|or)\s+)?(?:yes|no)\b", found[2], re.IGNORECASE):
        return None
    return found[1].casefold()
