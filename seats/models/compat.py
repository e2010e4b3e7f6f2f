"""Everything that differs between the supported versions of transformers, in one place.

Tested with the lowest and the newest version named in `TESTED`; see `.ci/run`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import transformers
from packaging.version import Version

from seats.errors import ModelError

TESTED = ("5.17.0", "5.24.0")
_FORMER_CACHE = "past_key_values"
CACHE = "cache" if Version(transformers.__version__).release >= (5, 24) else _FORMER_CACHE
"""What stock forwards and their outputs call the cache of keys and values: `cache` since 5.24."""


def check_transformers() -> str | None:
    """A remark if the installed transformers is newer than tested, None if it is inside the tested range.

    Raises ModelError if it is older than the oldest tested version.
    """
    installed, oldest, newest = (Version(v) for v in (transformers.__version__, *TESTED))
    if installed < oldest:
        raise ModelError(
            f"transformers {installed} is too old: install a version from {oldest} to {newest} "
            f"(pip install 'transformers=={newest}')"
        )
    if installed > newest:
        return f"transformers {installed} is newer than the newest tested version, {newest}"
    return None


def multimodal_model(thinker: Any) -> Any:
    """The module that owns the encoders: `thinker.model` since 5.20, the thinker itself before."""
    return thinker.model if hasattr(thinker.model, "language_model") else thinker


def text_model(thinker: Any) -> Any:
    """The decoder stack: `thinker.model.language_model` since 5.20, `thinker.model` before."""
    inner = thinker.model
    return getattr(inner, "language_model", inner)


def vision_encoder(thinker: Any) -> Any:
    return multimodal_model(thinker).visual


def audio_encoder(thinker: Any) -> Any:
    return multimodal_model(thinker).audio_tower


def cache_of(arguments: Mapping[str, Any]) -> Any:
    """The cache among the keyword arguments of a forward, by either name, None without one."""
    return arguments.get(CACHE, arguments.get(_FORMER_CACHE))
