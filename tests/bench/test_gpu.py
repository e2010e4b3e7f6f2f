"""The parts of `benchmarks/gpu.py`: their commands are understood, and they run, with small models on a CPU."""

import json

import pytest
import typer

from benchmarks import gpu
from seats_cli.main import build_app


@pytest.fixture(scope="module")
def commands():
    return typer.main.get_command(build_app()).commands


@pytest.mark.parametrize("dry", [False, True])
def test_the_commands_are_understood(commands, dry):
    parts = gpu.parts(dry)
    assert len({part.name for part in parts}) == len(parts)
    asked = [part.command for part in parts if part.command[:2] == ("-m", "seats_cli")]
    assert len(asked) == 10
    for _, _, name, *arguments in asked:
        commands[name].make_context(name, list(arguments))  # raises for an option it does not know
    assert all(part.about_s < gpu.LIMIT_S < 9 * 60 for part in parts)


def test_every_method_at_every_retention_and_stock_code():
    by_name = {part.name: part.command for part in gpu.parts()}
    for model in ("7b", "3b", "30b"):
        command = by_name[f"{model}-tokens"]
        assert {"--method=seats", "--method=omnizip", "--method=divprune-om", "--stock"} <= set(command)
        assert [word for word in command if word.startswith("--keep")] == [f"--keep={k}%" for k in (35, 25, 15, 10)]
        assert "--method=full" not in command


def test_the_plan_is_printed_and_nothing_runs(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "run", lambda *_: pytest.fail("ran"))
    assert gpu.main(["--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "7b-first-token" in out
    assert " done " not in out
    assert gpu.main(["run", "7b", "--budget", "10", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("left for the next call") == 4
    with pytest.raises(SystemExit):
        gpu.main(["run", "70b"])


@pytest.mark.slow
def test_parts_run_are_recorded_and_not_run_again(tmp_path, capsys, monkeypatch):
    out, again = tmp_path / "files", tmp_path / "again"
    again.mkdir()
    monkeypatch.setenv("OUT", str(again))
    names = ["7b-hour", "7b-first-token"]
    assert gpu.main(["run", *names, "--dry", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "first token after" in said
    assert "peak memory full" in said
    for name in names:
        record = json.loads((out / f"gpu-{name}.json").read_text())
        assert record == json.loads((again / f"gpu-{name}.json").read_text())
        assert record["exit_code"] == 0
        assert record["command"][0] == "python"
        assert record.keys() >= {"commit", "recorded", "machine", "result", "seconds"}
        assert [row["label"] for row in record["result"]["rows"]] == ["full", "seats 10%"]
    monkeypatch.setattr(gpu, "run", lambda *_: pytest.fail("ran again"))
    assert gpu.main(["run", *names, "--dry", "--out", str(out)]) == 0
    assert capsys.readouterr().out.count(" done ") == 2


def test_what_fails_is_recorded_and_told(tmp_path, capsys, monkeypatch):
    part = gpu.Part("broken", ("-c", "import sys; print('{'); sys.exit('no such thing')"), 1, document=False)
    monkeypatch.setattr(gpu, "parts", lambda _: [part])
    assert gpu.main(["run", "--dry", "--out", str(tmp_path)]) == 1
    assert "no such thing" in capsys.readouterr().out
    record = json.loads((tmp_path / "gpu-broken.json").read_text())
    assert (record["exit_code"], record["result"]["summary"]) == (1, "{")
    assert gpu.main(["--dry", "--out", str(tmp_path)]) == 0
    assert "to do" in capsys.readouterr().out  # a failure is not done
