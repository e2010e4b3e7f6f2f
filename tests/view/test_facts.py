# ruff: noqa: RUF001  (multiplication signs, en dashes and typographic apostrophes are meant)
"""The figures in words are those of the answer: made-up ones, so that each can only come from its own place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seats.costs.flops import FlopsParts, FlopsReport
from seats.inference.speedup import Speedup
from seats.units import times as times_told
from seats.view.facts import clip_line, figures, tiles, window_rows
from seats.view.token_map import Moment, TokenMap, Tokens
from tests.view.conftest import Look

FULL = FlopsParts(5e12, 3e12, 0.0, 80e12, 1e12, 2e12)
RUN = FlopsParts(5e12, 3e12, 0.5e12, 8e12, 1e12, 1.5e12)
LATENCY = {
    "decode_clip": 11.0, "prepare": 12.0, "encode_video": 13.0, "encode_audio": None, "selection": 15.0,
    "prefill": 16.0, "first_token": 1234.0, "decode_per_token": 18.0, "total": 90_000.0,
}  # fmt: skip
MEASURED = Speedup(4.5, 1.5, "measured", (4.25, 4.75))


def made_up(seen: TokenMap, **more: Any) -> TokenMap:
    answer = replace(
        seen.answer,
        flops=FlopsReport(FULL, RUN, 1.0, 1.0),
        latency_ms=LATENCY,
        peak_device_bytes=3000 * 2**20,
        kv_cache_bytes=5 * 2**19,
        notes=("of the answer",),
    )
    return replace(seen, answer=replace(answer, **more), notes=("of the page",))


def test_cards(maps: dict[str, TokenMap]) -> None:
    seats = made_up(maps["seats"], speedup=MEASURED)
    _, costs, speed = tiles(seats)
    assert costs == ("4.79× fewer", "FLOPs for the answer", "19.0 TFLOPs of 91.0 TFLOPs")
    assert speed == ("31 ms", "selection + prefill", "4.50× faster, measured")
    estimated = made_up(seats, speedup=replace(MEASURED, basis="estimated", spread=None))
    fewer = f"{times_told(estimated.answer.flops.llm_reduction)} fewer FLOPs there"  # not of times
    assert fewer != "4.50× fewer FLOPs there"
    assert tiles(estimated)[2] == ("31 ms", "selection + prefill", fewer)
    nothing_timed = made_up(seats, latency_ms=dict.fromkeys(LATENCY))
    assert tiles(nothing_timed)[2][0] == "0.0 ms"


def test_cards_of_full_tokens_compare_with_nothing(maps: dict[str, TokenMap]) -> None:
    full = made_up(maps["full"], flops=FlopsReport(FULL, FULL, 1.0, 1.0), latency_ms=LATENCY | {"selection": 0.0})
    assert tiles(full) == [
        ("100.0 %", "of the clip’s tokens, layer average", "video\u00a0100.0\u00a0% · audio\u00a0100.0\u00a0%"),
        ("91.0 TFLOPs", "for the answer", "every token in every layer"),
        ("16 ms", "prefill", ""),
    ]
    rows = dict(figures(full))
    assert rows["FLOPs"] == "91.0 TFLOPs"
    assert not any(what.startswith("speed-up") for what in rows)


def test_table(maps: dict[str, TokenMap]) -> None:
    seen = made_up(maps["seats"], speedup=MEASURED, finish_reason="stop")
    trace = seen.answer.trace
    rows = list(figures(seen))
    assert rows[0] == ("model", "tiny · float32 · cpu")
    assert dict(rows) == dict(rows[:1]) | {
        "tokens in the clip": f"{trace.full.video} video · {trace.full.audio} audio",
        "tokens entering the LLM": f"{trace.layers[0].video} video · {trace.layers[0].audio} audio",
        "tokens of text": f"{trace.full.text}",
        "retention, layer average": " · ".join(
            f"{name} {100 * (trace.retention(name) or 0):.1f} %" for name in ("video", "audio", "overall")
        ),
        "FLOPs": "19.0 TFLOPs of 91.0 TFLOPs for full tokens",
        "FLOPs, encoders": "8.00 TFLOPs",
        "FLOPs, selection + prefill": "9.50 TFLOPs of 81.0 TFLOPs for full tokens",
        "time, reading the clip": "11 ms",
        "time, preparing": "12 ms",
        "time, encoding pictures": "13 ms",
        "time, selection": "15 ms",
        "time, prefill": "16 ms",
        "time, up to the first token": "1.23 s",
        "time, total": "1 min 30 s",
        "speed-up, selection + prefill": "4.50× (4.25 to 4.75), measured",
        "memory": "cache 2.5 MiB · peak 3,000 MiB",
        "note": "of the page",
    }
    assert [text for what, text in rows if what == "note"] == ["of the answer", "of the page"]


def test_an_estimate_has_no_spread_and_a_cut_is_a_note(maps: dict[str, TokenMap]) -> None:
    estimate = Speedup(4.5, 1.5, "estimated")
    rows = list(figures(made_up(maps["seats"], speedup=estimate, finish_reason="length")))
    assert ("speed-up, selection + prefill", "4.50×, estimated") in rows
    assert rows[-1] == ("note", "the answer was cut after 3 tokens")


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ((0.0, 60.0, 60.04), "1:00"),
        ((0.0, 60.0, 60.06), "1:00 of 1:00 from 0.0 s"),
        ((1500.0, 1530.0, 3600.0), "30.0 s of 1:00:00 from 25:00"),
    ],
)
def test_the_part_of_the_file_is_said(maps: dict[str, TokenMap], times: tuple[float, float, float], said: str) -> None:
    start, end, length = times
    clip = replace(maps["seats"].clip, path=Path("a/b.mp4"), start_s=start, end_s=end, duration_s=length)
    line = clip_line(made_up(maps["seats"], clip=clip))
    assert line == f"b.mp4 · {said} · 6 frames at 2 fps, 84×56 · 3.3 s of sound"


def test_what_a_clip_lacks_is_said_and_not_counted(look_at: Look) -> None:
    (heard,), (watched,) = look_at(frames=0), look_at(seconds=0.0)
    assert clip_line(heard) == "clip.mp4 · 3.3 s · no pictures · 3.3 s of sound"
    assert clip_line(watched) == "clip.mp4 · 3.0 s · 6 frames at 2 fps, 84×56 · no sound"
    for seen, there in ((heard, "audio"), (watched, "video")):
        full = seen.answer.trace.full
        assert dict(figures(seen))["tokens in the clip"] == f"{full.video or full.audio} {there}"
        assert tiles(seen)[0][2].startswith(f"{there}\u00a0")
        assert "·" not in tiles(seen)[0][2]


def test_the_budget_counts_what_each_moment_leaves_of_each_window(maps: dict[str, TokenMap]) -> None:
    none = np.zeros((0, 4), np.float32)
    seen = replace(
        made_up(maps["seats"], clip=replace(maps["seats"].clip, start_s=10.0)),
        video=Tokens(np.array([0, 0, 0, 1]), np.array([0, 1, 2, 2], np.uint8), None, none),
        audio=Tokens(np.array([0, 1, 1, 1]), np.array([1, 0, 0, 2], np.uint8), None, none),
        moments=(Moment(0, "before", 1, 2), Moment(3, "late", 1, 1)),
        window_starts=np.array([0.0, 2.0, 3.5]),
    )
    assert window_rows(seen) == [
        ["1", "10.0–12.0 s", "3", "2", "1", "1", "1", "0"],
        ["2", "12.0–13.5 s", "1", "1", "1", "3", "1", "1"],
    ]
