"""A chat as a Markdown text to read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from seats.text import markdown_escaped
from seats.units import seconds
from seats_cli.text import disarmed, one_line


def transcript(answers: Sequence[dict[str, Any]]) -> str:
    """The text of one or more answers about one clip, as `answer_json` has them."""
    clip, model = answers[0]["clip"], answers[0]["model"]
    seen = "no pictures" if clip["video"] is None else f"{clip['video']['frames']} frames"
    heard = "no sound" if clip["audio"] is None else f"{seconds(clip['audio']['seconds'])} of sound"
    name = one_line(PurePath(clip["path"]).name)
    part = f"{seconds(clip['start_s'])} to {seconds(clip['end_s'])} of {seconds(clip['duration_s'])}"
    blocks = [f"# {markdown_escaped(name)}"]
    blocks.append(f"{markdown_escaped(one_line(model['name']))} · {part} · {seen} · {heard}")
    for answer in answers:
        question = "\n".join(f"> {line}" for line in disarmed(answer["question"]).splitlines())
        kept = answer["retention"]["overall"]
        method = answer["method"]["name"]
        how = method if method == "full" else f"{method}, {100 * kept:.1f} % of the clip's tokens"
        blocks += [question, disarmed(answer["answer"]) or "(no answer)", f"*{how}*"]
    return "\n\n".join(blocks) + "\n"
