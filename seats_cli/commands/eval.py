"""`seats eval`: accuracy of methods and retentions on a set of questions."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seats.errors import SeatsError
from seats.files import replacing, unwritten_told
from seats.host import usable_cpus
from seats.text import printable, quoted
from seats.units import counted, duration
from seats_cli.command import command
from seats_cli.evaluating import (
    BENCHMARK,
    BUILT_IN,
    built_in_questions,
    check_clips_stay,
    collect,
    evaluation_of,
    question_file,
    row_file,
    rows_out,
    say_reasons,
)
from seats_cli.options import (
    AnswerOptions,
    ClipOptions,
    ModelOptions,
    OutputOptions,
    choice,
    keep_of,
    option,
    parse_method,
    parse_percent,
    share,
)
from seats_cli.output import Output
from seats_cli.places import check_own, check_places
from seats_cli.planning import FitOptions, fitted_parts, lowered
from seats_cli.startup import checkpoint_for, decode, fit_threads, import_code
from seats_cli.usage import SOME_FAILED, WrongUsage

if TYPE_CHECKING:
    from seats.evaluation.qa import QAItem
    from seats.evaluation.results import Results
    from seats.evaluation.rows import Row, RowFile
    from seats.evaluation.run import Evaluation, Plan
    from seats.evaluation.workers import Opened
    from seats.models.checkpoint import Checkpoint

ORDER = 60
_PANEL = "Evaluation"
_LONG = 1000
"""Answers from which on a run without --out gets told of it."""


def _parse_method_or_all(value: Any) -> str:
    return value if value == "all" else parse_method(value)


@dataclass(frozen=True)
class EvalOptions:
    """What is compared, on how much of the set, and where the results go."""

    method: Annotated[
        list[str] | None,
        option(
            "--method",
            panel=_PANEL,
            text="A method (default seats); repeat to compare several. all: every method, full among them.",
            metavar="NAME",
            parser=_parse_method_or_all,
        ),
    ] = None
    keep: Annotated[
        list[float] | None,
        option(
            "--keep",
            panel=_PANEL,
            text="A retention for every method but full (default 10%); repeat to compare several.",
            metavar="PERCENT",
            parser=parse_percent,
        ),
    ] = None
    keep_video: Annotated[float | None, keep_of("video", _PANEL)] = None
    keep_audio: Annotated[float | None, keep_of("audio", _PANEL)] = None
    kv: Annotated[
        str,
        option(
            "--kv",
            panel=_PANEL,
            metavar="keep|drop",
            parser=choice("keep", "drop"),
            text="Whether early layers keep in their cache the tokens dropped later: keep (default) or drop.",
        ),
    ] = "keep"
    limit: Annotated[
        int | None,
        option("--limit", panel=_PANEL, text="Only the first N questions of the set.", metavar="N", min=1),
    ] = None
    clips: Annotated[
        int | None,
        option("--clips", panel=_PANEL, text="Only the questions about the first N clips.", metavar="N", min=1),
    ] = None
    out: Annotated[Path | None, rows_out(_PANEL)] = None
    markdown: Annotated[
        Path | None, option("--markdown", panel=_PANEL, text="Write the tables as Markdown.", metavar="FILE")
    ] = None
    plot: Annotated[
        Path | None,
        option(
            "--plot",
            panel=_PANEL,
            text="Draw accuracy against FLOPs: .png, .svg or .pdf (needs seats\\[eval]).",
            metavar="FILE",
        ),
    ] = None
    workers: Annotated[
        int,
        option(
            "--workers",
            panel=_PANEL,
            text="Processes that share the clips, each with the model (default 1).",
            metavar="N",
            min=1,
        ),
    ] = 1


@command
def eval(  # noqa: A001  (the command's name)
    benchmark: Annotated[str, BENCHMARK],
    compared: EvalOptions,
    model: ModelOptions,
    part: ClipOptions,
    answering: AnswerOptions,
    memory: FitOptions,
    output: OutputOptions,
    context: typer.Context,
) -> None:
    """Accuracy of methods on a question set, against full tokens: how many of the generated answers are right.

    A set of your own is a file with one JSON object a line: clip (path, relative to the file), question, answer (a
    text, or a list of right ones), and if wanted options (a list; they are added to the question as "A. ...", and the
    answer is a letter or an option), id and type.

    An answer is right if it names a right option by its letter ("B", "B, because ...", "The answer is B.") or whole
    text, or without options has the words of a right answer and no others; "Yes, it does." says yes. An answer that
    names two options is wrong.

    [bold]Examples[/bold]

    seats eval shapes-and-sounds --method full --method seats --keep 10% --keep 25% --out rows.jsonl

    seats eval samples/questions.jsonl --method all --keep 35% --plot accuracy.png --markdown accuracy.md
    """
    out = Output(output)
    out.say_without_effect(context, compared.method or [])
    _check_places(compared, benchmark)
    items = _questions(benchmark, compared, out)
    check_clips_stay(_places(compared), items)
    checkpoint = checkpoint_for(model, out, memory.max_vram)
    with out.working("starting"):
        import_code(checkpoint)
        evaluation = replace(_evaluation(compared, model, part, answering, checkpoint), debug=output.debug)
        with row_file(compared.out, out) as file:
            from seats.evaluation.run import plan

            out.now("reading the clips")
            from seats.plan.limit import DEAREST

            parts = fitted_parts(items, memory.max_vram, checkpoint, model, part, answering, out, DEAREST)
            planned = plan(items, evaluation, file.rows if file else {}, lowered(parts, part))
            rows = _answer(planned, evaluation, checkpoint, compared, model, parts, file, out)
    from seats.evaluation.results import results

    found = results(quoted(printable(benchmark)), quoted(printable(checkpoint.name)), evaluation, planned, rows)
    _report(found, compared, output, out)
    if failed := _failures(found, rows, planned, evaluation, out):
        out.say(f"{counted(failed, 'answer')} failed, counted neither as right nor as wrong")
        raise typer.Exit(SOME_FAILED)


def _check_places(compared: EvalOptions, benchmark: str) -> None:
    """Files that could not be written, or are not to be, before hours of work."""
    check_places(_places(compared), benchmark, "the question set", appended="--out")
    if compared.markdown is not None and compared.markdown.suffix.lower() not in (".md", ".markdown"):
        raise WrongUsage(f"--markdown {compared.markdown}: the name must end in .md or .markdown")
    if compared.plot is not None:
        from seats.evaluation.plot import check_plot

        check_plot(compared.plot)
    for flag, path in _places(compared):
        if flag != "--out":  # that is gone on with
            check_own(path)


def _places(compared: EvalOptions) -> list[tuple[str, Path]]:
    named = (("--out", compared.out), ("--markdown", compared.markdown), ("--plot", compared.plot))
    return [(flag, path) for flag, path in named if path is not None]


def _questions(benchmark: str, compared: EvalOptions, out: Output) -> list[QAItem]:
    """The set's questions, as many as are wanted."""
    from seats.evaluation.qa import check_clips, load_qa

    path = _built_in(compared, out) if benchmark == BUILT_IN else question_file(benchmark)
    items = load_qa(path)
    first = set(list(dict.fromkeys(item.clip for item in items))[: compared.clips])
    items = [item for item in items if item.clip in first][: compared.limit]
    check_clips(items)
    return items


