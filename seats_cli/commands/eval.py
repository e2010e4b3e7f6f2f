"""`seats eval`: accuracy of methods and retentions on a set of questions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seats_cli.command import command
from seats_cli.options import AnswerOptions, ClipOptions, ModelOptions, OutputOptions, option, parse_percent
from seats_cli.output import Output
from seats_cli.startup import checkpoint_for, decode, fit_threads
from seats_cli.text import flops, milliseconds
from seats_cli.usage import WrongUsage

if TYPE_CHECKING:
    from seats.evaluation.run import Outcome, Setting

ORDER = 60
BUILT_IN = "shapes-and-sounds"
SCHEMA = "seats.eval/1"


@dataclass(frozen=True)
class EvalOptions:
    """What is compared, and on how much of the set."""

    method: Annotated[
        list[str] | None,
        option(
            "--method", panel="Evaluation", text="A method; give it several times to compare (seats).", metavar="NAME"
        ),
    ] = None
    keep: Annotated[
        list[float] | None,
        option(
            "--keep",
            panel="Evaluation",
            text="A retention for every method but full; give it several times (10%).",
            metavar="PERCENT",
            parser=parse_percent,
        ),
    ] = None
    limit: Annotated[
        int | None,
        option("--limit", panel="Evaluation", text="Only the first questions of the set.", metavar="N", min=1),
    ] = None


@command
def eval(  # noqa: A001  (the command's name)
    benchmark: Annotated[
        str, typer.Argument(help="shapes-and-sounds, or a JSONL file of clips, questions and answers.")
    ],
    compared: EvalOptions,
    model: ModelOptions,
    part: ClipOptions,
    answering: AnswerOptions,
    output: OutputOptions,
) -> None:
    """Accuracy on a question set, through files on disk, decoding and generated answers.

    [bold]Examples[/bold]

    seats eval shapes-and-sounds --method full --method seats --keep 10% --keep 25%

    seats eval samples/questions.jsonl --method full --json > accuracy.json
    """
    out = Output(output)
    from seats.evaluation.qa import load_qa

    path = _built_in(out) if benchmark == BUILT_IN else Path(benchmark)
    if not path.is_file():
        raise WrongUsage(f"{benchmark}: no such file, and not {BUILT_IN!r}")
    items = load_qa(path)[: compared.limit]
    checkpoint = checkpoint_for(model, out)
    with out.working("loading the model"):
        from seats.models.omni import load_model

        fit_threads(checkpoint)

        loaded = load_model(
            checkpoint, device=model.device, dtype=model.dtype, quantize=model.quantize, announce=out.say
        )
    from seats.evaluation.run import evaluate
    from seats.inference.answer import Question
    from seats.inference.generate import Decoding

    settings = _settings(compared)
    asked = Question(
        "",
        system=answering.system,
        decoding=Decoding(answering.max_new_tokens, answering.temperature, answering.seed),
    )
    outcomes = []
    with out.working(f"{len(items)} questions"):
        for done in evaluate(loaded, items, settings, asked, lambda clip: decode(clip, part, checkpoint)):
            outcomes.append(_Row(done))
            if len(outcomes) % (20 * len(settings)) == 0:
                out.now(f"{len(outcomes) // len(settings)} of {len(items)} questions")
    failed = [row for row in outcomes if row.error]
    for row in failed[:5]:
        out.say(f"failed: {row.error}")
    if len(failed) > 5:
        out.say(f"… and {len(failed) - 5} more failures")
    document = _document(benchmark, loaded.name, settings, outcomes, list_wrong=output.verbose)
    if output.json:
        out.document(document)
    else:
        from rich.console import Console

        Console(highlight=False).print(_table(document))
    if failed:
        raise typer.Exit(3)


class _Row:
    """What is kept of an outcome: numbers, not tensors."""

    def __init__(self, outcome: Outcome) -> None:
        self.item, self.setting, self.right, self.error = outcome.item, outcome.setting, outcome.right, outcome.error
        report = outcome.report
        self.answer = report.text if report else None
        self.llm_flops = report.flops.run.after_encoders if report else None
        self.prefill_ms = (
            (report.latency_ms["prefill"] or 0) + (report.latency_ms["selection"] or 0) if report else None
        )


def _settings(compared: EvalOptions) -> list[Setting]:
    from seats.evaluation.run import Setting
    from seats.methods import method_class

    settings = []
    for name in dict.fromkeys(compared.method or ["seats"]):
        method_class(name)  # raises for an unknown one
        keeps = [None] if name == "full" else dict.fromkeys(compared.keep or [10.0])
        settings += [Setting(name, keep) for keep in keeps]
    return settings


def _built_in(out: Output) -> Path:
    """The test set's question file; its clips are made once and kept in the cache."""
    import os

    from seats.nano.testset import CLIPS, write_test_set

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seats" / BUILT_IN
    out.say(f"{BUILT_IN}: {CLIPS} clips in {cache}; those that are not there yet are made now")
    with out.working("making clips"):
        write_test_set(cache)
    return cache / "questions.jsonl"


