"""All tokens, in every layer: what the other methods are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from seats.methods.base import Method, ModelShape, Retention


@dataclass(frozen=True)
class Full(Method):
    """Drops nothing. Targets are ignored."""

    name: ClassVar[str] = "full"
    source: ClassVar[str] = "stock Qwen-Omni"

    @classmethod
    def for_model(cls, shape: ModelShape, retention: Retention, seed: int) -> Full:
        return cls()
