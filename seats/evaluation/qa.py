"""Question-and-answer sets: a JSONL file of clips, questions and right answers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from seats.errors import SettingsError


@dataclass(frozen=True)
class QAItem:
    """One question. clip: path on disk. type: what kind of question it is, "" where the set doesn't say."""

    id: str
    clip: Path
    question: str
    answer: str
    type: str = ""


def load_qa(path: Path) -> list[QAItem]:
    """Read a set: one JSON object a line with `clip` (relative to the file), `question`, `answer` and, if wanted,
    `id` and `type`. Raises SettingsError for a line that lacks one of them or is not JSON."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as a question set: {error}") from error
    items = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            items.append(
                QAItem(
                    id=str(row.get("id", number)),
                    clip=path.parent / row["clip"],
                    question=row["question"],
                    answer=row["answer"],
                    type=row.get("type", ""),
                )
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SettingsError(
                f'{path}, line {number}: expected {{"clip": ..., "question": ..., "answer": ...}} ({error!r})'
            ) from error
    if not items:
        raise SettingsError(f"{path} holds no questions")
    return items


def same_answer(given: str, right: str) -> bool:
    """Whether two answers say the same, case, punctuation and spacing aside."""
    return _words(given) == _words(right)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
