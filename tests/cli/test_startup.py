"""Which model runs, and what fetching it means."""

from __future__ import annotations

import gc
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seats.errors import MediaError, ModelError
from seats.models.hub import FetchPlan
from seats_cli import choose
from seats_cli.options import ClipOptions, OutputOptions
from seats_cli.output import Output
from seats_cli.startup import TINY, check_clip, check_header, fit_threads_to
from tests.cli.conftest import Ran
from tests.cli.hub_server import serve_hub

Run = Callable[..., Ran]
GIB = 2**30


@pytest.mark.parametrize(
    ("free", "model", "why"),
    [
        (None, "seats-nano", "no CUDA GPU"),
        (8 * GIB, "seats-nano", "8.00 GiB free"),
        (12 * GIB - 1, "seats-nano", "12.0 GiB free"),
        (12 * GIB, "Qwen/Qwen2.5-Omni-3B", "12.0 GiB free"),
        (24 * GIB - 1, "Qwen/Qwen2.5-Omni-3B", "24.0 GiB free"),
        (24 * GIB, "Qwen/Qwen2.5-Omni-7B", "24.0 GiB free"),
        (80 * GIB, "Qwen/Qwen2.5-Omni-7B", "80.0 GiB free"),
    ],
)
def test_default_model_fits_the_gpu(monkeypatch: pytest.MonkeyPatch, free: int | None, model: str, why: str) -> None:
    monkeypatch.setattr(choose, "free_gpu_bytes", lambda device: free)
    monkeypatch.setattr(choose, "fetch_plan", lambda name, offline: FetchPlan(20 * GIB, 100 * GIB, Path("/cache")))
    choice = choose.choose_model("auto", offline=False)
    assert choice.model == model
    assert model in choice.line
    assert why in choice.line
    assert ("shapes-and-sounds" in choice.line) == (model == "seats-nano")


@pytest.mark.parametrize(
    ("limit", "model", "why"),
    [
        (12 * GIB - 1, "seats-nano", "--max-vram allows 12.0 GiB, Qwen2.5-Omni-3B wants 12.0 GiB"),
        (12 * GIB, "Qwen/Qwen2.5-Omni-3B", "--max-vram allows 12.0 GiB"),
        (30 * GIB, "Qwen/Qwen2.5-Omni-7B", "--max-vram allows 30.0 GiB"),
        (90 * GIB, "Qwen/Qwen2.5-Omni-7B", "the GPU has 80.0 GiB free"),
    ],
)
def test_default_model_fits_the_limit(monkeypatch: pytest.MonkeyPatch, limit: int, model: str, why: str) -> None:
    monkeypatch.setattr(choose, "free_gpu_bytes", lambda device: 80 * GIB)
    monkeypatch.setattr(choose, "fetch_plan", lambda name, offline: FetchPlan(20 * GIB, 100 * GIB, Path("/cache")))
    choice = choose.choose_model("auto", False, limit)
    assert choice.model == model
    assert f"({why}" in choice.line


@pytest.mark.parametrize("command", ["ask", "view", "profile", "chat", "eval", "analyze", "batch"])
def test_every_command_chooses_within_the_limit(
    run: Run, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    limits = []

    def choose_none(device: str, offline: bool, limit: int | None) -> None:
        limits.append(limit)
        raise ModelError("none is chosen")

    monkeypatch.setattr(choose, "choose_model", choose_none)
    clip, questions = clips / "mute.mp4", tmp_path / "set.jsonl"
    questions.write_text(json.dumps({"clip": str(clip), "question": "what ?", "answer": "red"}))
    about = {"eval": [questions], "analyze": [questions], "chat": [clip]}
    about["batch"] = [clips, "what ?", "--out", tmp_path / "rows.jsonl"]
    ran = run(command, *about.get(command, [clip, "what ?"]), "--max-vram", "13G")
    assert ran.line == "error: none is chosen"
    assert limits == [13 * GIB]


@pytest.mark.parametrize(
    ("plan", "offline", "why"),
    [
        (None, False, "the hub cannot be reached"),
        (None, True, "--offline"),
        (FetchPlan(20 * GIB, 5 * GIB, Path("/cache")), False, "no room for the 20.0 GiB"),
    ],
)
def test_default_model_that_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, plan: FetchPlan | None, offline: bool, why: str
) -> None:
    monkeypatch.setattr(choose, "free_gpu_bytes", lambda device: 80 * GIB)
    monkeypatch.setattr(choose, "fetch_plan", lambda name, offline: plan)
    choice = choose.choose_model("auto", offline)
    assert choice.model == "seats-nano"
    assert why in choice.line


