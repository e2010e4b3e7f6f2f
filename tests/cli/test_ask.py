"""`seats ask`, from the file to the answer, with a tiny random model."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import Ran

Run = Callable[..., Ran]
SAMPLES = Path(__file__).resolve().parents[2] / "samples"
SHORT = ("--max-new-tokens", "4")


@pytest.fixture
def ask(run: Run, clips: Path, tiny: Path) -> Run:
    def call(clip: str, *flags: object) -> Ran:
        return run("ask", clips / clip, "what is in the clip ?", "--model", tiny, *SHORT, *flags)

    return call


def test_answer_on_stdout_and_summary_on_stderr(ask: Run) -> None:
    ran = ask("both.mp4")
    assert ran.code == 0, ran.err
    assert re.fullmatch(r"\S+( \S+){3}\n", ran.out)
    assert "\x1b" not in ran.out + ran.err
    for part in (
        "8 frames at 2 fps",
        "4.0 s of sound",
        "before the LLM",
        "layer average",
        "FLOPs",
        "estimated",
        "total",
    ):
        assert part in ran.err
    assert "raise --max-new-tokens" in ran.err


def test_a_pipe_gets_the_answer_alone(shell: Run, clips: Path, tiny: Path, ask: Run) -> None:
    ran = shell("ask", clips / "both.mp4", "what is in the clip ?", "--model", tiny, *SHORT, "--quiet")
    assert ran == Ran(0, ask("both.mp4").out, "")


def test_json_holds_what_the_schema_says(ask: Run) -> None:
    ran = ask("both.mp4", "--json", "--seed", "3")
    assert ran.code == 0
    assert not ran.err
    said = json.loads(ran.out)
    assert said["schema"] == "seats.answer/1"
    keys = {
        "clip": {"path", "start_s", "end_s", "duration_s", "video", "audio"},
        "model": {"name", "dtype", "device", "attention"},
        "tokens": {"text", "video", "audio"},
        "retention": {"video", "audio", "overall"},
        "flops": {"full", "run", "reduction", "parts"},
        "latency_ms": {"decode_clip", "prepare", "encode_video", "encode_audio", "selection", "prefill",
                       "first_token", "per_output_token", "total"},
        "speedup": {"prefill", "first_token", "basis"},
        "memory_bytes": {"peak_device", "kv_cache"},
    }  # fmt: skip
    for key, inner in keys.items():
        assert inner <= said[key].keys(), key
    assert {"frames", "fps", "width", "height"} <= said["clip"]["video"].keys()
    assert {"seconds", "sample_rate"} <= said["clip"]["audio"].keys()
    assert {"vision_encoder", "audio_encoder", "selection", "llm_prefill", "llm_decode"} <= said["flops"][
        "parts"
    ].keys()
    assert said["finish_reason"] == "length"
    assert said["method"]["name"] == "seats"
    assert said["seed"] == 3
    assert said["speedup"]["basis"] == "estimated"
    assert said["latency_ms"]["decode_clip"] > 0
    assert said["tokens"]["video"]["full"] > said["tokens"]["video"]["pre_llm"] > 0
    assert len(said["tokens"]["audio"]["per_layer"]) == 8


def test_json_answer_is_the_streamed_one(ask: Run) -> None:
    assert json.loads(ask("both.mp4", "--json").out)["answer"] == ask("both.mp4", "--quiet").out.strip()


def test_part_of_the_clip_and_coarser_frames(ask: Run) -> None:
    ran = ask(
        "both.mp4",
        "--json",
        "--start",
        "0:01",
        "--end",
        "3",
        "--fps",
        "4",
        "--max-frames",
        "6",
        "--max-pixels",
        "56x56",
    )
    clip = json.loads(ran.out)["clip"]
    assert (clip["start_s"], clip["end_s"]) == (1, 3)
    assert clip["video"]["frames"] == 6
    assert clip["video"]["width"] * clip["video"]["height"] <= 56 * 56
    assert clip["audio"]["seconds"] == pytest.approx(2, abs=0.01)


def test_no_sound_in_the_file(ask: Run) -> None:
    ran = ask("mute.mp4")
    assert ran.code == 0
    assert "no sound in this file" in ran.err
    assert "audio" not in ran.err


def test_sound_alone(ask: Run) -> None:
    ran = ask("sound.m4a")
    assert ran.code == 0
    assert "no pictures in this file" in ran.err


def test_sound_left_out(ask: Run) -> None:
    ran = ask("both.mp4", "--no-audio")
    assert ran.code == 0
    assert "no sound used (--no-audio)" in ran.err


def test_an_answer_cut_after_its_first_token(ask: Run) -> None:
    assert "the answer was cut after 1 token: raise" in " ".join(ask("both.mp4", "--max-new-tokens", "1").err.split())


def test_full_tokens(ask: Run) -> None:
    ran = ask("both.mp4", "--method", "full")
    assert ran.code == 0
    assert "all 8 layers" in ran.err
    assert "estimated" not in ran.err


def test_compare_measures(ask: Run) -> None:
    ran = ask("mute.mp4", "--compare", "--verbose")
    assert ran.code == 0
    assert re.search(r"prefill [\d.]+\u00d7 \(rounds [\d.]+ to [\d.]+\) .* measured", ran.err)
    assert "start-up" in ran.err
    assert "cache" in ran.err


def test_keep_per_modality(ask: Run) -> None:
    method = json.loads(ask("both.mp4", "--json", "--keep-video", "12%", "--keep-audio", "40").out)["method"]
    assert (method["video"], method["audio"]) == (0.12, 0.4)


@pytest.mark.parametrize(
    ("clip", "flags", "says"),
    [
        ("gone.mp4", [], "no such file"),
        ("text.mp4", [], "text.mp4"),
        ("empty.mp4", [], "empty"),
        (".", [], "folder"),
        ("both.mp4", ["--start", "1:00"], "lasts 4"),
        ("mute.mp4", ["--no-video"], "no sound"),
        ("sound.m4a", ["--no-audio"], "no pictures"),
    ],
)
def test_unusable_clips(ask: Run, clip: str, flags: list[str], says: str) -> None:
    ran = ask(clip, *flags)
    assert ran.code == 1
    assert ran.line.startswith("error: ")
    assert says in ran.line
    assert not ran.out


def test_a_link_to_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").symlink_to("unplugged/clip.mp4")
    ran = run("ask", tmp_path / "clip.mp4", "what ?")
    assert ran.code == 1
    assert f"clip.mp4: is a link to {tmp_path}/unplugged/clip.mp4, which does not exist" in ran.line


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (["--model", "seats-micro"], 1, "known models: seats-nano"),
        (["--model", "org/not-here"], 1, "org/not-here"),
        (["--model", "org/not-here", "--offline"], 1, "--offline"),
        (["--model", "./nowhere"], 1, "nowhere"),
        (["--method", "magic"], 2, "choose one of"),
        (["--keep", "100%"], 2, "--method full"),
        (["--device", "warp"], 2, "auto, cpu"),
        (["--device", "cpu", "--quantize", "4bit"], 2, "on a CUDA GPU, and --device cpu is none: leave it out"),
    ],
)
def test_wrong_models_and_settings(ask: Run, flags: list[str], code: int, says: str) -> None:
    ran = ask("mute.mp4", *flags)
    assert ran.code == code
    assert says in ran.line


def test_folder_that_is_no_model(ask: Run, clips: Path, tmp_path: Path) -> None:
    assert "config.json" in ask("mute.mp4", "--model", clips).line
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_5_omni_thinker"}')
    assert "model.safetensors" in ask("mute.mp4", "--model", tmp_path).line


def test_qwen3(run: Run, clips: Path, tmp_path: Path) -> None:
    from tests.checkpoints import save_tiny_checkpoint

    folder = save_tiny_checkpoint(tmp_path / "tiny3", "qwen3-omni")
    ran = run("ask", clips / "both.mp4", "what ?", "--model", folder, *SHORT, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["retention"]["overall"] < 0.5


def test_json_of_a_name_that_is_not_utf8(run: Run, clips: Path, tiny: Path, tmp_path: Path) -> None:
    clip = tmp_path / os.fsdecode(b"caf\xe9.m4a")
    clip.write_bytes((clips / "sound.m4a").read_bytes())
    ran = run("ask", clip, "what ?", "--model", tiny, "--max-new-tokens", "2", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["clip"]["path"].endswith("/caf\\xe9.m4a")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_the_built_in_model_on_a_gpu(shell: Run) -> None:
    """As a user types it, in a process of its own, with all that starts in one."""
    question = "Which shape appears as the hum is heard?"
    ran = shell("ask", SAMPLES / "crossing.mp4", question, "--model", "seats-nano", "--device", "cuda", "--compare")
    assert (ran.code, ran.out) == (0, "circle\n"), ran.err
    assert "cuda" in ran.err
    assert "measured" in ran.err
