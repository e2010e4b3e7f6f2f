"""What the documents show can be done as it stands there: their Python, their commands, their links."""

from __future__ import annotations

import json
import re
import shlex
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import av
import pytest
import typer

import seats
from seats.plan.model import planned_model
from seats.plan.plan import Ask, make_plan
from seats.plan.search import reserve_for
from seats.plan.typical import two_minutes
from seats_cli import commands
from seats_cli.app import build_app

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for path in (
        ROOT / "README.md",
        *ROOT.glob("docs/*.md"),
        ROOT / "benchmarks/README.md",
        ROOT / "samples/README.md",
        ROOT / "seats/nano/weights/README.md",
    )
    if path.exists()
)
(PINNED_PYAV,) = re.findall(r"^av==(\d+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
shown_with_the_pinned_pyav = pytest.mark.skipif(
    av.__version__.split(".")[0] != PINNED_PYAV, reason="FFmpeg 8 and 9 differ in the last 16 ms of the sample's sound"
)


def blocks(path: Path, language: str) -> list[str]:
    """What stands between fences of a language, "" for those that name none."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [text for name, text in fenced if name == language]


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what the examples with a Hugging Face model load: a tiny model, and a prompt as its processor makes it."""
    import transformers

    from tests.tiny import tiny_inputs, tiny_thinker

    thinker, processor = transformers.Qwen2_5OmniThinkerForConditionalGeneration, transformers.Qwen2_5OmniProcessor
    load = thinker.from_pretrained

    def load_or_stand_in(name: Any, **settings: Any) -> Any:
        return tiny_thinker("qwen2.5-omni") if name is ... else load(name, **settings)

    monkeypatch.setattr(thinker, "from_pretrained", load_or_stand_in)
    monkeypatch.setattr(processor, "from_pretrained", lambda _: lambda _: tiny_inputs("qwen2.5-omni"))


@pytest.mark.slow
def test_the_python_of_the_api_page_and_the_readme_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of the page, one namespace for all, as a reader would type it in."""
    monkeypatch.chdir(ROOT)
    stand_in(monkeypatch)
    namespace: dict[str, Any] = {}
    page = blocks(ROOT / "docs/api.md", "python")
    assert len(page) == 5
    for number, code in enumerate(page, start=1):
        exec(compile(code, f"docs/api.md, block {number}", "exec"), namespace)
    said = capsys.readouterr().out
    assert said.startswith("circle ")
    assert len(said.splitlines()) >= 5
    assert namespace["attached"].trace.retention("audio") < 1
    first, attaching = blocks(ROOT / "README.md", "python")
    assert first == page[0]
    capsys.readouterr()
    exec(compile(attaching, "README.md", "exec"), namespace)
    assert 0 < float(capsys.readouterr().out) < 1


@pytest.mark.slow
@shown_with_the_pinned_pyav
def test_the_first_python_of_the_readme_prints_what_its_box_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(blocks(ROOT / "README.md", "python")[0], "README.md", "exec"), {})
    answer, video, reduction = capsys.readouterr().out.split()
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"prints `{answer}`, {float(video):.3f} and {float(reduction):.2f}, as in the box" in text
    box = next(block for block in blocks(ROOT / "README.md", "") if block.startswith("$ seats ask "))
    assert f"layer average {100 * float(video):.1f} %" in " ".join(box.split())
    assert f"{float(reduction):.2f}\N{MULTIPLICATION SIGN} fewer" in box


def test_every_public_name_is_on_the_api_page_and_says_what_it_is() -> None:
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    for name in seats.__all__:
        assert re.search(rf"`{name}`", page), name
        assert len(getattr(seats, name).__doc__ or "") > 30, name


def commands_shown() -> list[tuple[str, list[str]]]:
    """Lines that begin with "seats" in the documents' blocks and in the help pages, as arguments."""
    shown = []
    for path in DOCUMENTS:
        for block in (*blocks(path, "sh"), *blocks(path, "")):
            shown += [(path.name, line) for line in block.splitlines()]
    for found in iter_modules(commands.__path__):
        module = import_module(f"{commands.__name__}.{found.name}")
        text = getattr(module, found.name.replace("-", "_")).__doc__ or ""
        shown += [(found.name, " ".join(line.split())) for line in text.splitlines()]
    lines = []
    for where, line in shown:
        for part in re.split(r" \| | && ", line.strip().removeprefix("$ ")):
            if part.startswith(("seats ", ".venv/bin/seats ")):
                lines.append((where, shlex.split(part.split(" > ")[0], comments=True)[1:]))
    return lines


def test_every_command_shown_is_one_that_there_is() -> None:
    """Read as the command line reads it, without doing it."""
    group: Any = typer.main.get_command(build_app())
    shown = commands_shown()
    assert {arguments[0] for _, arguments in shown} == set(group.commands)
    for where, arguments in shown:
        above = typer.Context(group, info_name="seats")
        command = group.commands[arguments[0]]
        try:
            command.make_context(arguments[0], arguments[1:], parent=above)
        except Exception as error:
            pytest.fail(f"{where}: seats {shlex.join(arguments)}: {error}")


def test_the_fields_of_an_answer_are_those_on_the_json_page() -> None:
    page = (ROOT / "docs/json.md").read_text(encoding="utf-8")
    table = page.partition("## seats.answer/1")[2].partition("\n## ")[0]
    said: set[str] = set()
    for line in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        first, *others = re.findall("`(.+?)`", line)
        said |= {first, *(first.rpartition(".")[0] + name if name[0] == "." else name for name in others)}
    model = seats.load_model(seats.find_checkpoint("seats-nano"))
    clip = seats.load_clip(ROOT / "samples/crossing.mp4", sampling=model.sampling)
    document = seats.answer_json(seats.answer(model, clip, "Which sound is heard first?"))

    def fields(value: Any, path: str) -> set[str]:
        """All below a path, down to what the page has: it says of some objects only what is in them."""
        last = path in said and not any(name.startswith(f"{path}.") for name in said)
        if last or not isinstance(value, dict):
            return {path}
        return set().union(*(fields(below, f"{path}.{name}".lstrip(".")) for name, below in value.items()))

    of_the_method = {f"method.{name}" for name in document["method"]} - {"method.name", "method.kv"}
    assert fields(document, "") - of_the_method | {"method.…", "clip.video", "clip.audio"} == said
    row = next(line for line in table.splitlines() if line.startswith("| `method.…`"))
    assert of_the_method == {f"method.{name}" for name in re.findall("`(.+?)`", row)[2:]}


def test_links_and_pictures_are_there() -> None:
    for path in DOCUMENTS:
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" in target:
                continue
            file, _, heading = target.partition("#")
            there = path.parent / file if file else path
            assert there.exists(), f"{path.name}: {target}"
            if heading:
                titles = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
                assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target


def test_the_changelog_names_every_command() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    group: Any = typer.main.get_command(build_app())
    for name in (*group.commands, "seats.answer", "seats.stream", "seats.attach", "seats.Conversation"):
        assert f"`{name}`" in text, name


@pytest.mark.slow
@shown_with_the_pinned_pyav
def test_the_answer_that_the_readme_shows_is_the_one_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All lines of it but those of times, which differ from run to run."""
    from seats_cli.app import run

    shown = next(block for block in blocks(ROOT / "README.md", "") if block.startswith("$ seats ask "))
    command, answer, *summary = shown.splitlines()
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nowhere")
    monkeypatch.setenv("COLUMNS", str(len(summary[0])))
    assert run([*shlex.split(command)[2:], "--model", "seats-nano"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{answer}\n"

    def lasting(lines: list[str]) -> str:
        """Tokens and FLOPs, without frame, bars and what the width decides."""
        inner = [" ".join(line.strip("│ ").split()) for line in lines]
        first = next(number for number, line in enumerate(inner) if line.startswith("tokens"))
        last = next(number for number, line in enumerate(inner) if line.startswith("time"))
        return " · ".join(re.sub(" ?[█▏▎▍▌▋▊▉]+", "", line) for line in inner[first:last])

    assert lasting(summary) == lasting(said.err.splitlines())


@pytest.mark.slow
def test_the_memory_that_the_readme_tells_is_what_seats_models_plans(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from seats_cli.app import run

    monkeypatch.setenv("XDG_CONFIG_HOME", "/nowhere")
    assert run(["models", "--json"]) == 0
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for model in json.loads(capsys.readouterr().out)["models"]:
        if model["name"] == "seats-nano":
            continue
        row = next(line for line in text.splitlines() if line.startswith(f"| `{model['name']}` |"))
        kept = ", ".join(f"{size / 2**30:.1f}" for size in model["weights"].values())
        assert f"| {kept} | {model['needs'] / 2**30:.1f} ({model['needs_full'] / 2**30:.1f}) |" in row


def test_the_memory_in_4_bits_that_the_readme_tells_is_planned() -> None:
    needs = []
    for name in ("Qwen/Qwen2.5-Omni-7B", "Qwen/Qwen2.5-Omni-3B"):
        plan = make_plan(planned_model(name), two_minutes(), Ask(device="cuda", dtype_bytes=2, quantize="4bit"))
        needs.append(f"{(plan.needed_bytes + reserve_for('cuda')) / 2**30:.1f}")
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert "{} GiB with the 7B and to {} with the 3B".format(*needs) in text
