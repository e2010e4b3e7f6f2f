"""`--max-vram` of the commands that run a model: what is read, and what is said of it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from seats.keep import METHODS
from seats.models.checkpoint import find_checkpoint
from seats.plan.clip import clip_facts
from seats.plan.limit import DEAREST
from seats.plan.model import of_checkpoint, planned_model
from seats.plan.plan import Ask, make_plan
from seats_cli.options import AnswerOptions, ClipOptions, ModelOptions, SelectionOptions
from seats_cli.planning import Fit, Place
from tests.cli.conftest import Ran
from tests.media.make import tone, write_clip

Run = Callable[..., Ran]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """long.mp4, of 60 s without sound; short.mp4, of 2 s."""
    made = tmp_path_factory.mktemp("limited")
    write_clip(made / "long.mp4", frames=300, rate=5)
    write_clip(made / "short.mp4", frames=20, rate=10, sound=tone(2))
    return made


@pytest.fixture(scope="session")
def limit(folder: Path, tiny: Path) -> str:
    """What the long clip does not fit into, and the short one does."""
    model = of_checkpoint(find_checkpoint(str(tiny)))
    plans = [make_plan(model, clip_facts(folder / name), Ask(method="full")) for name in ("short.mp4", "long.mp4")]
    low, high = (plan.needed_bytes for plan in plans)
    assert low < 0.8 * high
    return f"{(low + high) // 2 // 1024}K"


def test_chat_reads_the_clip_for_the_limit(
    run: Run, folder: Path, tiny: Path, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chat(name: str, typed: str, *flags: str) -> Ran:
        import io

        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        return run("chat", folder / name, "--model", tiny, "--max-new-tokens", "2", "--json", *flags)

    free = json.loads(chat("long.mp4", "what ?\n").out)
    ran = chat("long.mp4", "what ?\n", "--max-vram", limit)
    tight = json.loads(ran.out)
    assert ran.code == 0
    assert _pixels(tight["clip"]) < _pixels(free["clip"])
    assert "--max-pixels" in ran.err
    assert "nothing had to be lowered" in chat("short.mp4", "what ?\n", "--max-vram", limit).err


@pytest.mark.parametrize("command", ["ask", "view"])
def test_what_was_lowered_is_in_the_json_too(
    run: Run, folder: Path, tiny: Path, limit: str, tmp_path: Path, command: str
) -> None:
    def answer(name: str) -> dict:
        page = ("--out", tmp_path / f"{name}.html") if command == "view" else ()
        asked = (command, folder / name, "what ?", "--model", tiny, "--max-new-tokens", "2", "--json", "--quiet", *page)
        ran = run(*asked, "--max-vram", limit)
        assert ran.code == 0, ran.err
        said = json.loads(ran.out)
        return said if command == "ask" else said["answers"][0]

    lowered = answer("long.mp4")
    assert lowered["max_vram"].keys() == {"limit_bytes", "max_frames", "max_pixels"}
    assert _pixels(lowered["clip"]) <= lowered["max_vram"]["max_frames"] * lowered["max_vram"]["max_pixels"]
    assert "max_vram" not in answer("short.mp4")


def test_chat_refuses_what_no_longer_fits_and_goes_on(
    run: Run, folder: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    model = of_checkpoint(find_checkpoint(str(tiny)))
    asks = [Ask(question, answer_tokens=2) for question in ("what ?", "what " * 1_900)]
    needs = [make_plan(model, clip_facts(folder / "short.mp4"), ask).needed_bytes for ask in asks]
    assert needs[0] < 0.7 * needs[1]
    monkeypatch.setattr("sys.stdin", io.StringIO("what ?\n" + "what " * 1_900 + "\nwhat ?\n"))
    flags = ("--max-new-tokens", "2", "--json", "--max-vram", f"{sum(needs) // 2048}K")
    ran = run("chat", folder / "short.mp4", "--model", tiny, *flags)
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [row["status"] for row in rows] == ["ok", "error", "ok"]
    assert rows[1]["error"]["type"] == "OutOfMemoryError"
    assert "with seats this question takes about" in rows[1]["error"]["message"]
    assert ran.code == 3


def test_chat_with_compare_says_that_full_tokens_alone_do_not_fit(
    run: Run, folder: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    model, clip = of_checkpoint(find_checkpoint(str(tiny))), clip_facts(folder / "short.mp4")
    ask = Ask("what " * 1_900, keep=10, answer_tokens=2)
    pruned, both = (make_plan(model, clip, replace(ask, compare=beside)).needed_bytes for beside in (False, True))
    assert pruned < both
    monkeypatch.setattr("sys.stdin", io.StringIO("what " * 1_900 + "\n"))
    limit = f"{(pruned + both) // 2048}K"
    ran = run("chat", folder / "short.mp4", "--model", tiny, "--compare", "--max-new-tokens", "2", "--max-vram", limit)
    assert "with seats compared with full this question takes about" in ran.err
    assert "leave --compare out, or /reset" in " ".join(ran.err.split())


@pytest.mark.slow
def test_a_batch_lowers_where_it_must(run: Run, folder: Path, tiny: Path, limit: str, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    asked = ("batch", folder, "what ?", "--model", tiny, "--method", "full", "--max-new-tokens", "2", "--out", out)
    ran = run(*asked, "--max-vram", limit)
    assert ran.code == 0, ran.err
    assert "--max-vram" in ran.err
    rows = {row["id"]: row for row in map(json.loads, out.read_text().splitlines())}
    assert "max_vram" not in rows["short.mp4"]
    lowered = rows["long.mp4"]["max_vram"]
    assert _pixels(rows["long.mp4"]["clip"]) <= lowered["max_frames"] * lowered["max_pixels"]
    assert "2 questions have a row from before" in run(*asked, "--max-vram", limit).err


def _set(folder: Path, path: Path) -> Path:
    rows = [{"clip": str(folder / name), "question": "what ?", "answer": "red"} for name in ("long.mp4", "short.mp4")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("command", ["eval", "analyze"])
def test_sets_are_read_alike_for_all_and_say_so(
    run: Run, folder: Path, tiny: Path, limit: str, tmp_path: Path, command: str
) -> None:
    questions, out = _set(folder, tmp_path / "set.jsonl"), tmp_path / "rows.jsonl"
    flags = ("--method", "full", "--method", "random") if command == "eval" else ("--every", "9")
    asked = (command, questions, "--model", tiny, "--max-new-tokens", "2", "--out", out, *flags)
    ran = run(*asked, "--max-vram", limit)
    assert ran.code == 0, ran.err
    assert "1 of 2 clips are read with fewer frames or pixels" in ran.err
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    tokens: dict[str, set[int]] = {}
    for row in rows:
        tokens.setdefault(Path(row["clip"]).name, set()).add(row["tokens"])
    assert [len(found) for found in tokens.values()] == [1, 1]
    again = run(*asked, "--max-vram", limit)
    assert "all answers are" in again.err
    assert len(out.read_text().splitlines()) == len(rows)
    workers = ("--workers", "2") if command == "eval" else ()
    free = run(*asked, *workers)  # other answers where other frames are seen
    assert free.code == 0, free.err
    more = [json.loads(line) for line in out.read_text().splitlines()[len(rows) :]]
    assert {Path(row["clip"]).name for row in more} == {"long.mp4"}
    assert len(more) == len(rows) / 2


@pytest.mark.slow
def test_a_question_that_comes_later_may_want_fewer_frames_of_all(
    run: Run, folder: Path, tiny: Path, tmp_path: Path
) -> None:
    model = of_checkpoint(find_checkpoint(str(tiny)))
    clip, texts = folder / "short.mp4", ("what ?", "what " * 200)
    low, high = (make_plan(model, clip_facts(clip), Ask(text, method="full")).needed_bytes for text in texts)
    assert low < 0.9 * high
    limit = f"{high // 1024 - 50}K"
    rows = [{"clip": str(clip), "question": text, "answer": "red"} for text in texts]
    questions, out = tmp_path / "set.jsonl", tmp_path / "rows.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ("eval", questions, "--model", tiny, "--method", "full", "--max-new-tokens", "2", "--max-vram", limit)
    first = run(*asked, "--out", out, "--limit", "1")
    assert "0 of 1 clips are read" in first.err
    both = run(*asked, "--out", out)
    assert "1 of 1 clips are read" in both.err
    found = [json.loads(line) for line in out.read_text().splitlines()]
    whole, fewer, _ = found  # the first question once more, about what the second one leaves room for
    assert whole["id"] == fewer["id"]
    assert fewer["tokens"] < whole["tokens"]
    assert fewer["about"]["lowered"]


@pytest.mark.slow
def test_a_clip_is_read_so_that_any_method_would_fit(run: Run, folder: Path, tiny: Path, tmp_path: Path) -> None:
    """Or rows of another method, made later, would be of other frames."""
    model = of_checkpoint(find_checkpoint(str(tiny)))
    asks = [Ask("what ?", method=one.method, keep=one.keep or 100.0) for one in DEAREST]
    full, *others = (make_plan(model, clip_facts(folder / "long.mp4"), ask).needed_bytes for ask in asks)
    assert full < 0.9 * max(others)
    questions = _set(folder, tmp_path / "set.jsonl")
    asked = ("eval", questions, "--model", tiny, "--method", "full", "--max-new-tokens", "2", "--limit", "1")
    assert "1 of 1 clips are read" in run(*asked, "--max-vram", f"{(full + max(others)) // 2048}K").err


@pytest.mark.slow
def test_a_model_whose_late_layer_is_early_has_a_limit_too(run: Run, folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(find_checkpoint("seats-nano").folder, own)
    (own / "seats.json").write_text(json.dumps({"drop_layers": [2], "late_layer": 4, "removal_free_after": 3}))
    questions = _set(folder, tmp_path / "set.jsonl")
    asked = ("eval", questions, "--model", own, "--method", "full", "--max-new-tokens", "2", "--limit", "1")
    ran = run(*asked, "--max-vram", "2G")
    assert ran.code == 0, ran.err


@pytest.mark.slow
def test_a_limit_below_the_weights_is_one_line(run: Run, folder: Path, tiny: Path, tmp_path: Path) -> None:
    questions = _set(folder, tmp_path / "set.jsonl")
    for asked in (("chat", folder / "long.mp4"), ("eval", questions), ("analyze", questions)):
        ran = run(*asked, "--model", tiny, "--max-vram", "100K")
        assert ran.code == 1
        assert "weights" in ran.line
        assert "raise --max-vram" in ran.line
    ran = run("batch", folder, "what ?", "--model", tiny, "--max-vram", "100K", "--out", tmp_path / "rows.jsonl")
    assert ran.code == 1
    assert "the weights of" in ran.err.splitlines()[-1]


@pytest.mark.parametrize("name", ["seats-nano", "Qwen/Qwen2.5-Omni-7B", "Qwen/Qwen3-Omni-30B-A3B-Instruct"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("clip", ["ten-seconds.mp4", "silent.mp4", "sound-only.m4a"])
def test_no_method_takes_more_than_the_dearest(name: str, device: str, clip: str) -> None:
    """So that a set read for these is read alike whatever is compared."""
    from seats.errors import SettingsError

    model, facts = planned_model(name), clip_facts(Path(__file__).parents[2] / "samples" / clip)

    def peak(method: str, keep: float) -> int:
        return make_plan(model, facts, Ask(method=method, keep=keep, device=device, dtype_bytes=2)).run.memory.peak

    most = max(peak(setting.method, setting.keep or 100) for setting in DEAREST)
    planned = 0
    for method in METHODS:
        for keep in (10.0, 25.0, 35.0, 60.0):
            try:
                assert peak(method, keep) <= most, (method, keep)
                planned += 1
            except SettingsError:  # a target that it cannot reach
                continue
    assert planned > 20


@pytest.mark.parametrize(
    ("method", "compare", "planned"),
    [("random", False, "random"), ("random", True, "random"), ("of-another-package", False, "full")],
)
def test_what_is_compared_with_counts_too_and_full_tokens_stand_for_what_is_unknown(
    method: str, compare: bool, planned: str
) -> None:
    fit = Fit(Path("a.mp4"), 2**30, ["what ?"], [], ModelOptions(), AnswerOptions(), print)
    fit._model, fit._place, fit._part = planned_model("seats-nano"), Place("cpu", None), ClipOptions()
    chosen = SelectionOptions(method, keep=25.0, compare=compare)
    ask = fit._ask("what ?", chosen)
    assert (ask.method, ask.compare) == (planned, compare)


def test_where_only_full_tokens_beside_are_too_much_the_flag_for_them_is_named(run: Run) -> None:
    path = Path(__file__).parents[2] / "samples" / "crossing.mp4"
    model, clip = planned_model("seats-nano"), clip_facts(path)
    least = Ask("What ?", method="random", max_frames=2, max_pixels=int(model.sampling.min_pixels))
    needs = [make_plan(model, clip, replace(least, compare=compare)).needed_bytes for compare in (False, True)]
    asked = (path, "What ?", "--model", "seats-nano", "--method", "random", "--device", "cpu")
    limit = ("--max-vram", f"{sum(needs) // 2048}K")
    ran = run("ask", *asked, *limit, "--compare")
    assert ran.code == 1
    assert "with two small frames" in ran.line
    assert "without --compare, or " in ran.line
    assert "compare" not in run("profile", *asked, *limit).line  # which has no such flag


@pytest.mark.parametrize("method", ["seats", "full"])
def test_profile_names_what_helps_full_tokens_and_the_method(run: Run, method: str) -> None:
    """Another method does not: full tokens are measured beside any."""
    path = Path(__file__).parents[2] / "samples" / "crossing.mp4"
    ran = run("profile", path, "--model", "seats-nano", "--method", method, "--device", "cpu", "--max-vram", "20M")
    assert ran.code == 1
    assert re.findall(r"--[a-z-]+ \w+", ran.line.partition(" it takes ")[2]) == [
        "--end 4",
        "--dtype bfloat16",
        "--max-vram to",
    ]


def _pixels(clip: dict) -> int:
    video = clip["video"]
    return video["frames"] * video["width"] * video["height"]


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_a_limit_that_the_weights_pass_is_told_without_waiting_for_torch(shell: Run, folder: Path, device: str) -> None:
    code = (
        "import sys, seats.plan.gpu; from seats_cli.app import run\n"
        "seats.plan.gpu.gpu_driver_here = lambda: False\n"
        "assert run(sys.argv[1:]) == 1; assert 'torch' not in sys.modules"
    )
    asked = ("ask", folder / "short.mp4", "what ?", "--model", "seats-nano", "--max-vram", "1M", "--device", device)
    ran = shell(*asked, code=code)
    assert ran.code == 0, ran.err
    assert ran.line.startswith("error: the weights of seats-nano alone take ")
