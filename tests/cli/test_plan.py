"""`seats plan`, and `--max-vram` of the commands that run a model."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from seats.plan.gpu import PresentGpu
from seats.units import flops, size
from seats_cli.options import ModelOptions
from seats_cli.planning import model_for, parse_memory, place_for
from seats_cli.usage import WrongUsage
from tests.cli.conftest import Ran
from tests.media.make import tone, write_clip

Run = Callable[..., Ran]
IN_4_BITS = ("--model", "Qwen/Qwen2.5-Omni-7B", "--quantize", "4bit")


def test_json_is_one_document(run: Run, clips: Path, tiny: Path) -> None:
    ran = run("plan", clips / "both.mp4", "what is in the clip ?", "--model", tiny, "--json", "--keep", "25%")
    assert ran.code == 0, ran.err
    assert not ran.err
    said = json.loads(ran.out)
    assert said["schema"] == "seats.plan/1"
    assert said["clip"]["video"]["frames"] == 8
    assert said["clip"]["duration_s"] == pytest.approx(4, abs=0.1)
    assert said["tokens"]["text_counted"] is True
    assert said["tokens"]["video"]["pre_llm"] < said["tokens"]["video"]["full"]
    assert len(said["tokens"]["total_per_layer"]) == said["model"]["layers"]
    assert said["flops"]["run"] < said["flops"]["full"]
    memory = said["memory_bytes"]
    assert memory["run"]["total"] == memory["weights"] + memory["run"]["activations"] + memory["run"]["clip"]
    assert said["fit"]["run"] is True
    assert said["fit"]["suggestions"] == []


def test_it_is_what_ask_reports(run: Run, clips: Path, tiny: Path) -> None:
    shared = ("--model", tiny, "--method", "random", "--keep", "35%", "--max-frames", "4", "--json")
    question = "what is in the clip ?"
    planned = json.loads(run("plan", clips / "both.mp4", question, *shared, "--max-new-tokens", "3").out)
    asked = json.loads(run("ask", clips / "both.mp4", question, *shared, "--max-new-tokens", "3").out)
    for name in ("video", "audio"):
        assert planned["tokens"][name]["full"] == asked["tokens"][name]["full"]
        assert planned["tokens"][name]["per_layer"] == asked["tokens"][name]["per_layer"]
    assert planned["tokens"]["text"] == asked["tokens"]["text"]
    assert planned["flops"]["parts"] == asked["flops"]["parts"]
    assert planned["flops"]["full"] == asked["flops"]["full"]
    assert planned["memory_bytes"]["run"]["kv_cache"] == asked["memory_bytes"]["kv_cache"]


def test_the_table_holds_what_the_document_does(run: Run, clips: Path) -> None:
    asked = ("plan", clips / "both.mp4", "--model", "seats-nano", "--max-vram", "2G")
    said = json.loads(run(*asked, "--json").out)
    lines = [" ".join(line.split()) for line in run(*asked).out.splitlines()]
    tokens, costs, memory = said["tokens"], said["flops"], said["memory_bytes"]
    mean = sum(tokens["total_per_layer"]) / said["model"]["layers"]
    for told in (
        "model seats-nano · qwen2.5-omni · 32 bit · on cpu",
        "clip 4.0 s of 4.0 s · 8 frames at 2 fps · 196×168 · 4.0 s of sound",  # noqa: RUF001
        f"tokens 2 windows · ±{tokens['later_within']} tokens in all after the first drop",
        "full tokens seats 10%",
        *(f"{name} tokens {tokens[name]['full']} {tokens[name]['pre_llm']}" for name in ("video", "audio")),
        f"FLOPs {flops(costs['full'])} {flops(costs['run'])}",
        f"weights {size(memory['weights'])} {size(memory['weights'])}",
        f"KV cache alone {size(memory['full']['kv_cache'])} {size(memory['run']['kv_cache'])}",
        f"memory {size(memory['full']['total'])} {size(memory['run']['total'])}",
        "Fits into 2.00 GiB (--max-vram).",
    ):
        assert told in lines, told
    assert any(line.startswith("mean of layers ") and line.endswith(f" {mean:.0f}") for line in lines)


@pytest.mark.parametrize(
    ("model", "method", "told"),
    [
        ("Qwen/Qwen2.5-Omni-7B", "full", "tokens 2 windows · text estimated (no tokenizer.json on disk)"),
        ("seats-nano", "full", "tokens 2 windows"),
        ("seats-nano", "omnizip", "tokens 2 windows · what omnizip keeps depends on the clip"),
    ],
)
def test_what_is_not_known_beforehand_is_said(run: Run, clips: Path, model: str, method: str, told: str) -> None:
    ran = run("plan", clips / "both.mp4", "--model", model, "--method", method, "--keep", "35%", "--max-vram", "40G")
    assert told in [" ".join(line.split()) for line in ran.out.splitlines()], ran.err


def test_one_picture_has_no_length(run: Run, tmp_path: Path) -> None:
    Image.new("RGB", (336, 168), "red").save(tmp_path / "a.png")
    out = run("plan", tmp_path / "a.png", "--model", "seats-nano").out
    assert re.search(r"^clip +one picture · \d+×\d+ *$", out, re.MULTILINE), out  # noqa: RUF001


def test_parts_of_flops_that_are_shown_add_up_for_each_column(run: Run, tmp_path: Path) -> None:
    """Selection is a large part of little and a small part of much."""
    clip = write_clip(tmp_path / "long.m4a", sound=tone(300.0, 8_000), sound_rate=8_000, container_format="mp4")
    ran = run("plan", clip, "--model", "seats-nano", "--json")
    parts = json.loads(ran.out)["flops"]["parts"]
    assert parts["selection"] > 0.005 * sum(parts.values())
    ran = run("plan", clip, "--model", "seats-nano")
    rows = {}
    for line in ran.out.splitlines():
        if found := re.match(r" *(.+?)  .* (\S+) ([MG])$", line):
            rows[found[1]] = float(found[2]) * {"M": 1e6, "G": 1e9}[found[3]]
    assert "decode 256 tokens" in rows
    total = rows.pop("FLOPs")
    assert sum(rows.values()) == pytest.approx(total, rel=0.006)


def test_a_name_that_is_not_utf8_is_told_as_by_ask(run: Run, clips: Path, tmp_path: Path) -> None:
    clip = tmp_path / os.fsdecode(b"caf\xe9.m4a")
    clip.write_bytes((clips / "sound.m4a").read_bytes())
    said = json.loads(run("plan", clip, "--model", "seats-nano", "--json").out)
    assert said["clip"]["path"].endswith("caf\\xe9.m4a")


def test_the_shares_asked_for_are_named(run: Run, clips: Path) -> None:
    ran = run("plan", clips / "both.mp4", "--model", "seats-nano", "--keep-video", "20%", "--keep-audio", "40%")
    assert "seats video 20% audio 40%" in ran.out


def test_published_models_need_no_files(run: Run, clips: Path) -> None:
    ran = run("plan", clips / "both.mp4", "--model", "Qwen/Qwen2.5-Omni-7B", "--max-vram", "17G", "--json")
    said = json.loads(ran.out)
    assert said["model"]["parameters"] == 8_931_813_888
    assert said["fit"]["run"] is False
    flags = [change["flags"] for change in said["fit"]["suggestions"]]
    assert "--quantize 4bit" in flags
    assert all(change["total_bytes"] < 17 * 2**30 for change in said["fit"]["suggestions"])
    assert "Does not fit" in run("plan", clips / "both.mp4", "--model", "Qwen/Qwen2.5-Omni-7B", "--max-vram", "17G").out
    small = run("plan", clips / "both.mp4", "--model", "Qwen/Qwen2.5-Omni-7B", "--max-vram", "1G").out
    assert "The weights alone take 16.6 GiB: choose a smaller --model." in small


def test_a_limit_chooses_the_model(run: Run, clips: Path) -> None:
    ran = run("plan", clips / "both.mp4", "--max-vram", "26G", "--device", "cuda", "--json")
    assert json.loads(ran.out)["model"]["name"] == "Qwen/Qwen2.5-Omni-7B"
    assert "Qwen2.5-Omni-7B" in ran.line


@pytest.mark.parametrize("method", ["seats", "full"])
def test_the_table_says_for_how_long_an_answer_it_holds(
    run: Run, clips: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    ran = run("plan", clips / "both.mp4", "--model", "Qwen/Qwen2.5-Omni-7B", "--max-vram", "40G", "--method", method)
    assert "decode 256 tokens " in ran.out
    assert ("fewer FLOPs in all (256 tokens decoded)" in ran.out) is (method == "seats")
    short = run("plan", clips / "both.mp4", "--model", "seats-nano", "--method", method, "--max-new-tokens", "1")
    assert "decode 1 token " in short.out


@pytest.mark.parametrize("width", ["40", "60", "120"])
@pytest.mark.parametrize("clip", ["both.mp4", "mute.mp4", "sound.m4a"])
def test_the_table_keeps_to_the_width(
    run: Run, clips: Path, width: str, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("NO_COLOR", "1")
    ran = run("plan", clips / clip, "--model", "Qwen/Qwen3-Omni-30B-A3B-Instruct", "--max-vram", "70G", "-v")
    assert ran.code == 0
    assert "\x1b[" not in ran.out
    assert max(map(len, ran.out.splitlines())) <= int(width)
    assert "Fits into" in ran.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("text.mp4",), 1, "not a video or sound file"),
        (("empty.mp4",), 1, "empty"),
        (("gone.mp4",), 1, "no such file"),
        (("mute.mp4", "--no-video"), 1, "no sound"),
        (("both.mp4", "--start", "9"), 1, "begins at 9"),
        (("both.mp4", "--no-video", "--no-audio"), 2, "nothing to ask about"),
        (("both.mp4", "--method", "best"), 2, "unknown|cannot plan"),
        (("both.mp4", "--keep", "90%"), 2, "choose at most --keep "),
        (("both.mp4", "--max-vram", "lots"), 2, "is not a size"),
        (("both.mp4", "--device", "tpu"), 2, "unknown device"),
        (("both.mp4", "--model", "no/such-model"), 1, "not on this disk, .*seats ask --model no/such-model fetches it"),
        (("both.mp4", "--model", "/no-such-folder"), 1, "no model folder .*: check the path"),
        (("both.mp4", "--model", str(Path(__file__).parent)), 1, "no config.json"),
        (("both.mp4", "--model", "seats-nano", "--quantize", "4bit"), 2, "a CUDA GPU, not on cpu: leave it out"),
        (("both.mp4", *IN_4_BITS, "--device", "cpu", "--max-vram", "24G"), 2, "a CUDA GPU, not on cpu: leave it out"),
        (("both.mp4", *IN_4_BITS), 2, "and none is here: give the memory of the one that is meant, such as --max-vram"),
    ],
)
def test_wrong_use_is_one_line(run: Run, clips: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    model = () if "--model" in arguments else ("--model", "seats-nano")
    ran = run("plan", clips / arguments[0], *arguments[1:], *model)
    assert ran.code == code
    assert re.search(said, ran.line)
    assert not ran.out


def test_a_models_own_settings_are_checked(run: Run, clips: Path, tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(tiny, folder)
    (folder / "seats.json").write_text('{"drop_layers": [1], "late_layer": 99}')
    for command, question in (("plan", ()), ("ask", ("what ?",))):
        ran = run(command, clips / "both.mp4", *question, "--model", folder)
        assert ran.code == 1
        assert "seats.json: late_layer is 99; it must be a layer from 2 to" in ran.line


def test_the_help_offers_no_method_of_another_package(shell: Callable[..., Ran]) -> None:
    said = " ".join(shell("plan", "--help").out.split())
    assert "omnizip" in said
    assert "another package" not in said
    assert "another package" in " ".join(shell("ask", "--help").out.split())


def test_it_takes_less_than_a_second_of_the_processor(shell: Callable[..., Ran], clips: Path) -> None:
    began = os.times().children_user
    ran = shell("plan", clips / "both.mp4", "--model", "Qwen/Qwen2.5-Omni-7B", "--json")
    assert ran.code == 0
    assert os.times().children_user - began < 1.5  # with room for a slow machine; torch alone would take longer


def test_max_vram_lowers_what_is_seen_and_says_so(run: Run, clips: Path, tiny: Path) -> None:
    asked = ("ask", clips / "both.mp4", "what ?", "--model", tiny, "--max-new-tokens", "2", "--json")
    free = run(*asked, "--max-vram", "1G")
    assert "nothing had to be lowered" in free.line
    tight = run(*asked, "--max-vram", "3300K")
    assert tight.code == 0, tight.err
    before, after = (json.loads(ran.out)["clip"]["video"] for ran in (free, tight))
    pixels = [video["frames"] * video["width"] * video["height"] for video in (before, after)]
    assert pixels[1] < pixels[0]
    assert f"{after['frames']} frames of {after['width']}x{after['height']}" in tight.line


def test_an_impossible_limit_is_one_line(run: Run, clips: Path, tiny: Path) -> None:
    ran = run("ask", clips / "both.mp4", "what ?", "--model", tiny, "--max-vram", "100K")
    assert ran.code == 1
    assert "weights" in ran.line
    assert "raise --max-vram" in ran.line


@pytest.mark.parametrize(
    ("device", "limit", "where", "model"),
    [
        ("auto", None, "first", "Qwen/Qwen2.5-Omni-3B"),
        ("cuda", "24G", "first", "Qwen/Qwen2.5-Omni-7B"),
        ("cuda:1", None, "second", "Qwen/Qwen2.5-Omni-7B"),
        ("cuda:2", None, "there are 2 GPUs", None),
        ("cuda:x", None, "unknown device", None),
        ("cuda:²", None, "unknown device", None),
    ],
)
def test_the_gpu_that_is_named_is_planned_for(
    monkeypatch: pytest.MonkeyPatch, device: str, limit: str | None, where: str, model: str | None
) -> None:
    gpus = [PresentGpu("first", 2**34), PresentGpu("second", 2**36)]
    monkeypatch.setattr("seats.plan.gpu.present_gpus", lambda: gpus)
    bytes_ = None if limit is None else parse_memory(limit)
    if model is None:
        with pytest.raises(WrongUsage, match=where):
            place_for(device, bytes_, None)
        return
    place = place_for(device, bytes_, None)
    assert place.device == "cuda"
    assert place.gpu is not None
    assert place.gpu.name == where
    planned, line = model_for(ModelOptions(device=device), place, bytes_)
    assert planned.name == model
    assert line is not None
    assert line.startswith(f"model: {model} (for {size(bytes_ or place.gpu.free_bytes)};")


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ((), "no CUDA GPU here"),
        (("--device", "mps"), "--device mps"),
        (("--device", "mps", "--max-vram", "80G"), "--device mps"),  # the others would not run a larger one there
        (("--device", "cpu"), "--device cpu"),
        (("--device", "cuda", "--max-vram", "8G"), "8.00 GiB are too few for Qwen2.5-Omni"),
    ],
)
def test_the_choice_of_the_built_in_model_says_why_and_what_it_knows(
    run: Run, clips: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], why: str
) -> None:
    monkeypatch.setattr("seats.plan.gpu.present_gpus", list)
    ran = run("plan", clips / "mute.mp4", "--json", *flags)
    assert ran.code == 0, ran.err
    assert ran.line.startswith(f"model: seats-nano ({why}; choose another")
    assert ran.line.endswith("it only knows shapes-and-sounds clips")


@pytest.mark.parametrize("width", [60, 40])
def test_a_narrow_terminal_breaks_no_word(run: Run, clips: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    arguments = ("plan", clips / "both.mp4", "--model", "Qwen/Qwen2.5-Omni-7B")
    words = set(run(*arguments).out.split())
    monkeypatch.setenv("COLUMNS", str(width))
    ran = run(*arguments)
    assert max(map(len, ran.out.splitlines())) <= width
    assert {word for word in ran.out.split() if word.isalpha()} <= words
    assert "…" not in ran.out


def test_no_row_is_broken_on_forty_columns(run: Run, clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    ran = run("plan", clips / "both.mp4", "--model", "Qwen/Qwen2.5-Omni-7B", "--max-vram", "40G")
    assert re.search(r"^  decode 256 tokens +[\d.]+ [GT] +[\d.]+ [GT]$", ran.out, re.MULTILINE)