def test_device_cpu_wants_no_gpu() -> None:
    assert choose.free_gpu_bytes("cpu") is None
    assert "--device cpu" in choose.choose_model("cpu", offline=True).line


@pytest.mark.parametrize(
    ("device", "free"), [("auto", 8), ("cuda", 8), ("cuda:0", 8), ("cuda:1", 16), ("cuda:2", None), ("mps", None)]
)
def test_the_memory_is_that_of_the_gpu_that_would_be_used(
    monkeypatch: pytest.MonkeyPatch, device: str, free: int | None
) -> None:
    monkeypatch.setattr(choose, "gpu_driver_here", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda index: ((8, 16)[index], 80))
    assert choose.free_gpu_bytes(device) == free
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose.free_gpu_bytes(device) is None


def test_a_gpu_that_is_no_number_is_left_to_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "gpu_driver_here", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert choose.free_gpu_bytes("cuda:x") is None


def test_clip_decodes_beside_large_weights(run: Run, clips: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seats_cli.startup._LARGE", 0)
    flags = ("--model", tiny, "--max-new-tokens", "2", "--quiet")
    assert run("ask", clips / "both.mp4", "what ?", *flags).code == 0
    monkeypatch.setattr("seats_cli.startup.check_header", lambda *_: None)
    ran = run("ask", clips / "text.mp4", "what ?", *flags)
    assert ran.code == 1
    assert "text.mp4" in ran.line


def test_large_weights_are_read_ahead_of_the_imports(
    run: Run, clips: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr("seats_cli.startup._LARGE", 7)
    monkeypatch.setattr("seats.models.weight_files.read_ahead", lambda _, least: order.append(f"weights from {least}"))
    monkeypatch.setattr("seats.models.omni.import_model_code", lambda _: order.append("code"))
    ran = run("ask", clips / "both.mp4", "what ?", "--model", tiny, "--max-new-tokens", "1", "--quiet")
    assert (ran.code, order) == (0, ["weights from 7", "code"])


def test_ask_takes_frames_as_they_come(run: Run, clips: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU with a large model: the question does not wait for the whole clip."""
    monkeypatch.setattr("seats_cli.startup._LARGE", 0)
    monkeypatch.setattr("seats.inference.encode.encodes_beside_reading", lambda _: True)
    flags = ("--model", tiny, "--max-new-tokens", "2", "--json")
    beside = run("ask", clips / "both.mp4", "what ?", *flags)
    assert beside.code == 0
    monkeypatch.undo()
    alone = run("ask", clips / "both.mp4", "what ?", *flags)
    assert json.loads(beside.out)["answer"] == json.loads(alone.out)["answer"]
    assert json.loads(beside.out)["latency_ms"]["decode_clip"] > 0


def test_what_is_imported_is_not_searched_for_garbage(clips: Path, tiny: Path) -> None:
    """Searches of everything, each of which takes as long as a tenth of the imports."""
    asking = ["ask", str(clips / "both.mp4"), "What is this?", "--model", str(tiny), "--max-new-tokens", "1", "--quiet"]
    code = (
        "import gc, sys; from seats_cli.app import run; full = []\n"
        "gc.callbacks.append(lambda phase, its: full.append(1) if its['generation'] == 2 and phase == 'start' else 0)\n"
        "ended = run(sys.argv[1:]); print(len(full), gc.isenabled(), ended)"
    )
    done = subprocess.run([sys.executable, "-c", code, *asking], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 True 0", done.stderr


def test_status_is_silent_away_from_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(OutputOptions())
    with out.working("busy"):
        out.now("busier")
    said = capsys.readouterr()
    assert said.out + said.err == ""


@pytest.fixture
def from_hub(shell: Run, clips: Path, tiny: Path, tmp_path: Path):
    """`seats ask --model org/tiny` with a hub on this machine and an empty cache."""

    def call(
        *flags: str, folder: Path = tiny, claimed_bytes: int | None = None, home: Path | None = None, **options: object
    ) -> Ran:
        with serve_hub("org/tiny", folder, claimed_bytes) as address:
            changed = {"HF_ENDPOINT": address, "HF_HOME": str(home or tmp_path / "cache"), "HF_HUB_OFFLINE": "0"}
            environment = {**os.environ, **changed, "NO_PROXY": "127.0.0.1", "SEATS_MAX_NEW_TOKENS": "2"}
            ask = ("ask", clips / "mute.mp4", "what ?", "--model", "org/tiny")
            return shell(*ask, *flags, env=environment, **options)

    return call


@pytest.mark.slow
def test_download_is_announced_then_cached(from_hub: Run, tmp_path: Path) -> None:
    first = from_hub()
    assert first.code == 0, first.err
    assert first.err.startswith("fetching org/tiny: 1.")
    assert str(tmp_path / "cache") in first.err.splitlines()[0]
    for flags in ((), ("--offline",)):
        again = from_hub(*flags)
        assert again.out == first.out
        assert "fetching" not in again.err


def test_a_model_of_another_kind_is_refused_before_its_weights_are_fetched(
    from_hub: Run, tiny: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(tiny, tmp_path / "other")
    (other / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    ran = from_hub(folder=other)
    assert ran.code == 1
    assert ran.err.endswith(
        "error: org/tiny is a qwen2_5_vl model by its config.json: seats runs Qwen2.5-Omni and Qwen3-Omni\n"
    )
    fetched = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file() or path.is_symlink()]
    assert "config.json" in fetched
    assert not any(name.endswith(".safetensors") for name in fetched)


def test_nothing_is_fetched_to_be_quantised_without_a_gpu(from_hub: Run, tmp_path: Path) -> None:
    ran = from_hub("--device", "cpu", "--quantize", "4bit")
    assert ran.code == 2
    assert ran.line.startswith("error: --quantize works on a CUDA GPU, and --device cpu is none: leave it out")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("model", ["seats-nano", ".", "./gone"])
def test_only_a_hub_id_has_revisions(run: Run, clips: Path, model: str) -> None:
    ran = run("ask", clips / "mute.mp4", "what ?", "--model", model, "--revision", "v2")
    assert ran.code == 2
    assert ran.line.startswith(f"error: --revision names a version of a hub id, and {model} is none: leave it out")


def test_nothing_is_fetched_to_be_quantised_without_the_library(
    run: Run, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "free_gpu_bytes", lambda device: 80 * GIB)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setattr("seats.models.checkpoint.find_checkpoint", lambda *_, **__: pytest.fail("was looked for"))
    ran = run("ask", clips / "mute.mp4", "what ?", "--model", "org/large", "--quantize", "4bit")
    assert ran.code == 2
    assert ran.line.startswith("error: --quantize needs bitsandbytes and accelerate: pip install")


def test_quantising_without_a_gpu_is_said_before_what_to_install(
    run: Run, clips: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "gpu_driver_here", lambda: False)
    ran = run("ask", clips / "mute.mp4", "what ?", "--model", tiny, "--quantize", "4bit")
    assert ran.line.startswith("error: --quantize works on a CUDA GPU, and there is none here: leave it out")


def test_download_larger_than_the_disk(from_hub: Run) -> None:
    ran = from_hub(claimed_bytes=2**60)
    assert ran.code == 1
    assert "TiB" in ran.line
    assert "HF_HOME" in ran.line


def test_disk_that_fills_up(from_hub: Run) -> None:
    ran = from_hub(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)))
    assert ran.code == 1
    assert "could not be downloaded" in ran.err.splitlines()[-1]
    assert "HF_HOME" in ran.err.splitlines()[-1]
    assert "Traceback" not in ran.err


def test_cache_that_cannot_be_written(from_hub: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = from_hub(home=tmp_path / "file" / "cache")
    assert ran.code == 1
    assert "HF_HOME" in ran.err.splitlines()[-1]
    assert "Traceback" not in ran.err


def test_unknown_revision(from_hub: Run) -> None:
    assert "no revision 'v9'" in from_hub("--revision", "v9").line


def test_a_broken_clip_is_found_before_a_model_is_fetched(
    run: Run, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(*_: object) -> None:
        raise AssertionError("the model was asked for")

    monkeypatch.setattr("seats_cli.startup.checkpoint_for", fetched)
    for name in ("text.mp4", "empty.mp4"):
        ran = run("ask", clips / name, "what ?", "--model", "Qwen/Qwen2.5-Omni-7B")
        assert ran.code == 1
        assert name in ran.line


@pytest.mark.parametrize(
    "arguments",
    [
        ("bench", "--model", "small", "--device", "no-such"),
        ("profile", "CLIP", "--random-weights", "--model", "small", "--device", "no-such"),
        ("eval", "SET", "--model", "seats-nano", "--device", "no-such"),
        ("analyze", "SET", "--model", "seats-nano", "--limit", "1", "--every", "100"),
    ],
)
def test_libraries_are_imported_without_searching_them_for_garbage(
    run: Run, clips: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    item = {"clip": str(clips / "mute.mp4"), "question": "What is it?", "answer": "circle"}
    (tmp_path / "set.jsonl").write_text(json.dumps(item))
    named = {"CLIP": clips / "mute.mp4", "SET": tmp_path / "set.jsonl"}
    gc.unfreeze()
    ran = run(*(named.get(said, said) for said in arguments))
    assert gc.get_freeze_count() > 0, ran.err
    gc.unfreeze()


def test_a_question_that_is_also_a_file_s_name_may_be_asked_about_a_clip(tmp_path: Path) -> None:
    for name in ("clip.mp4", "red"):
        (tmp_path / name).touch()
    check_clip(tmp_path / "clip.mp4", ClipOptions(), question=str(tmp_path / "red"))


def test_the_header_too_is_read_within_the_time_limit(clips: Path) -> None:
    check_header(clips / "both.mp4", ClipOptions(timeout=60.0))
    with pytest.raises(MediaError, match="reading took longer than 1e-09 s"):
        check_header(clips / "both.mp4", ClipOptions(timeout=1e-9))


@pytest.mark.parametrize(
    ("weights", "quota", "said", "threads"),
    [
        (TINY - 1, None, None, 1),
        (TINY, None, None, 6),
        (TINY, 2, None, 2),
        (TINY, 12, None, 6),  # more time than torch has threads
        (TINY, 2, "5", 6),  # torch itself has read what the user said
    ],
)
def test_threads_go_by_the_weights_and_by_what_a_container_has_time_for(
    monkeypatch: pytest.MonkeyPatch, weights: int, quota: int | None, said: str | None, threads: int
) -> None:
    now = [6]
    monkeypatch.setattr("torch.get_num_threads", lambda: now[-1])
    monkeypatch.setattr("torch.set_num_threads", now.append)
    monkeypatch.setattr("seats_cli.startup.cpu_quota", lambda: quota)
    monkeypatch.setattr("seats_cli.startup.usable_cpus", lambda: quota or 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    fit_threads_to(weights)
    assert now[-1] == threads
