"""`seats bench` as a user meets it."""

import json
import re

import pytest
import torch
import typer

from seats_cli.app import run
from seats_cli.commands.bench import Size, Tokens, parse_size, parse_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("8600+3000+150", Tokens(8600, 3000, 150)),
        ("11750", Tokens(8600, 3000, 150)),
        ("0+50+20", Tokens(0, 50, 20)),
        ("200", Tokens(74, 26, 100)),
    ],
)
def test_tokens(text, tokens):
    assert parse_tokens(text) == tokens


@pytest.mark.parametrize(
    ("text", "said"),
    [("19", "a total of 19 is too small for text, video and audio: at least 20"), ("9" * 11, "at most 10,000,000")],
)
def test_totals_that_cannot_be(text, said):
    with pytest.raises(typer.BadParameter, match=said):
        parse_tokens(text)


def test_size():
    assert parse_size("1280x720") == Size(1280, 720)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tokens", "many"],
        ["--tokens", "1+2"],
        ["--size", "480p", "--frames", "4"],
        ["--tokens", "100", "--frames", "4"],
        ["--method", "no-such"],
        ["--frames", "3"],
        ["--tokens", "19"],
        ["--tokens", "10000001"],
        ["--rounds", "0"],
        ["--seed", "9" * 30],
        ["--size", "640x360"],
        ["--seconds", "4", "--tokens", "100"],
        ["--text-tokens", "20"],
    ],
)
def test_wrong_usage(arguments, capsys):
    assert run(["bench", "--model", "small", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1


def test_what_it_is_doing_is_said_with_verbose_away_from_a_terminal(capsys):
    arguments = ["bench", "--model", "small", "--tokens", "60+25+20", "--rounds", "1", "--warmups", "1", "--json"]
    assert run([*arguments, "--new-tokens", "1", "--device", "cpu", "--verbose"]) == 0
    making, *rounds = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"making small: \d+ million random weights on cpu", making)
    assert rounds == [f"{where} 1 of 1: {label}" for where in ("warm-up", "round") for label in ("full", "seats 10%")]


@pytest.mark.parametrize("model", ["small", "small-moe"])
def test_small_presets_run_anywhere(model, capsys):
    arguments = ["bench", "--model", model, "--tokens", "60+25+20", "--rounds", "1", "--warmups", "0", "--stock"]
    assert run([*arguments, "--new-tokens", "1", "--device", "cpu", "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    document = json.loads(out)
    assert [row["label"] for row in document["rows"]] == ["full", "stock", "seats 10%"]
    assert [row["error"] for row in document["rows"]] == [None] * 3
    assert document["model"]["name"] == model
    seats = document["rows"][2]
    assert seats["tokens"]["full"] == [20, 60, 25]
    assert seats["latency_ms"]["per_output_token"]["median"] > 0
    assert seats["speedup"]["over_stock"]["median"] > 0


def test_both_shares_leave_the_retention_nothing_to_say(capsys):
    arguments = ["bench", "--model", "small", "--tokens", "60+25+20", "--rounds", "1", "--warmups", "0", "--json"]
    own = ["--keep", "10%", "--keep", "25%", "--keep-video", "20%", "--keep-audio", "40%"]
    assert run([*arguments, "--new-tokens", "0", "--device", "cpu", *own]) == 0
    assert [row["label"] for row in json.loads(capsys.readouterr().out)["rows"]] == [
        "full",
        "seats video 20% audio 40%",
    ]


@pytest.mark.parametrize(("said", "threads"), [(None, 1), ("2", 2)])
def test_a_small_model_is_timed_on_one_thread_as_it_runs(monkeypatch, capsys, said, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        arguments = ["bench", "--model", "small", "--tokens", "60+25+20", "--rounds", "1", "--warmups", "0", "--json"]
        assert run([*arguments, "--new-tokens", "0", "--device", "cpu", "--quiet"]) == 0
    finally:
        torch.set_num_threads(before)
    assert json.loads(capsys.readouterr().out)["machine"]["threads"] == threads


@pytest.mark.slow
def test_a_time_limit_ends_it_after_a_round_that_counts(capsys):
    arguments = ["bench", "--model", "small", "--tokens", "60+25+20", "--rounds", "9", "--warmups", "0"]
    assert run([*arguments, "--new-tokens", "0", "--device", "cpu", "--json", "--time-limit", "0.001"]) == 0
    assert json.loads(capsys.readouterr().out)["rounds"] == 1


def test_the_result_is_on_standard_output(capsys):
    arguments = "bench --model small --tokens 60+25+20 --rounds 1 --warmups 0 --new-tokens 1 --keep 10% --keep 20%"
    assert run([*arguments.split(), "--json", "--quiet", "--keep-video", "40%"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    document = json.loads(out)
    labels = [row["label"] for row in document["rows"]]
    assert labels == ["full", "seats 10% video 40%", "seats 20% video 40%"]
    assert document["workload"]["keep"] == {"video": 0.4, "audio": None}
    assert all(row["tokens"]["retention"]["video"] == pytest.approx(0.4, abs=0.05) for row in document["rows"][1:])
    assert run([*arguments.split(), "--method", "fastv-om"]) == 0
    out, _ = capsys.readouterr()
    assert "fastv-om 20%" in out
    assert "fastv-om 10%: fastv-om cannot keep 6 %" in " ".join(out.split())


def test_a_table_breaks_no_word_and_loses_no_column_in_a_pipe(monkeypatch, capsys):
    from seats_cli.consoles import OutputConsole
    from seats_cli.measurements import tables

    spread = {"median": 1234.5, "low": 1234.5, "high": 1234.5}
    steps = ("prepare", "encode_video", "encode_audio", "saliency", "selection", "prefill", "selection_and_prefill")
    row = {
        "label": "divprune-om 12.5%",
        "error": None,
        "latency_ms": dict.fromkeys((*steps, "first_token", "per_output_token"), spread),
        "from_file_ms": {"first_token": spread},
        "speedup": dict.fromkeys(("selection_and_prefill", "over_stock", "vision_over_stock", "first_token"), spread),
        "flops": {"selection_and_prefill": 1e12, "reduction": 8.0, "reduction_over_stock": 8.0},
        "rate_share": {"vision_encoder": 0.5, "prefill": 0.5},
        "selection_share_of_full_prefill": spread,
        "memory_bytes": {"kv_cache": 2**30, "peak_device": 2**34},
    }
    monkeypatch.delenv("COLUMNS")
    OutputConsole().print(tables({"machine": {"device": "cuda"}, "rows": [row]}))
    piped = capsys.readouterr().out
    for heading in ("selection + prefill", "first token from the file", "selecting, of full prefill", "peak memory"):
        assert heading in piped
    for device in ("cpu", "mps:0"):
        OutputConsole().print(tables({"machine": {"device": device}, "rows": [row]}))
        assert "the process's peak so far" in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "100")
    OutputConsole().print(tables({"machine": {"device": "cuda"}, "rows": [row]}))
    narrow = capsys.readouterr().out
    assert max(map(len, narrow.splitlines())) <= 100
    words = set(narrow.split())
    for name in ("prepare", "vision", "saliency", "selection", "prefill", "first", "token", "selecting,", "memory"):
        assert name in words
    assert {"divprune-om", "12.5%"} <= words
    assert narrow.count("divprune-om 12.5%") == 6  # each of the three goes on once
    assert narrow.count("time, median") == narrow.count("times faster than full tokens") == 1


def test_a_long_label_takes_no_room_from_figures(monkeypatch, capsys):
    from seats_cli.consoles import OutputConsole
    from seats_cli.measurements import tables

    spread = {"median": 123.4, "low": 123.4, "high": 123.4}
    row = {"label": "visionzip-om video 30% audio 50%", "error": None, "latency_ms": {"prefill": spread}}
    monkeypatch.setenv("COLUMNS", "40")
    OutputConsole().print(tables({"machine": {"device": "cuda"}, "rows": [row]}))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 40
    assert "\u2026" not in out
    assert "123 ms" in out
    assert {"visionzip-om", "50%"} <= set(out.split())