def _document(
    benchmark: str, model: str, settings: list[Setting], rows: list[_Row], list_wrong: bool
) -> dict[str, Any]:
    """Schema seats.eval/1: per setting, accuracy in [0, 1] with its 95 % interval by question type, median cost; the
    questions answered wrong where `list_wrong`."""
    import statistics

    from seats.evaluation.run import accuracy_by_type

    results = []
    for setting in settings:
        mine = [row for row in rows if row.setting == setting]
        flops_run = [row.llm_flops for row in mine if row.llm_flops is not None]
        prefill = [row.prefill_ms for row in mine if row.prefill_ms is not None]
        results.append(
            {
                "method": setting.method,
                "keep_percent": setting.keep,
                "label": setting.label,
                "accuracy": {
                    name: {
                        "right": accuracy.right,
                        "total": accuracy.total,
                        "share": accuracy.share,
                        "interval_95": accuracy.interval(),
                    }
                    for name, accuracy in accuracy_by_type(mine).items()  # type: ignore[arg-type]
                },
                "llm_flops_median": statistics.median(flops_run) if flops_run else None,
                "prefill_ms_median": statistics.median(prefill) if prefill else None,
                "failed": sum(bool(row.error) for row in mine),
                **({"wrong": [_wrong(row) for row in mine if not row.right]} if list_wrong else {}),
            }
        )
    return {"schema": SCHEMA, "benchmark": benchmark, "model": model, "results": results}


def _wrong(row: _Row) -> dict[str, str | None]:
    item = row.item
    return {
        "id": item.id,
        "clip": str(item.clip),
        "question": item.question,
        "answer": item.answer,
        "given": row.answer,
    }


def _table(document: dict[str, Any]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=f"{document['model']} on {document['benchmark']}, accuracy in %")
    table.add_column("type")
    results = document["results"]
    for result in results:
        table.add_column(result["label"], justify="right")
    table.add_column("questions", justify="right", style="dim")
    for name in results[0]["accuracy"]:
        cells = []
        for result in results:
            accuracy = result["accuracy"][name]
            low, high = accuracy["interval_95"]
            cell = f"{100 * accuracy['share']:.1f}"
            cells.append(f"{cell} ({100 * low:.1f} to {100 * high:.1f})" if name == "all" else cell)
        if name == "all":
            table.add_section()
        table.add_row(name, *cells, str(results[0]["accuracy"][name]["total"]), style="bold" if name == "all" else "")
    for label, key, show in (
        ("selection + prefill, FLOPs", "llm_flops_median", lambda value: flops(value, "")),
        ("selection + prefill, time", "prefill_ms_median", milliseconds),
    ):
        values = ["-" if result[key] is None else show(result[key]) for result in results]
        table.add_row(label, *values, "median", style="dim")
    return table
