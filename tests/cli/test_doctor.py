"""`seats doctor`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seats.models import checkpoint
from seats_cli import codecs
from seats_cli.machine import Gpu, _Asking, _gpus
from tests.cli.conftest import Ran
from tests.cli.hub_server import serve_hub

Run = Callable[..., Ran]


@pytest.fixture
def built_in(monkeypatch: pytest.MonkeyPatch, tiny: Path) -> None:
    monkeypatch.setattr(checkpoint, "BUILT_IN_FOLDER", tiny)


@pytest.mark.usefixtures("built_in")
def test_json(run: Run) -> None:
    ran = run("doctor", "--json", "--offline")
    assert ran.code == 0, ran.out
    assert not ran.err
    said = json.loads(ran.out)
    assert said["schema"] == "seats.doctor/1"
    assert said["ok"] is True
    assert said["problems"] == []
    assert said["versions"]["torch"]
    assert said["transformers_inside"] is True
    assert set(said["codecs"]) == {"h264", "hevc", "vp9", "av1", "aac", "opus", "mp3", "flac"}
    assert said["codecs"]["h264"]
    (here, *_) = json.loads(run("models", "--json").out)["models"]
    assert said["built_in"]["bytes"] == here["on_disk"] > 1_000_000 / 2
    assert said["hub"]["reachable"] is None
    assert [model["name"] for model in said["hub"]["models"]] == [name for name in checkpoint.KNOWN if "/" in name]
    assert said["memory_free_bytes"] > 0
    assert set(said["extras"]) == {"eval", "parquet", "quant", "ray"}
    assert "triton" in said["attention"]


@pytest.mark.usefixtures("built_in")
def test_table_goes_to_stdout(run: Run) -> None:
    ran = run("doctor", "--offline")
    assert ran.code == 0
    assert not ran.err
    for said in ("transformers", "tested range", "GPU", "h264, ", "not asked (offline)", "can run here"):
        assert said in ran.out


@pytest.mark.usefixtures("built_in")
def test_table_fits_a_narrow_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("seats_cli.machine._version", lambda package: None if package == "ray" else "1.0")
    ran = run("doctor", "--offline")
    assert max(map(len, ran.out.splitlines())) <= 60
    assert "not ray" in " ".join(ran.out.split())
    assert "Triton" in ran.out


def test_missing_built_in_model_is_a_problem(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checkpoint, "BUILT_IN_FOLDER", tmp_path)
    ran = run("doctor", "--offline", "--json")
    assert ran.code == 1
    assert "config.json" in json.loads(ran.out)["problems"][0]
    assert "problem" in run("doctor", "--offline").out


def test_damaged_weights_of_the_built_in_model_are_a_problem(
    run: Run, monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny, tmp_path / "nano")
    (folder / "model.safetensors").write_bytes(b"no weights")
    monkeypatch.setattr(checkpoint, "BUILT_IN_FOLDER", folder)
    ran = run("doctor", "--offline", "--json")
    assert ran.code == 1
    assert "not a readable safetensors file" in json.loads(ran.out)["problems"][0]


@pytest.mark.usefixtures("built_in")
def test_libraries_that_are_missing_or_too_old_are_problems(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr("seats.models.compat.TESTED", ("99.0", "99.1"))
    ran = run("doctor", "--offline", "--json")
    said = json.loads(ran.out)
    assert (ran.code, said["transformers_inside"]) == (1, False)
    assert {name for name, works in said["codecs"].items() if not works} == set(codecs.SAMPLES)
    assert [("too old" in problem, "av cannot be imported" in problem) for problem in said["problems"]] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.usefixtures("built_in")
def test_missing_decoders_are_a_problem(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seats_cli.machine.decodes", lambda name: name not in ("h264", "av1"))
    ran = run("doctor", "--offline")
    assert ran.code == 1
    assert "not h264, av1" in ran.out
    assert "does not decode h264" in ran.out


def test_codec_samples_are_really_decoded() -> None:
    assert codecs.decodes("aac")
    broken = codecs.Sample("video", ("h264",), extradata="", packets=("AAAAAWdkAAqs",))
    assert not codecs._decodes(broken, "h264")
    assert not codecs._decodes(codecs.SAMPLES["h264"], "no-such-decoder")


def test_hub_is_asked(tiny: Path) -> None:
    with serve_hub("org/tiny", tiny) as address:
        assert _Asking(address).answer()
    assert not _Asking(address).answer()


@pytest.mark.usefixtures("built_in")
def test_the_hub_is_not_asked_where_the_environment_forbids_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert json.loads(run("doctor", "--json").out)["hub"]["reachable"] is None


@pytest.mark.usefixtures("built_in")
def test_an_extra_is_there_with_all_its_packages_only(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seats_cli.machine._version", lambda package: None if package == "accelerate" else "1.0")
    extras = json.loads(run("doctor", "--offline", "--json").out)["extras"]
    assert [name for name, there in extras.items() if not there] == ["quant"]


@pytest.mark.usefixtures("built_in")
def test_an_apple_gpu_is_told_with_how_it_is_used(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(run("doctor", "--offline", "--json").out)["mps"] is torch.backends.mps.is_available()
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    assert json.loads(run("doctor", "--offline", "--json").out)["mps"] is True
    said = run("doctor", "--offline").out
    assert "GPU mps" in said
    assert "only with --device mps" in said
    assert "none that torch can use" not in said


def test_a_gpu_is_told_with_what_is_free_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "mem_get_info": lambda index: (3, 8),
        "get_device_capability": lambda index: (9, 0),
        "get_device_name": lambda index: f"GPU {index}",
    }
    for name, said in told.items():
        monkeypatch.setattr(f"torch.cuda.{name}", said)
    assert _gpus() == (Gpu(0, "GPU 0", "9.0", total_bytes=8, free_bytes=3),)
