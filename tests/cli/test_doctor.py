"""`seats doctor`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from seats.models import checkpoint
from seats_cli import codecs
from seats_cli.machine import _Asking
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
    assert "Qwen/Qwen2.5-Omni-7B" in [model["name"] for model in said["hub"]["models"]]
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
