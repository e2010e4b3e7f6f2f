"""Imports of large libraries, in less time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting_imports() -> Iterator[None]:
    """Keep Python's search for garbage away from what is imported within, then and for good.

    torch and transformers make some 600,000 objects that stay. Going through them over and over takes a quarter of
    the time of their import, and two more looks at all of them, 0.3 s each, would fall into what comes next. For a
    process of our own, early: garbage that is there at the end stays too.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()
