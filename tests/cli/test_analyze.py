"""`seats analyze` with a tiny random model, whose answers are taken for right, so that it depends on its clips."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from seats.inference.answer import Question, answer
from seats.inference.generate import Decoding
from seats.media import load_clip
from seats.models.checkpoint import find_checkpoint
from seats.models.omni import load_model
from tests.checkpoints import save_tiny_checkpoint
from tests.cli.conftest import Ran

Run = Callable[..., Ran]
LAYERS = 8
SHORT = ("--max-new-tokens", "2", "--max-frames", "4")


@pytest.fixture(scope="module")
def benchmark(clips: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two questions on each of two clips, the right answer being the tiny model's own with all tokens."""
    model = load_model(find_checkpoint(str(tiny)), device="cpu")
    lines = []
    for name in ("both.mp4", "mute.mp4"):
        clip = load_clip(clips / name, sampling=replace(model.sampling, max_frames=4))
        for question in ("what is in the clip ?", "which one ?"):
            made = answer(model, clip, Question(question, method="full", decoding=Decoding(2)))
            lines.append(json.dumps({"clip": str(clips / name), "question": question, "answer": made.text}))
    path = tmp_path_factory.mktemp("benchmark") / "set.jsonl"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def analyze(run: Run, tiny: Path, benchmark: Path) -> Run:
    def call(*flags: object, model: Path = tiny) -> Ran:
        return run("analyze", benchmark, "--model", model, "--every", "4", *SHORT, *flags)

    return call


def test_json_holds_what_the_schema_says(analyze: Run) -> None:
    ran = analyze("--json")
    assert ran.code == 0, ran.err
    said = json.loads(ran.out)
    assert said["schema"] == "seats.analyze/1"
    assert said["layers"] == LAYERS
    assert said["questions"] == {"asked": 4, "answered": 4, "failed": 0}
    assert said["clips"] == 2
    assert said["full"]["share"] == 1.0
    assert said["curves"].keys() == {"video", "audio", "both"}
    for curve in said["curves"].values():
        assert [point["after_layer"] for point in curve] == [0, 4, 7, 8]
        for point in curve:
            assert point["loss"] == pytest.approx(1 - point["share"])
            assert point["loss_interval_95"][0] <= point["loss"] <= point["loss_interval_95"][1]
    assert said["curves"]["both"][0]["right"] < 4
    assert said["curves"]["audio"][0]["right"] >= 2  # the mute clip's questions lose nothing
    assert "lower end" in said["rule"]
    for key in ("borders", "proposal"):
        assert key in said


def test_a_table_and_the_proposal_on_standard_output(analyze: Run) -> None:
    ran = analyze()
    assert ran.code == 0, ran.err
    assert "4 questions about 2 clips" in " ".join(ran.out.split())  # a title may take several lines
    assert "8 (full)" in ran.out
    assert '"late_layer"' in ran.out
    assert "with 2 clips, intervals are too narrow" in " ".join(ran.out.split())
    assert max(len(line) for line in ran.out.splitlines() if re.match(r" *(layer\b|\d)", line)) <= 80


