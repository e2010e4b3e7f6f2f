"""`seats analyze`: how long a model's layers need video and audio, and the settings that follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seats.errors import SeatsError
from seats.keep import FULL
from seats.text import printable, quoted
from seats.units import counted
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
    flag,
    option,
    parse_percent,
    system_in,
)
from seats_cli.output import Output
from seats_cli.places import check_own, check_places
from seats_cli.planning import FitOptions, fitted_parts, lowered
from seats_cli.startup import checkpoint_for, decode, fit_threads, import_code
from seats_cli.usage import SOME_FAILED, WrongUsage

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from seats.evaluation.borders import Borders, Proposal
    from seats.evaluation.layer_document import Analysis
    from seats.evaluation.layers import Removals
    from seats.evaluation.qa import QAItem
    from seats.evaluation.rows import Row, RowFile
    from seats.evaluation.run import Evaluation, Plan
    from seats.media import Clip
    from seats.models.checkpoint import Checkpoint

ORDER = 61
QUESTIONS, PER_CLIP = 300, 3
_PANEL = "Analysis"


@dataclass(frozen=True)
class AnalyzeOptions:
    """On how much of the set, how finely, and what becomes of the result."""

    limit: Annotated[
        int | None,
        option(
            "--limit",
            panel=_PANEL,
            text=f"Only the first N questions of the set (default for {BUILT_IN}: {QUESTIONS}).",
            metavar="N",
            min=1,
        ),
    ] = None
    every: Annotated[
        int,
        option("--every", panel=_PANEL, text="Measure only after every N-th layer (default 1).", metavar="N", min=1),
    ] = 1
    tolerance: Annotated[
        float,
        option(
            "--tolerance",
            panel=_PANEL,
            text="Loss that counts as none, as a share of what the clip is worth (default 5%).",
            metavar="PERCENT",
            parser=parse_percent,
        ),
    ] = 5.0
    system: Annotated[str | None, system_in(_PANEL)] = None
    max_new_tokens: Annotated[
        int,
        option(
            "--max-new-tokens",
            panel=_PANEL,
            text="Longest answer, tokens (default 48): without the clip a model may never end.",
            metavar="N",
            min=1,
        ),
    ] = 48
    out: Annotated[Path | None, rows_out(_PANEL)] = None
    plot: Annotated[
        Path | None,
        option(
            "--plot", panel=_PANEL, text="Draw the curves: .png, .svg or .pdf (needs seats\\[eval]).", metavar="FILE"
        ),
    ] = None
    save: Annotated[
        bool, flag("--save", panel=_PANEL, text="Write the proposed settings into the model folder's seats.json.")
    ] = False


@command
def analyze(
    benchmark: Annotated[str, BENCHMARK],
    wanted: AnalyzeOptions,
    model: ModelOptions,
    part: ClipOptions,
    memory: FitOptions,
    output: OutputOptions,
) -> None:
    """Up to which layer a model needs video and audio: accuracy with either or both removed after each decoder layer.

    The curves divide the layers into shallow ones, which need all tokens, middle ones, which need them less and less,
    and late ones, which need none. After which layers seats drops tokens follows from these borders. For
    shapes-and-sounds the validation clips are used, not those that seats eval measures accuracy on.

    [bold]Examples[/bold]

    seats analyze shapes-and-sounds --plot layers.png --out layers.jsonl

    seats analyze my-set.jsonl --model ./my-model --limit 1000 --every 2 --save
    """
    out = Output(output)
    _check_places(wanted, benchmark)
    checkpoint = checkpoint_for(model, out, memory.max_vram)
    if wanted.save:
        from seats.evaluation.borders import check_can_save

        check_can_save(checkpoint)
    items = _questions(benchmark, wanted, out)
    check_clips_stay(_places(wanted), items)
    with out.working("starting"):
        import_code(checkpoint)
        removals, evaluation = _evaluation(wanted, model, part, checkpoint)
        evaluation = replace(evaluation, debug=output.debug)
        with row_file(wanted.out, out) as file:
            from seats.evaluation.run import plan

            out.now("reading the clips")
            answering = AnswerOptions(wanted.system, wanted.max_new_tokens)
            # Every removal begins with full tokens.
            parts = fitted_parts(items, memory.max_vram, checkpoint, model, part, answering, out, [FULL])
            planned = plan(items, evaluation, file.rows if file else {}, lowered(parts, part))
            rows = _answer(planned, evaluation, checkpoint, model, parts, file, out)
    analysis = _analysis(benchmark, checkpoint, removals, evaluation, planned, rows, wanted.tolerance / 100)
    try:
        _report(analysis, wanted, output, out)
    finally:  # who reads standard output may stop at any time
        if wanted.save:
            _save(analysis, checkpoint, out)
    if analysis.dependence.failed:
        _say_failures(analysis.dependence.failed, planned.rows_of(evaluation, rows), out)
        raise typer.Exit(SOME_FAILED)


def _check_places(wanted: AnalyzeOptions, benchmark: str) -> None:
    """What can be said of options before hours of work."""
    if not wanted.tolerance < 50:
        raise WrongUsage(f"--tolerance {wanted.tolerance:g}% makes no sense: choose less than 50%")
    check_places(_places(wanted), benchmark, "the question set", appended="--out")
    if wanted.plot is not None:
        from seats.evaluation.plot import check_plot

        check_plot(wanted.plot)
        check_own(wanted.plot)


def _places(wanted: AnalyzeOptions) -> list[tuple[str, Path]]:
    return [(flag, path) for flag, path in (("--out", wanted.out), ("--plot", wanted.plot)) if path is not None]


def _questions(benchmark: str, wanted: AnalyzeOptions, out: Output) -> list[QAItem]:
    from seats.evaluation.qa import check_clips, load_qa

    limit = wanted.limit
    if benchmark == BUILT_IN:
        limit = limit or QUESTIONS
        # Settings taken from the test clips would be tuned on what they are measured with.
        path = built_in_questions("validation", -(-limit // PER_CLIP), PER_CLIP, out)
    else:
        path = question_file(benchmark)
    items = load_qa(path)[:limit]
    check_clips(items)
    return items


def _evaluation(
    wanted: AnalyzeOptions, model: ModelOptions, part: ClipOptions, checkpoint: Checkpoint
) -> tuple[Removals, Evaluation]:
    from seats.evaluation.layers import Removals
    from seats.evaluation.settings import Asking
    from seats.inference.generate import Decoding
    from seats.models.omni import model_shape

    # The cache of the layers before a removal stays whole, so that it means the same for the answer's every token.
    asking = Asking("keep", wanted.system, Decoding(wanted.max_new_tokens))
    removals = Removals.every(model_shape(checkpoint).num_layers, wanted.every)
    return removals, evaluation_of(removals.compared(), asking, checkpoint, model, part)


def _answer(
    planned: Plan,
    evaluation: Evaluation,
    checkpoint: Checkpoint,
    model: ModelOptions,
    parts: Mapping[Path, ClipOptions],
    file: RowFile | None,
    out: Output,
) -> Mapping[tuple[str, str], Row]:
    """Do what is planned; returns all rows, of earlier runs too. parts: how each clip is read."""
    if not planned.work:
        out.say("all answers are there already")
        return {} if file is None else file.rows
    from seats.evaluation.layers import answer_without
    from seats.models.omni import load_model

    out.now("loading the model")
    fit_threads(checkpoint)
    loaded = load_model(checkpoint, device=model.device, dtype=model.dtype, quantize=model.quantize, announce=out.say)

    def load(path: Path) -> Clip:
        return decode(path, parts[path], checkpoint)

    made = (row for work in planned.work for row in answer_without(loaded, evaluation, work, load))
    return collect(made, file, lambda done: out.now(f"{done:,} of {planned.answers:,} answers"), out)


def _analysis(
    benchmark: str,
    checkpoint: Checkpoint,
    removals: Removals,
    evaluation: Evaluation,
    planned: Plan,
    rows: Mapping[tuple[str, str], Row],
    tolerance: float,
) -> Analysis:
    from seats.evaluation.borders import find_borders, propose
    from seats.evaluation.layer_document import Analysis
    from seats.evaluation.layers import dependence
    from seats.models.omni import model_shape

    shape = model_shape(checkpoint)
    found = dependence(removals, evaluation, planned, rows)
    borders = find_borders(found, tolerance)
    proposal = None if borders is None else propose(borders, shape)
    model = quoted(printable(checkpoint.name))
    return Analysis(quoted(printable(benchmark)), model, found, tolerance, borders, proposal)


def _report(analysis: Analysis, wanted: AnalyzeOptions, output: OutputOptions, out: Output) -> None:
    try:
        if output.json:
            from seats.evaluation.layer_document import document

            out.document(document(analysis))
        else:
            from seats_cli.consoles import OutputConsole

            OutputConsole().print(_tables(analysis))
    finally:  # who reads standard output may stop at any time
        if wanted.plot is not None:
            from seats.evaluation.layer_plot import plot_layers

            with out.working("drawing"):
                plot_layers(analysis, wanted.plot)
            out.say(f"plot written to {wanted.plot}")
    from seats.evaluation.borders import DROP_RULE, RULE

    out.detail(f"rule: {RULE} {DROP_RULE}")


def _tables(analysis: Analysis) -> Group:
    """What was asked, accuracy by layer, and what follows from it."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from seats_cli.flow import Fitted

    what = Text(f"{analysis.model} on {analysis.benchmark}, {analysis.size}", style="bold")
    how = Text("% right without the tokens of ... after a layer", style="dim")
    said = Table.grid(padding=(0, 1))
    said.add_column(no_wrap=True, style="dim")
    said.add_column()
    for label, words in _said(analysis):
        said.add_row(label, Text(words))
    return Group(what, how, Fitted(*(partial(_table, analysis, wide) for wide in (True, False))), "", said)


