"""Failed rows grouped by cause: messages that differ only in names, paths and numbers are one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePath

from seats.report.rows import Failed, Row
from seats.report.summary import Cause, Example
from seats.text import quoted

_EXAMPLES = 3
_MOST_CAUSES = 200
_LONGEST = 400
_OTHER = ("various", "failures of other kinds")
# A name in quotes, or a word. Read once from left to right, so that no message can make it slow.
_WORD = re.compile(
    r"""(?P<quoted>'[^']*'|"[^"]*"|\u2018[^\u2019]*\u2019|\u201c[^\u201d]*\u201d|`[^`]*`)|\S+""",
)
_NUMBER = re.compile(r"(?<![A-Za-z\d])(?:0x[0-9a-fA-F]+|\d+(?:[.,:]\d+)*)")  # the 4 of mp4 is none
_AROUND = ")]}>.,;:!'\""
_CLIP_ENDINGS = (".mp4", ".m4v", ".m4a", ".mkv", ".webm", ".mov", ".avi", ".wav", ".mp3", ".flac", ".ogg", ".opus")


class FailureCollector:
    """Takes failed rows one at a time; keeps a few examples of each cause."""

    def __init__(self) -> None:
        self.count = 0
        self._causes: dict[tuple[str, str], _Seen] = {}

    def add(self, row: Row, failed: Failed) -> None:
        """Count a failed row."""
        self.count += 1
        key = (quoted(failed.type, 80), cause_of(failed.message, row.clip))
        if key not in self._causes and len(self._causes) >= _MOST_CAUSES:
            key = _OTHER
        seen = self._causes.setdefault(key, _Seen())
        seen.count += 1
        if len(seen.examples) < _EXAMPLES:
            texts = (quoted(row.id, 120), quoted(row.clip), quoted(row.question), quoted(failed.message))
            seen.examples.append(Example(row.line, *texts))

    def causes(self) -> tuple[Cause, ...]:
        """The most frequent first."""
        ordered = sorted(self._causes.items(), key=lambda item: (-item[1].count, item[0]))
        return tuple(
            Cause(*key, count=seen.count, share=seen.count / self.count, examples=tuple(seen.examples))
            for key, seen in ordered
        )


@dataclass
class _Seen:
    count: int = 0
    examples: list[Example] = field(default_factory=list)


def cause_of(message: str, clip: str) -> str:
    """The message with the clip's name as <clip>, paths as <path>, quoted names as <name>, and numbers as <n>."""
    # The clip first: its name may hold white space, quotes or digits, which would come apart below.
    for name in (clip, PurePath(clip).name):
        if len(name) > 3:
            message = message.replace(name, "\x00")
    text = quoted(message.replace("\ufffd", " ").replace("\x00", "\ufffd"), _LONGEST)
    return _WORD.sub(_constant, text).replace("\ufffd", "<clip>") or "no message"


def _constant(found: re.Match[str]) -> str:
    """The word, or what kind of thing it names."""
    word = found[0]
    if found["quoted"]:
        return "<name>"
    bare = word.lstrip("([{<").rstrip(_AROUND)
    path = bare.startswith(("/", "\\", "./", "../", "~")) or (("/" in bare or "\\" in bare) and "." in bare[-6:])
    if len(bare) > 1 and (path or bare.lower().endswith(_CLIP_ENDINGS)):
        return word.replace(bare, "<path>")
    return _NUMBER.sub("<n>", word)