@pytest.mark.parametrize("columns", [40, 60])
def test_a_narrow_terminal_breaks_no_word(analyze: Run, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    ran = analyze()
    assert ran.code == 0, ran.err
    assert max(map(len, ran.out.splitlines())) <= columns
    assert "\u2026" not in ran.out
    for word in ("layer", "video", "audio", "both", "loss", "without", "block", "full"):
        assert re.search(rf"\b{word}\b", ran.out), word
    row = next(line.split() for line in ran.out.splitlines() if re.match(r" *4 +\d", line))  # no title's "4 questions"
    assert all(re.fullmatch(r"\d+\.\d", share) for share in row[1:4])


def test_a_run_goes_on_where_it_stopped(analyze: Run, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    first = analyze("--limit", "1", "--out", out, "--json")
    assert first.code == 0, first.err
    rows = out.read_text().splitlines()
    assert len(rows) == 1 + 3 * 3
    whole = analyze("--out", out, "--json")
    assert len(out.read_text().splitlines()) == 4 * len(rows)
    again = analyze("--out", out, "--json")
    assert len(out.read_text().splitlines()) == 4 * len(rows)
    assert "all answers are there already" in again.err
    assert again.out == whole.out == analyze("--json").out


def test_only_an_older_plot_is_overwritten(analyze: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "photo.pdf"
    path.write_bytes(b"someone's own")
    ran = analyze("--plot", path)
    assert ran.code == 2
    assert "photo.pdf is there already and does not say that seats wrote it" in ran.line
    path.unlink()
    for _ in range(2):
        assert analyze("--plot", path).code == 0


def test_the_plot_is_a_picture(analyze: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    ran = analyze("--plot", tmp_path / "layers.png")
    assert ran.code == 0, ran.err
    assert (tmp_path / "layers.png").read_bytes().startswith(b"\x89PNG")


def test_saving_writes_settings_that_ask_uses(run: Run, clips: Path, tmp_path: Path, benchmark: Path) -> None:
    folder = save_tiny_checkpoint(tmp_path / "own", "qwen2.5-omni")
    lines = benchmark.read_text().splitlines()
    longer = tmp_path / "longer.jsonl"  # enough questions to show that the answers depend on the clips
    longer.write_text("\n".join([*lines, *20 * lines[:2]]))
    ran = run("analyze", longer, "--model", folder, "--every", "4", *SHORT, "--save", "--json")
    assert ran.code == 0, ran.err
    proposal = json.loads(ran.out)["proposal"]
    assert proposal is not None
    settings = json.loads((folder / "seats.json").read_text())
    assert settings["drop_layers"] == proposal["drop_layers"]
    assert settings["late_layer"] == proposal["late_layer"]
    assert settings["measured"]["questions"] == 44
    asked = run("ask", clips / "both.mp4", "what ?", "--model", folder, "--json", *SHORT)
    assert json.loads(asked.out)["method"]["late_layer"] == proposal["late_layer"]


def test_a_model_that_is_not_to_be_written_is_told_before_any_work(
    analyze: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tiny.parent))
    ran = analyze("--save")
    assert ran.code == 1
    assert "copy the model to a folder of your own" in ran.line


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--tolerance", "60%"], "less than 50%"),
        (["--plot", "layers.gif"], ".png"),
        (["--plot", "/nowhere/layers.png"], "its folder does not exist"),
        (["--every", "0"], "--every"),
        (["--out", "."], "is a folder"),
    ],
)
def test_wrong_settings(analyze: Run, flags: list[str], says: str) -> None:
    ran = analyze(*flags)
    assert ran.code == 2
    assert says in ran.err


def test_no_file_takes_the_place_of_another(analyze: Run, benchmark: Path, clips: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for flags, says in [
        (("--out", tmp_path / "a.png", "--plot", tmp_path / "a.png"), "would overwrite what --out writes"),
        (("--out", benchmark), "would overwrite the question set"),
        (("--out", clips / "both.mp4"), "would overwrite a clip of the set"),
    ]:
        ran = analyze(*flags)
        assert (ran.code, says in ran.line) == (2, True), ran.err
    assert not (tmp_path / "a.png").exists()


def test_it_fails_with_the_reason_where_nothing_is_answered(run: Run, clips: Path, tiny: Path, tmp_path: Path) -> None:
    row = {"clip": str(clips / "text.mp4"), "question": "what ?", "answer": "one"}
    (tmp_path / "set.jsonl").write_text(json.dumps(row))
    ran = run("analyze", tmp_path / "set.jsonl", "--model", tiny, "--every", "4", *SHORT)
    assert ran.code == 1
    assert "not a video or sound file" in ran.line
    assert not ran.out


def test_the_built_in_set_is_not_the_one_that_accuracy_is_measured_on(
    run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ran = run("analyze", "shapes-and-sounds", "--model", tiny, "--limit", "2", "--every", "8", "--json", *SHORT)
    assert ran.code == 0, ran.err
    said = json.loads(ran.out)
    assert (said["questions"]["answered"], said["clips"]) == (2, 1)
    (folder,) = (tmp_path / "seats").iterdir()
    assert "validation" in folder.name
    ids = [json.loads(line)["id"] for line in next(folder.glob("questions-*.jsonl")).read_text().splitlines()]
    assert all(id_.startswith("validation") for id_ in ids)
