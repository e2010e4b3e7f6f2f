"""seats: ask questions about a video and its sound, with fewer tokens.

Importing this package loads nothing heavy; the names below load what they need when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from seats.errors import MediaError, ModelError, OutOfMemoryError, SeatsError, SettingsError

_LAZY = {
    "Answer": "seats.inference.answer",
    "AnswerStream": "seats.inference.stream",
    "Conversation": "seats.inference.conversation",
    "Decoding": "seats.inference.generate",
    "Method": "seats.methods.base",
    "Question": "seats.inference.answer",
    "Retention": "seats.methods.base",
    "Turn": "seats.models.omni",
    "answer": "seats.inference.answer",
    "answer_json": "seats.inference.report",
    "attach": "seats.inference.attach",
    "find_checkpoint": "seats.models.checkpoint",
    "load_clip": "seats.media",
    "load_model": "seats.models.omni",
    "method_class": "seats.methods.registry",
    "read_clip": "seats.media",
    "stream": "seats.inference.stream",
}

__all__ = [
    "Answer",
    "AnswerStream",
    "Conversation",
    "Decoding",
    "MediaError",
    "Method",
    "ModelError",
    "OutOfMemoryError",
    "Question",
    "Retention",
    "SeatsError",
    "SettingsError",
    "Turn",
    "answer",
    "answer_json",
    "attach",
    "find_checkpoint",
    "load_clip",
    "load_model",
    "method_class",
    "read_clip",
    "stream",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("seats")
    raise AttributeError(f"module 'seats' has no attribute {name!r}")