def _table(analysis: Analysis, wide: bool) -> Table:
    """wide: with intervals, and the last layer by its number."""
    from rich.table import Table

    from seats.evaluation.layers import WHAT

    found, borders = analysis.dependence, analysis.borders
    table = Table(box=None, padding=(0, 2 if wide else 1, 0, 0), show_edge=False, pad_edge=False, header_style="bold")
    for name in ("layer", *WHAT, f"loss without both{', 95 %' if wide else ''}"):
        table.add_column(name, justify="right")
    table.add_column("block")
    for video, audio, both in zip(*(found.curve(what) for what in WHAT), strict=True):
        block = ""
        if borders is not None and both.layer:
            block = "shallow" if both.layer <= borders.shallow else "middle" if both.layer <= borders.late else "late"
        full = both.layer == found.num_layers
        low, high = (100 * bound for bound in both.loss_interval)
        loss = f"{100 * both.loss:.1f}{f' ({low:.1f} to {high:.1f})' if wide else ''}"
        table.add_row(
            (f"{both.layer} (full)" if wide else "full") if full else str(both.layer),
            *(f"{100 * point.accuracy.share:.1f}" for point in (video, audio, both)),
            "-" if full else loss,
            block,
        )
    return table


def _said(analysis: Analysis) -> Iterator[tuple[str, str]]:
    """Borders and proposal in words, each with a label."""
    from seats.evaluation.statistics import few_clips

    borders, proposal = analysis.borders, analysis.proposal
    if borders is None or proposal is None:
        yield (
            "layers",
            "no borders: the answers aren't shown to depend on the clip by more than the tolerance; ask more "
            "questions, or ones that need the clip",
        )
    else:
        yield from _said_of(borders, proposal, analysis.dependence.num_layers)
    if caution := few_clips(len(analysis.dependence.clips), analysis.clips):
        yield "note", caution