def _built_in(compared: EvalOptions, out: Output) -> Path:
    from seats.nano.testset import CLIPS, QUESTIONS_PER_CLIP

    by_limit = CLIPS if compared.limit is None else -(-compared.limit // QUESTIONS_PER_CLIP)
    clips = min(CLIPS, compared.clips or CLIPS, by_limit)
    return built_in_questions("test", clips, QUESTIONS_PER_CLIP, out)


def _evaluation(
    compared: EvalOptions,
    model: ModelOptions,
    part: ClipOptions,
    answering: AnswerOptions,
    checkpoint: Checkpoint,
) -> Evaluation:
    """Methods set up for the model, before anything is decoded or loaded."""
    from seats.evaluation.settings import Asking, named_settings, set_up
    from seats.inference.generate import Decoding
    from seats.models.omni import model_shape

    decoding = Decoding(answering.max_new_tokens, answering.temperature, answering.seed)
    asking = Asking(compared.kv, answering.system, decoding)  # type: ignore[arg-type]
    own = (share(compared.keep_video), share(compared.keep_audio))
    settings = named_settings(compared.method or ["seats"], compared.keep or [10.0], *own)
    ready = set_up(settings, asking, model_shape(checkpoint))
    return evaluation_of(ready, asking, checkpoint, model, part)


def _answer(
    planned: Plan,
    evaluation: Evaluation,
    checkpoint: Checkpoint,
    compared: EvalOptions,
    model: ModelOptions,
    parts: Mapping[Path, ClipOptions],
    file: RowFile | None,
    out: Output,
) -> Mapping[tuple[str, str], Row]:
    """Do what is planned; returns all rows, of earlier runs too. parts: how each clip is read."""
    if not planned.work:
        out.say(f"all answers are in {compared.out}")
        return {} if file is None else file.rows
    if file is None and planned.answers > _LONG:
        out.say(f"{planned.answers:,} answers to come; with --out FILE the run could be stopped and gone on with")
    from seats.evaluation.workers import answer_all
    from seats.models.compat import check_transformers

    if remark := check_transformers():  # here, or every worker would say it
        out.say(remark)
    out.now("loading the model")
    start = partial(_open, checkpoint, model, parts, compared.workers)
    made = answer_all(planned.work, evaluation, start, compared.workers)
    return collect(made, file, _Progress(planned.answers, out).step, out)


def _open(checkpoint: Checkpoint, model: ModelOptions, parts: Mapping[Path, ClipOptions], workers: int) -> Opened:
    """Load the model, here or in a worker."""
    from seats.models.omni import load_model

    fit_threads(checkpoint)
    if workers > 1 and "OMP_NUM_THREADS" not in os.environ:
        import torch

        torch.set_num_threads(max(1, min(torch.get_num_threads(), usable_cpus() // workers)))
    loaded = load_model(checkpoint, device=model.device, dtype=model.dtype, quantize=model.quantize)
    return loaded, lambda path: decode(path, parts[path], checkpoint)


class _Progress:
    """How far a run is, and how long it still takes at the rate so far."""

    def __init__(self, total: int, out: Output) -> None:
        self.total, self.out = total, out
        self._began: float | None = None
        self._told = time.monotonic()

    def step(self, done: int) -> None:
        now = time.monotonic()
        line = f"{done:,} of {self.total:,} answers"
        if self._began is None:
            self._began = now  # the first answer has the model's loading before it
        elif done >= 10:
            left = (now - self._began) * (self.total - done) / (done - 1)
            line += f", {duration(left)} left"
        self.out.now(line)
        if now - self._told > 60 and not self.out.console.is_interactive:
            self._told = now
            self.out.detail(line)


def _report(found: Results, compared: EvalOptions, output: OutputOptions, out: Output) -> None:
    from seats_cli.eval_table import FEW_SETTINGS, show_results

    by_type = output.verbose or len(found.settings) <= FEW_SETTINGS
    try:
        if output.json:
            from seats.evaluation.document import document

            out.document(document(found, list_wrong=output.verbose))
        else:
            show_results(found, by_type=by_type)
    finally:  # who reads standard output may stop at any time
        _write(found, compared, by_type, out)


def _write(found: Results, compared: EvalOptions, by_type: bool, out: Output) -> None:
    if compared.markdown is not None:
        from seats.evaluation.markdown import markdown

        try:
            with replacing(compared.markdown) as beside:
                beside.write_text(markdown(found, by_type=by_type), encoding="utf-8")
        except OSError as error:
            raise SeatsError(f"--markdown {unwritten_told(compared.markdown, error)}") from error
        out.say(f"tables written to {compared.markdown}")
    if compared.plot is not None:
        from seats.evaluation.plot import plot

        with out.working("drawing"):
            plot(found, compared.plot)
        out.say(f"plot written to {compared.plot}")


def _failures(
    found: Results, rows: Mapping[tuple[str, str], Row], planned: Plan, evaluation: Evaluation, out: Output
) -> int:
    """Say why answers failed, each reason once; returns how many did."""
    failed = sum(result.failed for result in found.settings)
    if failed:
        asked = planned.rows_of(evaluation, rows)
        broken = evaluation.compared.broken.values()
        say_reasons([*broken, *(row.reason for row in asked if row.status == "failed")], out)
    return failed
