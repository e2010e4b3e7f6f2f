"""The page as a file: complete, escaped, small, and asking nothing of a network."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html import escape

import numpy as np
import pytest
import torch

from seats.view.page import page, page_data
from seats.view.token_map import TokenMap
from tests.view.conftest import METHODS, Look

NASTY = "</script><script>alert(1)</script> <img src=x onerror=alert(2)> {{data}} & \u2028 "


def data_of(html: str) -> dict:
    (text,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', html, re.S)
    return json.loads(text)


def half(text: str) -> np.ndarray:
    return (np.frombuffer(base64.b64decode(text), "<u2").astype("<u4") << 16).view("<f4")


def test_arrays_come_back(maps: dict[str, TokenMap]) -> None:
    data = data_of(page([maps[method] for method in METHODS]))
    assert [method["name"] for method in data["methods"]] == [maps[method].name for method in METHODS]
    for packed, seen in zip(data["methods"], (maps[method] for method in METHODS), strict=True):
        for name, tokens in seen.modalities().items():
            said = packed["tokens"][name]
            np.testing.assert_array_equal(np.frombuffer(base64.b64decode(said["left"]), "u1"), tokens.left)
            np.testing.assert_allclose(half(said["saliency"]), tokens.saliency, rtol=0.005)
            assert len(said["relevance"]) == len(packed["scored"])
            for row, values in zip(said["relevance"], tokens.relevance, strict=True):
                np.testing.assert_allclose(half(row), values, rtol=0.005)
            window = np.frombuffer(base64.b64decode(data["windows"][name]), "<u4")
            np.testing.assert_array_equal(window, tokens.window)
    assert len(data["pictures"]) == 6
    assert all(picture.startswith("data:image/jpeg;base64,") for picture in [*data["pictures"], data["sound"]])


def test_nothing_of_the_user_s_is_read_as_html(look_at: Look) -> None:
    html = page(look_at(text=NASTY * 40))
    assert html.count("<script") == 2
    assert "<img" not in html
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in html
    assert "{{data}}" in html  # as text, not filled in
    assert '<h1 class="long"' in html
    data_of(html)


def test_no_slot_is_left_and_nothing_is_fetched(maps: dict[str, TokenMap]) -> None:
    html = page([maps["seats"], maps["full"]])
    assert "{{" not in html
    assert not re.search(r"https?://|@import|url\(|src=\"(?!data)", html)
    assert "default-src 'none'" in html
    assert str(maps["seats"].clip.path.parent.absolute()) not in html


def test_budget_table_adds_up(maps: dict[str, TokenMap]) -> None:
    seen = maps["seats"]
    html = page([seen])
    (table,) = re.findall(r'<table class="numbers">(.*?)</table>', html, re.S)
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(<td>.*?)</tr>", table)]
    counts = np.array([[int(cell.replace(",", "")) for cell in row[2:]] for row in rows])
    moments = len(seen.moments) + 1
    assert re.findall(r'colspan="(\d+)"', table) == [str(moments)] * 2
    for place, (name, tokens) in enumerate(seen.modalities().items()):
        mine = counts[:, place * moments : (place + 1) * moments].sum(0)
        assert mine.tolist() == [int((tokens.left >= moment).sum()) for moment in range(moments)], name


def test_figures_of_both_methods_stand_beside_each_other(maps: dict[str, TokenMap]) -> None:
    html = page([maps["seats"], maps["full"]])
    row = re.search(r'<tr><th scope="row">retention, layer average</th>(.*?)</tr>', html, re.S)
    assert row
    seats, full = re.findall(r"<td>(.*?)</td>", row[1])
    assert full == "video 100.0 % · audio 100.0 % · overall 100.0 %"
    assert f"{100 * (maps['seats'].answer.trace.retention('video') or 0):.1f} %" in seats


def test_what_was_asked_and_answered(maps: dict[str, TokenMap]) -> None:
    seen = maps["seats"]
    html = page([seen])
    assert f'<h1 class="short" tabindex="0" dir="auto">{seen.answer.question.text}</h1>' in html
    assert f'<p class="answer" tabindex="0" dir="auto">{escape(seen.answer.text)}</p>' in html
    assert "<i>no words</i>" in page([replace(seen, answer=replace(seen.answer, text=""))])


def test_a_note_names_its_method_where_it_is_not_of_all(maps: dict[str, TokenMap]) -> None:
    seats, full = (replace(maps[name], notes=(*maps[name].notes, "of all")) for name in ("seats", "full"))
    html = page([seats, full])
    assert "<li>full: full does not read relevance" in html
    assert html.count("<li>of all</li>") == 1
    assert "<li>full does not read relevance" in page([full])


@pytest.mark.parametrize("clip", [{"seconds": 0.0}, {"frames": 0}, {"frames": 2, "fps": 25.0}])
def test_clips_without_sound_or_pictures_and_of_one_frame(look_at: Look, clip: dict) -> None:
    maps = look_at(**clip)
    data = page_data(maps)
    pictures, sound = clip.get("frames") != 0, clip.get("seconds") != 0
    assert bool(data["pictures"]) == pictures
    assert bool(data["sound"]) == sound
    assert data["soundSeconds"] == (maps[0].clip.audio.seconds if sound else 0)
    assert data["aspect"] == (1.5 if pictures else 1)  # 2 x 3 patches
    assert ("video tokens up, audio tokens down" in page(maps)) == (pictures and sound)


def test_128_frames_take_less_than_5_mb(maps: dict[str, TokenMap]) -> None:
    """With noise in every picture, the worst there is for a JPEG, and 144 tokens in each."""
    seen = maps["seats"]
    clip = seen.clip
    assert clip.video is not None
    assert seen.video is not None
    noise = torch.randint(0, 256, (128, 3, 252, 448), dtype=torch.uint8)
    video = replace(clip.video, pixels=noise, times=tuple(n / 2 for n in range(128)))
    count = 64 * 144
    tokens = replace(
        seen.video,
        window=np.arange(count) // 288,
        left=np.random.default_rng(0).integers(0, len(seen.moments), count).astype(np.uint8),
        saliency=np.ones(count, np.float32),
        relevance=np.ones((3, count), np.float32),
    )
    large = replace(
        seen,
        answer=replace(seen.answer, clip=replace(clip, video=video)),
        video=tokens,
        grid=(64, 9, 16),
        window_starts=np.arange(33) * 2.0,
    )
    assert len(page([large, large]).encode()) < 5_000_000


def test_times_are_those_of_the_file(late: TokenMap, maps: dict[str, TokenMap]) -> None:
    html = page([late])
    assert data_of(html)["start"] == 1500.5
    assert data_of(page([maps["seats"]]))["start"] == 0
    assert "<td>1500.5–" in html  # noqa: RUF001  (the table of windows)
    assert "from 25:00" in html
