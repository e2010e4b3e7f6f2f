"""`seats profile` on a clip from disk."""

import json
import re
import time

import pytest
import torch

from seats.inference import encode
from seats_cli import startup
from seats_cli.app import run
from tests.checkpoints import save_tiny_checkpoint
from tests.media.make import tone, write_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("profile")
    save_tiny_checkpoint(made / "model", "qwen2.5-omni")
    write_clip(made / "clip.mp4", frames=48, size=(96, 64), sound=tone(4.0))
    return made


def test_methods_are_measured_against_full_tokens(folder, capsys):
    arguments = ["profile", str(folder / "clip.mp4"), "what is red ?", "--model", str(folder / "model")]
    arguments += ["--max-pixels", "3136", "--rounds", "2", "--warmups", "0", "--new-tokens", "3", "--device", "cpu"]
    arguments += ["--method", "seats", "--method", "fastv-om", "--keep", "25%", "--keep-audio", "30%", "--seed", "5"]
    assert run([*arguments, "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    document = json.loads(out)
    assert document["schema"] == "seats.profile/1"
    assert document["clip"]["audio_s"] == pytest.approx(4.0, abs=0.05)
    assert document["clip"]["frames"] == 4
    assert document["clip"]["path"] == str(folder / "clip.mp4")
    assert (document["clip"]["start_s"], document["clip"]["end_s"]) == (0.0, pytest.approx(4.0, abs=0.1))
    assert [document[name] for name in ("kv", "rounds", "warmups", "seed")] == ["keep", 2, 0, 5]
    rows = {row["label"]: row for row in document["rows"]}
    assert rows["fastv-om 25% audio 30%"]["error"].startswith("fastv-om cannot keep")
    seats, full = rows["seats 25% audio 30%"], rows["full"]
    steps = ("prepare", "encode_video", "encode_audio", "saliency", "selection", "prefill", "first_token")
    assert all(seats["latency_ms"][step]["median"] > 0 for step in steps)
    assert full["latency_ms"]["saliency"] is None
    assert full["tokens"]["retention"]["overall"] == 1.0
    assert seats["tokens"]["retention"]["overall"] < 0.6
    assert seats["tokens"]["retention"]["audio"] == pytest.approx(0.3, abs=0.03)
    assert document["keep"] == {"video": None, "audio": 0.3}
    assert seats["flops"]["reduction"] > 1.2
    assert seats["flops"]["parts"]["vision_encoder"] == full["flops"]["parts"]["vision_encoder"] > 0
    spread = seats["speedup"]["selection_and_prefill"]
    assert spread["low"] <= spread["median"] <= spread["high"]
    for row in (seats, full):
        assert row["latency_ms"]["first_token"]["low"] > row["latency_ms"]["selection_and_prefill"]["low"]
        assert row["memory_bytes"]["peak_device"] > 2**20 > row["memory_bytes"]["kv_cache"] > 0


def test_the_question_that_is_asked_without_one_is_told(capsys):
    assert run(["profile", "--help"]) == 0
    assert "(default 'What happens in this clip?')" in " ".join(re.findall(r"[^\s│]+", capsys.readouterr().out))


def test_an_unknown_method_is_refused_before_the_clip_is_read(folder, capsys):
    assert run(["profile", str(folder / "clip.mp4"), "--model", str(folder / "model"), "--method", "seat"]) == 2
    assert "unknown method 'seat'" in capsys.readouterr().err


def test_a_system_prompt_counts_and_the_answer_ends_where_it_is_told_as_for_ask(folder, capsys):
    shared = [str(folder / "clip.mp4"), "what is red ?", "--model", str(folder / "model"), "--max-new-tokens", "1"]
    shared += ["--max-pixels", "3136", "--device", "cpu", "--json", "--quiet", "--system", "say who ! say who !"]
    assert run(["ask", *shared]) == 0
    asked = json.loads(capsys.readouterr().out)
    assert run(["profile", *shared, "--rounds", "1", "--warmups", "0"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["system"] == "say who ! say who !"
    seats, tokens = document["rows"][1], asked["tokens"]
    assert seats["tokens"]["full"] == [tokens["text"], tokens["video"]["full"], tokens["audio"]["full"]]
    assert seats["latency_ms"]["per_output_token"] is None
    assert run(["ask", *shared[:-2]]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"]["text"] < tokens["text"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("OutOfResources: shared memory"), "unexpected RuntimeError: OutOfResources: shared memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
    ],
)
def test_what_fails_from_the_file_on_is_told_and_leaves_what_was_measured(folder, capsys, monkeypatch, error, said):
    def fail(*_):
        raise error

    monkeypatch.setattr("seats.bench.profile._from_file", fail)
    arguments = ["profile", str(folder / "clip.mp4"), "what ?", "--model", str(folder / "model"), "--device", "cpu"]
    arguments += ["--rounds", "1", "--warmups", "0", "--max-pixels", "3136", "--from-file", "--json", "--quiet"]
    assert run(arguments) == 1
    out, err = capsys.readouterr()
    for row in json.loads(out)["rows"]:
        assert (row["error"], row["from_file_ms"], row["from_file_error"]) == (None, None, said)
        assert row["latency_ms"]["prefill"]["median"] > 0
        assert ("in fail" in row.get("traceback", "")) == (type(error) is RuntimeError)
        assert f"{row['label']}: from the file, {said}" in err
    assert ("--debug" in err) == (type(error) is RuntimeError)


def test_a_name_in_brackets_is_shown_as_it_is(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "m[old]").mkdir()
    (folder / "m[old]" / "a[").mkdir()
    (folder / "m[old]" / "a[" / "b]").symlink_to(folder / "model")
    arguments = ["profile", "clip.mp4", "what ?", "--model", "m[old]/a[/b]", "--device", "cpu", "--rounds", "1"]
    assert run([*arguments, "--warmups", "0", "--max-pixels", "3136", "--quiet"]) == 0
    assert "m[old]/a[/b]" in capsys.readouterr().out


def test_time_that_is_hidden_is_not_less_for_a_prompt_that_takes_long(folder, capsys, monkeypatch):
    def slowly(work, seconds):
        def slow(*args, **kwargs):
            made = work(*args, **kwargs)
            time.sleep(seconds)
            return made

        return slow

    monkeypatch.setattr("seats.inference.encode.encodes_beside_reading", lambda _: True)
    monkeypatch.setattr("seats_cli.startup.decode", slowly(startup.decode, 0.6))  # the sound is there before
    monkeypatch.setattr("seats.inference.encode.log_mel", slowly(encode.log_mel, 0.3))
    monkeypatch.setattr("seats.bench.profile.build_prompt", slowly(encode.build_prompt, 0.4))
    arguments = ["profile", str(folder / "clip.mp4"), "what ?", "--model", str(folder / "model"), "--device", "cpu"]
    arguments += ["--rounds", "1", "--warmups", "0", "--new-tokens", "1", "--max-pixels", "3136", "--from-file"]
    assert run([*arguments, "--json", "--quiet"]) == 0
    for row in json.loads(capsys.readouterr().out)["rows"]:
        if row["error"] is None:
            assert row["from_file_ms"]["hidden"]["median"] > 200


def test_random_weights_need_no_model(folder, capsys):
    arguments = ["profile", str(folder / "clip.mp4"), "what is red ?", "--random-weights", "--max-frames", "2"]
    arguments += ["--rounds", "1", "--warmups", "0", "--new-tokens", "2", "--device", "cpu", "--max-pixels", "12544"]
    assert run([*arguments, "--model", "small", "--json", "--quiet", "--from-file"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["model"]["name"] == "small with random weights"
    assert document["clip"]["decode_ms"] > 0
    rows = {row["label"]: row for row in document["rows"]}
    assert rows["full"]["tokens"]["full"][1:] == [20, 100]
    assert rows["seats 10%"]["latency_ms"]["first_token"]["median"] > 0
    for row in rows.values():
        whole = row["from_file_ms"]
        assert whole["first_token"]["median"] > whole["read"]["median"] > 0
        assert whole["hidden"]["median"] == 0  # on a CPU
    assert run(arguments) == 2
    assert "--random-weights needs --model" in capsys.readouterr().err
    assert run([*arguments, "--model", "small", "--max-vram", "4G"]) == 2
    assert "--max-vram" in capsys.readouterr().err
