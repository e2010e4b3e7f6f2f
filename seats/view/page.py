"""The page: everything about a clip's tokens in one HTML file that needs no network."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from html import escape
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import numpy as np

from seats.files import MARK
from seats.view.facts import clip_line, figures, tiles, window_rows
from seats.view.pictures import data_uri, jpeg, spectrogram, thumbnails
from seats.view.shade import shades
from seats.view.token_map import TokenMap, Tokens
from seats.view.words import shortened

_SCRIPTS = ("data.js", "paint.js", "strip.js", "overview.js", "main.js")
_BUDGET = {
    "both": "video tokens up, audio tokens down: filled, what is there; above it, what left at each stage; outlined, "
    "what the clip has. Square-root scale.",
    "one": "filled, the tokens that are there; beyond them, what left at each stage; outlined, what the clip has. "
    "Square-root scale.",
}
_LONG = 160
"""Characters of a question from which it is set small."""


def page(maps: Sequence[TokenMap]) -> str:
    """The page as HTML, one or several methods on the same clip and question, up to 5 MB for 128 frames."""
    first = maps[0]
    question = first.answer.question.text
    return _filled(
        _part("page.html"),
        {
            "title": escape(shortened(question, 80)),
            "css": _part("page.css"),
            "clip": escape(clip_line(first)),
            "question": escape(question),
            "question_class": "long" if len(question) > _LONG else "short",
            "answers": "".join(map(_card, maps)),
            "budget": _BUDGET["both" if first.video is not None and first.audio is not None else "one"],
            "lines": _lines(first),
            "figures": _figures(maps),
            "windows": "".join(map(_windows, maps)),
            "mark": MARK,
            "version": escape(version("seats")),
            "data": _json(page_data(maps)),
            "script": "\n".join(map(_part, _SCRIPTS)),
        },
    )


def _lines(seen: TokenMap) -> str:
    """The key to the curves of relevance."""
    marks = {"video": '<i class="line"></i> video', "audio": '<i class="dash"></i> audio'}
    return ", ".join(marks[name] for name in seen.modalities())


def page_data(maps: Sequence[TokenMap]) -> dict[str, Any]:
    """What the page's script reads. Arrays are base64 of little-endian numbers, see `data.js`."""
    first = maps[0]
    clip, model = first.clip, first.answer.model
    pictures, aspect = [], 1.0
    if first.grid is not None and clip.video is not None:
        pixels = clip.video.pixels.cpu().numpy()
        pictures = [data_uri(picture) for picture in thumbnails(pixels)]
        aspect = pixels.shape[3] / pixels.shape[2]
    sound = None
    if first.audio is not None and clip.audio is not None:
        grey = spectrogram(clip.audio.waveform, model.mel)
        sound = data_uri(jpeg(np.repeat(grey[:, :, None], 3, axis=2)))
    return {
        "layers": first.layers,
        "start": first.start,
        "seconds": first.seconds,
        "soundSeconds": clip.audio.seconds if first.audio is not None and clip.audio is not None else 0.0,
        "grid": first.grid,
        "secondsPerGrid": first.seconds_per_grid,
        "aspect": aspect,
        "pictures": pictures,
        "sound": sound,
        "windowStarts": _packed(first.window_starts, "<f4"),
        "windows": {name: _packed(tokens.window, "<u4") for name, tokens in first.modalities().items()},
        "methods": [_method(seen) for seen in maps],
    }


def _method(seen: TokenMap) -> dict[str, Any]:
    return {
        "name": seen.name,
        "scored": seen.scored_layers,
        "moments": [
            {
                "label": moment.label,
                "stage": moment.stage,
                "afterLayer": moment.after_layer,
                "video": moment.video,
                "audio": moment.audio,
                "colour": shade.colour,
                "pattern": shade.pattern,
                "veil": shade.veil,
            }
            for moment, shade in zip(seen.moments, shades(seen.moments), strict=True)
        ],
        "tokens": {name: _tokens(tokens) for name, tokens in seen.modalities().items()},
    }


def _tokens(tokens: Tokens) -> dict[str, Any]:
    return {
        "left": _packed(tokens.left, "u1"),
        "saliency": None if tokens.saliency is None else _packed_half(tokens.saliency),
        "relevance": [_packed_half(row) for row in tokens.relevance],
    }


def _packed(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode("ascii")


def _packed_half(values: np.ndarray) -> str:
    """float32 cut to its upper 16 bits, rounded: two to three digits, any size, NaN stays NaN."""
    bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
    rounded = np.where(np.isnan(values), 0x7FC0, (bits + 0x8000) >> 16)
    return _packed(rounded, "<u2")


def _card(seen: TokenMap) -> str:
    stats = "".join(
        f"<div><dt>{escape(what)}</dt><dd><b>{escape(value)}</b><span>{escape(more)}</span></dd></div>"
        for value, what, more in tiles(seen)
    )
    answer = escape(seen.answer.text) or "<i>no words</i>"
    return (
        f'<article><h2>{escape(seen.name)}</h2><p class="answer" tabindex="0" dir="auto">{answer}</p>'
        f'<dl class="tiles">{stats}</dl></article>'
    )


def _figures(maps: Sequence[TokenMap]) -> str:
    """One table, a column per method; rows that one of them lacks stay empty there."""
    columns = [_grouped(seen) for seen in maps]
    names = list(dict.fromkeys(name for column in columns for name in column if name != "note"))
    head = "".join(f'<th scope="col">{escape(seen.name)}</th>' for seen in maps)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{'<br>'.join(map(escape, column.get(name, [])))}</td>" for column in columns)
        + "</tr>"
        for name in names
    )
    table = f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="wide" tabindex="0">{table}</div>{_notes(maps, columns)}'


def _notes(maps: Sequence[TokenMap], columns: Sequence[dict[str, list[str]]]) -> str:
    """Remarks, each once, with the methods they are about where not all of several."""
    about: dict[str, list[str]] = {}
    for seen, column in zip(maps, columns, strict=True):
        for note in column.get("note", []):
            about.setdefault(note, []).append(seen.name)
    lines = (
        f"<li>{escape('' if len(names) == len(maps) else ', '.join(names) + ': ')}{escape(note)}</li>"
        for note, names in about.items()
    )
    return f'<ul class="notes" aria-label="Notes">{"".join(lines)}</ul>' if about else ""


def _grouped(seen: TokenMap) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in figures(seen):
        found.setdefault(name, []).append(value)
    return found


def _windows(seen: TokenMap) -> str:
    columns = len(seen.moments) + 1
    groups = "".join(f'<th scope="colgroup" colspan="{columns}">{name}</th>' for name in seen.modalities())
    moments = ["in the clip", *(moment.label for moment in seen.moments)]
    heads = "".join(f'<th scope="col">{escape(label)}</th>' for label in moments) * len(seen.modalities())
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in window_rows(seen))
    return (
        f'<div class="wide" tabindex="0"><table class="numbers"><caption>{escape(seen.name)}</caption>'
        f'<thead><tr><th rowspan="2">window</th><th rowspan="2">seconds</th>{groups}</tr><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _part(name: str) -> str:
    return (files("seats.view") / "page" / name).read_text(encoding="utf-8")


def _filled(template: str, values: dict[str, str]) -> str:
    """Every `{{name}}` of the template by its value; what the values hold is left alone."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)


def _json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
