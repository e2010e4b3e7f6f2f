"""What was run: model, method and settings of a row, and names by which a report tells several of them apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from seats.report.rows import Answered, Row
from seats.text import quoted

_MOST_KEYS, _LONGEST_LIST = 24, 64
_DIGITS = 8
"""Of a digest of settings, so many tell it from others."""


@dataclass(frozen=True)
class Configuration:
    """model: name, dtype, device, attention. method: name and its settings. settings: a digest of these and of all else
    but clip and question, such as frames and length of the answer; empty in rows that have none. Plain, short values
    only."""

    model: dict[str, Any]
    method: dict[str, Any]
    settings: str = ""

    @classmethod
    def of(cls, row: Row, answered: Answered) -> Configuration:
        """The configuration a row was made with."""
        return cls(_short(answered.model), _short(answered.method), quoted(row.settings, 80))

    @property
    def key(self) -> str:
        """Equal for equal configurations."""
        return json.dumps([self.model, self.method, self.settings], sort_keys=True)

    @property
    def model_and_method(self) -> str:
        """Equal where these are, whatever the other settings."""
        return json.dumps([self.model, self.method], sort_keys=True)

    @property
    def pieces(self) -> tuple[str, ...]:
        """Model, its number type, its device, the method with its retentions."""
        name = PurePath(str(self.model.get("name", ""))).name
        kept = [
            f"{modality} {100 * share:g}%"
            for modality in ("video", "audio")
            if isinstance(share := self.method.get(modality), float | int)
        ]
        method = str(self.method.get("name", "unknown method"))
        return (
            name or "unknown model",
            str(self.model.get("dtype", "")),
            str(self.model.get("device", "")),
            f"{method} ({', '.join(kept)})" if kept else method,
        )


@dataclass(frozen=True)
class Label:
    """full: everything that matters. short: what tells the configuration from the others beside it."""

    full: str
    short: str


def labels(configurations: Sequence[Configuration]) -> list[Label]:
    """A label for each configuration, no two alike, as far as what is shown of long texts and digests goes."""
    pieces = [configuration.pieces for configuration in configurations]
    differ = [len(set(column)) > 1 for column in zip(*pieces, strict=True)]
    made = []
    for configuration, mine in zip(configurations, pieces, strict=True):
        twins = [other for other, theirs in zip(configurations, pieces, strict=True) if theirs == mine]
        more = [f"{name} {value}" for name, value in _telling(configuration, twins)]
        if sum(twin.model_and_method == configuration.model_and_method for twin in twins) > 1:
            more.append(f"settings {configuration.settings[:_DIGITS] or 'not said'}")
        short = [piece for piece, telling in zip(mine, differ, strict=True) if telling] or [mine[-1]]
        made.append(Label(*(" · ".join(filter(None, [*some, *more])) for some in (mine, short))))
    return made


def _telling(configuration: Configuration, twins: list[Configuration]) -> list[tuple[str, Any]]:
    """The values in which a configuration differs from others whose pieces are the same."""
    found = []
    for part in ("model", "method"):
        mine = getattr(configuration, part)
        for name in sorted({name for twin in twins for name in getattr(twin, part)}):
            if any(getattr(twin, part).get(name) != mine.get(name) for twin in twins):
                value = mine.get(name, "not set")
                found.append((name, quoted(value if isinstance(value, str) else json.dumps(value), 60)))
    return found


def _short(values: dict[str, Any]) -> dict[str, Any]:
    """The values that a configuration can have, cut to sizes that a configuration has."""
    kept: dict[str, Any] = {}
    for name, value in list(values.items())[:_MOST_KEYS]:
        plain = _plain(value)
        if isinstance(value, list):
            plain = [_plain(item) for item in value[:_LONGEST_LIST]]
        kept[quoted(name, 40)] = plain
    return kept


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return quoted(value, 160)
    if value is None or isinstance(value, bool) or (isinstance(value, int | float) and abs(value) < 1e100):
        return value
    return quoted(repr(value), 40)  # nothing that a model or a method says of itself
