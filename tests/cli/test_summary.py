"""The summary at the widths that terminals have."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from seats.units import flops, size
from seats_cli.flow import Flow, bar
from seats_cli.options import ClipOptions
from seats_cli.summary import Summary, about_the_words


@pytest.fixture(scope="module")
def answered(tiny: Path, clips: Path) -> Any:
    import seats

    model = seats.load_model(seats.find_checkpoint(str(tiny)))
    clip = seats.load_clip(clips / "both.mp4", sampling=model.sampling)
    question = seats.Question("what is in the clip ?", keep=25, decoding=seats.Decoding(max_new_tokens=5))
    return seats.answer(model, clip, question, decode_ms=12.0)


def render(answer: Any, width: int, part: ClipOptions = ClipOptions(), **console: Any) -> list[str]:  # noqa: B008
    out = io.StringIO()
    printed = Console(file=out, width=width, force_terminal=True, color_system=None, **console)
    printed.print(Summary(answer, part, startup_ms=2500.0))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_panel_is_whole_at_any_width(answered: Any, width: int) -> None:
    lines = render(answered, width)
    assert {len(line) for line in lines} == {min(width, 100)}
    assert all(line[0] in "╭│╰" for line in lines)
    if width >= 80:
        assert len(lines) <= 23
    whole = " ".join(line.strip("│ ") for line in lines)
    for said in (
        "seats 25%",
        "before the LLM",
        "after layer 5",
        "gone after layer 6",
        "2.50 s of start-up",
        "estimated",
        "4.0 s of sound · 48 kHz source",
    ):
        assert said in whole


def test_numbers_are_those_of_the_trace(answered: Any) -> None:
    lines = render(answered, 80)
    trace = answered.trace
    row = next(line for line in lines if "before the LLM" in line)
    assert f" {trace.pre_llm().video} " in row
    assert f" {trace.pre_llm().audio} " in row
    average = next(line for line in lines if "layer average" in line)
    assert f"{100 * trace.retention('video'):.1f} %" in average
    assert f"{100 * trace.retention('audio'):.1f} %" in average


@pytest.mark.parametrize("width", range(34, 60, 2))
def test_a_narrow_terminal_loses_no_digit(answered: Any, width: int) -> None:
    lines = render(answered, width)
    full = answered.trace.full
    row = next(line for line in lines if "in the clip" in line)
    assert row.strip("│ ").split()[3:][:1] == [f"{full.video:,}"]
    assert f" {full.audio:,} " in row
    average = next(line for line in lines if "layer average" in line)
    assert f"{100 * answered.trace.retention('audio'):.1f} %" in average
    assert {len(line) for line in lines} == {width}


def test_one_picture_has_no_rate_and_no_length(answered: Any) -> None:
    video = replace(answered.clip.video, times=(0.0,) * len(answered.clip.video.times))
    for audio, length in ((answered.clip.audio, "4.0 s of 4.0 s · "), (None, "")):
        clip = replace(
            answered.clip, video=video, audio=audio, **({} if audio else {"end_s": 0.02, "duration_s": 0.02})
        )
        line = next(line for line in render(replace(answered, clip=clip), 100) if "seen" in line)
        assert f"seen    {length}one picture · " in line


def test_one_picture_that_is_shown_for_long_has_a_length(answered: Any) -> None:
    video = replace(answered.clip.video, times=(0.0,) * len(answered.clip.video.times))
    clip = replace(answered.clip, video=video, audio=None)
    assert any("seen    4.0 s of 4.0 s · one picture · " in line for line in render(replace(answered, clip=clip), 100))


def test_pictures_of_the_file_s_own_size_come_from_no_other(answered: Any) -> None:
    _, _, height, width = answered.clip.video.pixels.shape
    assert width != height
    for source, said in (((width, height), ""), ((height, width), f" from {height}×{width}")):  # noqa: RUF001
        video = replace(answered.clip.video, source_width=source[0], source_height=source[1])
        line = next(
            line for line in render(replace(answered, clip=replace(answered.clip, video=video)), 100) if "seen" in line
        )
        assert f" {width}×{height}{said} " in line  # noqa: RUF001


def test_stages_are_named_by_what_they_leave(answered: Any) -> None:
    def first_words(answer: Any) -> list[str]:
        lines = [line.strip("│ ") for line in render(answer, 100)]
        return [line[:20].split("  ")[0] for line in lines if line.startswith(("before", "after", "gone"))]

    inside = [drop.after_layer for drop in answered.trace.drops if drop.after_layer]
    gone = f"after layer {inside[-1]}"
    names = ["before the LLM", *(f"after layer {layer}" for layer in inside[:-1])]
    assert first_words(answered) == [*names, f"gone {gone}"]
    heard = [*answered.trace.drops]
    heard[-1] = replace(heard[-1], counts=replace(heard[-1].counts, audio=1))
    assert first_words(replace(answered, trace=replace(answered.trace, drops=heard))) == [*names, gone]


def test_encoding_sound_alone_is_told_too(answered: Any) -> None:
    run = replace(answered.flops.run, vision_encoder=0)
    heard = replace(answered, flops=replace(answered.flops, run=run))
    assert any(f"encoders {flops(run.audio_encoder)}" in line for line in render(heard, 100))


def test_no_colour_away_from_a_terminal(answered: Any) -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(Summary(answered, ClipOptions(), startup_ms=1.0))
    assert "\x1b" not in out.getvalue()
    assert "│" not in out.getvalue()


def test_ascii_terminal(answered: Any) -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii", errors="replace")
    Console(file=out, width=80, force_terminal=True, color_system=None).print(
        Summary(answered, ClipOptions(), startup_ms=1.0)
    )
    out.flush()
    assert b"####" in raw.getvalue()


def test_notes_are_shown_and_disarmed(answered: Any) -> None:
    noted = replace(answered, notes=("a [bold]strange[/bold]\x1b[31m file",))
    assert any("a [bold]strange[/bold]\ufffd[31m file" in line for line in render(noted, 80))


@pytest.mark.parametrize(
    ("notes", "seen"),
    [
        (("no pictures in the file; only the sound is used",), "no pictures in this file"),
        (("the picture is 4040x20, longer than 200:1; crop it first",), "no pictures: see the note"),
    ],
)
def test_pictures_that_are_not_used_are_not_said_to_be_absent(answered: Any, notes: Any, seen: str) -> None:
    noted = replace(answered, notes=notes, clip=replace(answered.clip, video=None))
    lines = render(noted, 80)
    assert any(seen in line for line in lines)
    assert any(notes[0] in line for line in lines) == seen.endswith("note")  # else it would be said twice


@pytest.mark.parametrize(
    ("thoughts", "text", "finish_reason", "said"),
    [
        (None, "one", "stop", []),
        (None, "", "stop", ["the answer has no words"]),
        ("two words", "one", "stop", ["the model thought first, in 2 words: --json has them"]),
        (None, "", "length", ["the answer was cut after 5 tokens: raise --max-new-tokens"]),
    ],
)
def test_what_an_answer_does_not_say_of_itself(
    answered: Any, thoughts: str | None, text: str, finish_reason: str, said: list[str]
) -> None:
    answer = replace(answered, thoughts=thoughts, text=text, finish_reason=finish_reason)
    assert [*about_the_words(answer)] == said
    shown = [line for line in render(answer, 80) if "│ note " in line]
    assert len(shown) == len(said)


def test_times_are_those_of_the_answer(answered: Any) -> None:
    steps = {"decode_clip": 12, "prepare": 3, "encode_video": 40, "encode_audio": None, "selection": 5, "prefill": 60}
    overall = {"first_token": 130, "per_output_token": 7, "total": 158}
    lines = render(replace(answered, latency_ms=steps | overall), 100)
    time = next(number for number, line in enumerate(lines) if line.startswith("│ time "))
    assert [line.strip("│ ") for line in lines[time : time + 2]] == [
        "time    reading 12 ms · preparing 3.0 ms · pictures 40 ms · selection 5.0 ms · prefill 60 ms",
        "first token 130 ms · 7.0 ms a token · total 158 ms after 2.50 s of start-up",
    ]
    single = render(replace(answered, latency_ms=steps | overall | {"per_output_token": None}), 100)
    assert not any("a token" in line for line in single)


def test_verbose_adds_memory_and_the_papers_count(answered: Any) -> None:
    for verbose in (True, False):
        out = io.StringIO()
        summary = Summary(answered, ClipOptions(), startup_ms=2500.0, verbose=verbose)
        Console(file=out, width=100, color_system=None).print(summary)
        full, run = (flops(macs, "MACs") for macs in (answered.flops.paper_full_macs, answered.flops.paper_run_macs))
        paper = f"{full} → {run} of prefill, as the paper counts"
        for said in (f"{size(answered.peak_device_bytes)} peak of the process", paper):
            assert (said in out.getvalue()) == verbose


def test_a_part_is_said_to_be_one(answered: Any) -> None:
    clip = replace(answered.clip, start_s=1.5, audio=None)
    lines = render(replace(answered, clip=clip), 80, ClipOptions(start=1.5, no_audio=True))
    assert any("seen    2.5 s of 4.0 s from 1.5 s · " in line for line in lines)
    assert any("heard   no sound used (--no-audio)" in line for line in lines)


def test_full_tokens_are_the_same_in_all_layers(answered: Any) -> None:
    import seats

    full = seats.answer(answered.model, answered.clip, replace(answered.question, method="full"))
    whole = "\n".join(render(full, 80))
    for said, count in (("in the clip", 1), ("all 8 layers", 1), ("100.0 %", 2), ("fewer", 0), ("selection", 0)):
        assert whole.count(said) == count, said


@pytest.mark.parametrize(
    ("width", "lines"),
    [(20, ["one two · three four", "five · six"]), (19, ["one two", "three four · five", "six"])],
)
def test_flow_breaks_between_pieces_only(width: int, lines: list[str]) -> None:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(Flow(["one two", "three four", "five", Text("six", style="bold")]))
    assert [line.rstrip() for line in captured.get().splitlines()] == lines


@pytest.mark.parametrize(("share", "text"), [(0, "    "), (1, "████"), (0.5, "██  "), (0.0001, "▏   "), (0.28, "█▏  ")])
def test_bar(share: float, text: str) -> None:
    assert bar(share, 4, "cyan", ascii_only=False).plain == text


@pytest.mark.parametrize(("share", "text"), [(0, "    "), (1, "####"), (0.5, "##  "), (0.0001, "#   "), (0.7, "### ")])
def test_bar_in_ascii(share: float, text: str) -> None:
    assert bar(share, 4, "cyan", ascii_only=True).plain == text
