"""How many text tokens a question's prompt has: by the model's own tokenizer and template where they are on disk."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any, NamedTuple

from seats.models.checkpoint import Checkpoint
from seats.plan.model import PlannedModel

QUESTION = "What happens in this clip?"
"""Asked where a plan is made without a question."""
# Of the published chat templates: system line (Qwen2.5-Omni puts one in unasked), turns, marks around the media.
_AROUND = {"qwen2.5-omni": 21, "qwen3-omni": 10}
_SYSTEM_TURN = {"qwen2.5-omni": -1, "qwen3-omni": 5}
# Of them behind the media: its closing mark, the turn's end, the answer's beginning.
_BEHIND = 6
_LETTERS_A_TOKEN = 4.2


class TextTokens(NamedTuple):
    """Tokens of a prompt that are neither video nor audio. behind: those of them behind the clip. exact: whether they
    were counted instead of estimated."""

    total: int
    behind: int
    exact: bool


def text_tokens(model: PlannedModel, question: str, system: str | None, video: bool, audio: bool) -> TextTokens:
    """The text of a prompt. question, system: as for `ask`. video, audio: whether the clip has tokens of either."""
    marks = 2 if video and audio else 0  # around the sound inside the video
    if model.checkpoint is not None:
        kind = "video" if video else "audio"
        # Qwen2.5-Omni's config.json says index, Qwen3-Omni's id.
        placeholder = getattr(model.config, f"{kind}_token_id", None) or getattr(
            model.config, f"{kind}_token_index", None
        )
        if not isinstance(placeholder, int):  # the run itself will name it
            placeholder = -1
        counted = _counted(model.checkpoint, question, system, video, placeholder)
        if counted is not None:
            total, behind = counted
            return TextTokens(total - 1 + marks, behind + marks // 2, True)  # the media's placeholder goes
    around, asked = _AROUND[model.family.name], math.ceil(len(question) / _LETTERS_A_TOKEN)
    if system:
        around += _SYSTEM_TURN[model.family.name] + math.ceil(len(system) / _LETTERS_A_TOKEN)
    return TextTokens(around + asked + marks, _BEHIND + asked + marks // 2, False)


@lru_cache(maxsize=8)
def _counted(
    checkpoint: Checkpoint, question: str, system: str | None, video: bool, placeholder: int
) -> tuple[int, int] | None:
    """Tokens of the templated prompt, and of those the ones behind the media's placeholder (a token id); None where the
    folder has no tokenizer or template that works here."""
    media = {"type": "video", "video": ""} if video else {"type": "audio", "audio": ""}
    messages: list[dict[str, Any]] = [{"role": "user", "content": [media, {"type": "text", "text": question}]}]
    if system:
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
    try:
        tokenizer, template, special = _prompting(checkpoint)
        text = template.render(messages=messages, add_generation_prompt=True, **special)
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        return len(ids), len(ids) - 1 - ids.index(placeholder)
    except Exception:  # a template or tokenizer that only transformers understands; the run itself will name it
        return None


@lru_cache(maxsize=2)
def _prompting(checkpoint: Checkpoint) -> tuple[Any, Any, dict[str, Any]]:
    """Tokenizer, chat template as transformers renders it, and special tokens by name; reading them takes 0.5 s.
    Raises where the folder has none that works here."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from tokenizers import Tokenizer

    template = checkpoint.chat_template
    said: dict[str, Any] = {}
    settings = checkpoint.folder / "tokenizer_config.json"
    if settings.is_file():
        said = json.loads(settings.read_text(encoding="utf-8"))
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    special = {key: _content(said[key]) for key in said if key.endswith("_token") and said[key] is not None}
    tokenizer = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
    return tokenizer, environment.from_string(template or said["chat_template"]), special


def _content(token: Any) -> Any:
    return token["content"] if isinstance(token, dict) and "content" in token else token
