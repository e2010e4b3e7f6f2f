"""One question at a time: threads that ask the same model wait for one another."""

from __future__ import annotations

from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

from seats.models.omni import OmniModel

_locks: WeakKeyDictionary[object, Any] = WeakKeyDictionary()


def turn_of(model: OmniModel) -> Any:
    """The lock to hold while a model encodes a clip or answers; a thread that has it may take it again."""
    return _locks.setdefault(model.thinker.module, RLock())
