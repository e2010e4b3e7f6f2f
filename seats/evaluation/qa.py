"""Question-and-answer sets: a JSONL file of clips, questions and right answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seats.errors import MediaError, SettingsError
from seats.evaluation.matching import LETTERS, answers_with, named_option, normalised, same_answer, with_options
from seats.text import quoted
from seats.units import counted

ALL = "all"
"""Name of the total among the question types."""
UNTYPED = "untyped"
_KEYS = ("clip", "question", "answer", "options", "id", "type")
_OBJECT = 'an object {"clip": ..., "question": ..., "answer": ...}'


@dataclass(frozen=True)
class QAItem:
    """One question.

    clip: path on disk. question: as the set has it. answers: right is any of them; with options the letters "A", "B",
    …, else texts. options: what the letters stand for, empty for a free answer. type: what kind of question it is, ""
    where the set doesn't say. line: of the set's file, for messages.
    """

    id: str
    clip: Path
    question: str
    answers: tuple[str, ...]
    options: tuple[str, ...] = ()
    type: str = ""
    line: int = field(default=0, compare=False)

    @property
    def prompt(self) -> str:
        """What the model is asked (`with_options`)."""
        return with_options(self.question, self.options)

    def is_right(self, given: str) -> bool:
        """Whether an answer names a right option (`named_option`), or says a right answer (`answers_with`)."""
        if self.options:
            index = named_option(given, self.options)
            return index is not None and LETTERS[index] in self.answers
        return any(answers_with(given, right) for right in self.answers)


def load_qa(path: Path) -> list[QAItem]:
    """Read a set: one JSON object a line with

    - `clip`: path, relative to the file;
    - `question`: text;
    - `answer`: text, or a list of texts of which any is right; with options an option's letter or its text;
    - `options`, if wanted: list of 2 to 26 texts. Where the question doesn't list them itself, they are added to it
      (`with_options`);
    - `id` and `type`, if wanted. Without an id a question has its line's number;
    - other keys, which are passed over, as is null.

    Raises SettingsError that names the line for anything else, and for an id that was there before.
    """
    try:
        # splitlines() would also cut at separators that a text may hold, such as U+2028.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is no question set: it is not UTF-8 text; give a JSONL file") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}); check the file") from error
    items: list[QAItem] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            item = _item(json.loads(line), path.parent, number)
        except json.JSONDecodeError as error:
            raise SettingsError(
                f"{path}, line {number}: not JSON ({error.msg}, column {error.colno}); each line of a set is {_OBJECT}"
            ) from error
        except RecursionError as error:
            raise SettingsError(f"{path}, line {number}: not JSON of a question (too deeply nested)") from error
        except ValueError as error:
            raise SettingsError(f"{path}, line {number}: {error}") from error
        if item.id in seen:
            raise SettingsError(
                f"{path}, line {number}: id {item.id!r} is already that of line {seen[item.id]}; give each its own"
            )
        seen[item.id] = number
        items.append(item)
    if not items:
        raise SettingsError(f"{path} holds no questions")
    return items


def check_clips(items: Sequence[QAItem]) -> None:
    """Raises MediaError if a clip of these questions is not there."""
    missing = {item.clip: item for item in reversed(items) if not item.clip.is_file()}
    if missing:
        first = min(missing.values(), key=lambda item: item.line)
        what = "is no file" if first.clip.exists() else "is not there"
        more = f", nor {counted(len(missing) - 1, 'other clip')}" if len(missing) > 1 else ""
        raise MediaError(f"{first.clip} (line {first.line} of the set) {what}{more}; check the paths")


def _item(row: Any, folder: Path, number: int) -> QAItem:
    """Raises ValueError that says what is wrong."""
    if not isinstance(row, dict):
        raise ValueError(f"expected {_OBJECT}")
    if str(row.get("schema", "")).startswith("seats."):
        raise ValueError("a row that seats wrote, and no question of a set")
    for key in row:
        if key not in _KEYS and key.lower() in _KEYS:
            raise ValueError(f"key {key!r}: write {key.lower()!r}")
    row = {key: value for key, value in row.items() if value is not None}  # as tables write what is not there
    clip, question = _words(row.get("clip"), "clip"), _text(row.get("question"), "question")
    type_ = row.get("type", "")
    if not isinstance(type_, str) or type_ == ALL:
        raise ValueError(f"type {type_!r} is no text, or {ALL!r}, which is the name of the total")
    _check_unicode(type_, "type")
    type_ = quoted(type_)  # it is printed
    said = row.get("answer")
    answers = tuple(_text(answer, "answer") for answer in (said if isinstance(said, list) else [said]))
    if not answers:
        raise ValueError("answer is an empty list")
    options = _options(row.get("options"))
    if options:
        answers = tuple(_letter(answer, options) for answer in answers)
    id_ = row.get("id", number)
    if not isinstance(id_, str | int) or isinstance(id_, bool):
        raise ValueError(f"id {id_!r} is no text")
    _check_unicode(str(id_), "id")
    return QAItem(str(id_), folder / clip, question, answers, options, type_, number)


def _text(value: Any, key: str) -> str:
    text = _words(value, key)
    _check_unicode(text, key)
    return text


def _words(value: Any, key: str) -> str:
    """A text that may hold bytes that are not UTF-8, as names of files do."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None:
        raise ValueError(f"{key} is missing")
    if not isinstance(value, str):
        raise ValueError(f"{key} is {value!r}, not a text{': put it in quotes' if isinstance(value, float) else ''}")
    if not value.strip():
        raise ValueError(f"{key} is empty")
    return value


def _check_unicode(text: str, key: str) -> None:
    """Halves of surrogate pairs are no characters, so that no model could be asked them and no file hold them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{key} is not UTF-8 text: half of a surrogate pair is in it") from None


def _options(value: Any) -> tuple[str, ...]:
    if value is None or value == []:
        return ()
    if not isinstance(value, list) or not 2 <= len(value) <= len(LETTERS):
        raise ValueError(f"options must be a list of 2 to {len(LETTERS)} texts")
    options = tuple(_text(option, "an option") for option in value)
    said: dict[str, str] = {}
    for option in options:
        if other := said.get(normalised(option)):
            raise ValueError(
                f"options {other!r} and {option!r} are the same, case, spacing and punctuation aside: word them "
                "otherwise"
            )
        said[normalised(option)] = option
    return options


def _letter(answer: str, options: tuple[str, ...]) -> str:
    """The letter of the option that the set calls right."""
    by_text = [i for i, option in enumerate(options) if same_answer(answer, option)]
    said = answer.strip().upper()
    by_letter = [LETTERS.index(said)] if len(said) == 1 and said in LETTERS[: len(options)] else []
    found = sorted({*by_text, *by_letter})
    if not found:
        raise ValueError(f"answer {answer!r} is neither an option nor the letter of one")
    if len(found) > 1:
        raise ValueError(f"answer {answer!r} is the letter of one option and the text of another")
    return LETTERS[found[0]]
