"""One row of a results file: an object of schema seats.answer/1, or what is left of a clip that failed.

Nothing in the file is trusted: every field is checked for its type, and what is missing is named, not guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seats.costs.flops import PARTS

SCHEMA = "seats.answer/1"
STEPS = (
    "decode_clip",
    "prepare",
    "encode_video",
    "encode_audio",
    "selection",
    "prefill",
    "first_token",
    "per_output_token",
    "total",
)
MODALITIES = ("video", "audio")

_MOST_LAYERS = 512


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens of one modality: in the clip, before the LLM, alive in each decoder layer."""

    full: int
    pre_llm: int
    per_layer: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """What the row of an answered question holds. Times in ms; None where the row has no value.

    right: None where the right answer is not known. retried: made with a smaller budget after memory ran out.
    missing: the fields the row should have had and has not.
    """

    answer: str
    finish_reason: str
    model: dict[str, Any]
    method: dict[str, Any]
    start_s: float | None
    end_s: float | None
    latency: dict[str, float | None]
    text_tokens: float | None
    tokens: dict[str, TokenCounts | None]
    retention: dict[str, float | None]
    flops_full: float | None
    flops_run: float | None
    parts_full: dict[str, float | None]
    parts_run: dict[str, float | None]
    prefill_speedup: float | None
    first_token_speedup: float | None
    speedup_basis: str | None
    peak_bytes: float | None
    notes: tuple[str, ...]
    right: bool | None
    retried: bool
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """What the row of a failed one holds."""

    type: str
    message: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line. offset: where it begins in the file, in bytes. id, content (the hash of the clip's file), settings (a
    digest): empty if the row has none."""

    line: int
    offset: int
    id: str
    clip: str
    question: str
    content: str
    settings: str
    outcome: Answered | Failed


def parse_row(value: dict[str, Any], line: int, offset: int) -> Row | None:
    """The object of one line as a row; None if it is not a row of a results file. line, offset: as in `Row`."""
    status, schema, error = value.get("status"), value.get("schema"), value.get("error")
    clip = value.get("clip")
    path = _text(clip.get("path") if isinstance(clip, dict) else clip)
    outcome: Answered | Failed
    if status == "error" and isinstance(error, dict):
        outcome = Failed(_text(error.get("type")) or "unknown", _text(error.get("message")))
    elif schema == SCHEMA and status in ("ok", None):  # None: `seats ask --json` writes no status
        outcome = _answered(value)
    else:
        return None
    content = value.get("content")
    return Row(
        line=line,
        offset=offset,
        id=_text(value.get("id")),
        clip=path,
        question=_text(value.get("question")),
        content=_text(content.get("hash")) if isinstance(content, dict) else "",
        settings=_text(value.get("settings")),
        outcome=outcome,
    )


def _answered(value: dict[str, Any]) -> Answered:
    fields = _Fields(value)
    latency = {name: fields.number("latency_ms", name) for name in STEPS}
    text_tokens = fields.number("tokens", "text")
    tokens = {name: fields.counts(name) for name in MODALITIES}
    retention = {name: fields.number("retention", name) for name in (*MODALITIES, "overall")}
    flops_full, flops_run = fields.number("flops", "full"), fields.number("flops", "run")
    # These came with later versions of the schema's first form, so their absence is no fault.
    run, full = (_Fields(fields.inner("flops", name)) for name in ("parts", "parts_full"))
    prefill_speedup, first_speedup = (fields.number("speedup", name) for name in ("prefill", "first_token"))
    basis = fields.inner("speedup").get("basis")
    notes = value.get("notes")
    return Answered(
        answer=fields.text("answer"),
        finish_reason=fields.text("finish_reason"),
        model=fields.plain("model"),
        method=fields.plain("method"),
        start_s=fields.number("clip", "start_s"),
        end_s=fields.number("clip", "end_s"),
        latency=latency,
        text_tokens=text_tokens,
        tokens=tokens,
        retention=retention,
        flops_full=flops_full,
        flops_run=flops_run,
        parts_full={name: full.number(name) for name in PARTS},
        parts_run={name: run.number(name) for name in PARTS},
        prefill_speedup=prefill_speedup,
        first_token_speedup=first_speedup,
        speedup_basis=basis if basis in ("measured", "estimated") else None,
        peak_bytes=fields.number("memory_bytes", "peak_device"),
        notes=tuple(note for note in notes if isinstance(note, str)) if isinstance(notes, list) else (),
        right=right if isinstance(right := value.get("right"), bool) else None,
        retried=isinstance(value.get("retry"), dict),
        missing=tuple(dict.fromkeys(fields.missing)),
    )


class _Fields:
    """Takes values out of a JSON object by their path and remembers which were missing or of the wrong type."""

    def __init__(self, value: dict[str, Any]) -> None:
        self.value = value
        self.missing: list[str] = []

    def inner(self, *path: str) -> dict[str, Any]:
        value: Any = self.value
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value if isinstance(value, dict) else {}

    def number(self, *path: str) -> float | None:
        """A number at least 0, as `_number` has it. null is a value too: the step or the modality does not apply."""
        inner = self.inner(*path[:-1])
        if path[-1] in inner and inner[path[-1]] is None:
            return None
        number = _number(inner.get(path[-1]))
        if number is None:
            self.missing.append(".".join(path if inner else path[:-1]))
        return number

    def counts(self, name: str) -> TokenCounts | None:
        found = self.inner("tokens", name)
        full, pre_llm, layers = _number(found.get("full")), _number(found.get("pre_llm")), found.get("per_layer")
        per_layer = [_number(count) for count in layers[:_MOST_LAYERS]] if isinstance(layers, list) else [None]
        whole = [int(count) for count in (full, pre_llm, *per_layer) if count is not None]
        if len(whole) != 2 + len(per_layer):
            self.missing.append(f"tokens.{name}" if self.inner("tokens") else "tokens")
            return None
        return TokenCounts(whole[0], whole[1], tuple(whole[2:]))

    def text(self, name: str) -> str:
        if not isinstance(self.value.get(name), str):
            self.missing.append(name)
        return _text(self.value.get(name))

    def plain(self, name: str) -> dict[str, Any]:
        """A small object such as the method's settings; `name` in it must be there."""
        found = self.inner(name)
        if not isinstance(found.get("name"), str):
            self.missing.append(f"{name}.name")
        return found


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    # 1e100 of anything this file counts is nonsense, and so is 1e-100: sums and ratios of more or less would overflow.
    return number if number == 0 or 1e-100 < number < 1e100 else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