def _said_of(borders: Borders, proposal: Proposal, last: int) -> Iterator[tuple[str, str]]:
    """last: how many layers there are."""

    def layers(first: int, until: int) -> str:
        return "none" if first > until else f"{first}" if first == until else f"{first} to {until}"

    yield (
        "layers",
        f"shallow {layers(1, borders.shallow)}, middle {layers(borders.shallow + 1, borders.late)}, "
        f"late {layers(borders.late + 1, last)} (a loss of up to {100 * borders.tolerated:.1f} points counts as none)",
    )
    yield (
        "seats",
        f'"drop_layers": {list(proposal.drop_layers)}, "late_layer": {proposal.late_layer}, '
        f'"pre_llm_scale": {proposal.pre_llm_scale:.4g}',
    )
    yield from (("note", remark) for remark in proposal.remarks)


def _save(analysis: Analysis, checkpoint: Checkpoint, out: Output) -> None:
    from seats.evaluation.borders import save
    from seats.models.omni import model_shape

    if analysis.proposal is None:
        raise SeatsError("nothing to save: the answers aren't shown to depend on the clip")
    path = save(checkpoint, model_shape(checkpoint), analysis.proposal, analysis.measured())
    out.say(f"written to {path}")


def _say_failures(failed: int, asked: Iterable[Row], out: Output) -> None:
    say_reasons((row.reason for row in asked if row.status != "answered"), out)
    out.say(f"{counted(failed, 'question')} failed and left out of the curves")
