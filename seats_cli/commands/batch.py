"""`seats batch`: questions about many clips, into a results file that a later run goes on with."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seats.host import cpu_quota, usable_cpus
from seats.text import printable
from seats.units import counted, duration, size
from seats_cli.command import command
from seats_cli.options import (
    AnswerOptions,
    ClipOptions,
    ModelOptions,
    OutputOptions,
    SelectionOptions,
    choice,
    flag,
    option,
    parse_question,
    share,
)
from seats_cli.output import Output
from seats_cli.places import check_place
from seats_cli.planning import FitOptions, parse_memory
from seats_cli.stopping import stoppable
from seats_cli.text import short
from seats_cli.usage import INTERRUPTED, SOME_FAILED, WrongUsage

if TYPE_CHECKING:
    from seats.batch.jobs import Job
    from seats.batch.run import Engine, Outcome
    from seats.batch.settings import Setup
    from seats.models.checkpoint import Checkpoint

ORDER = 30
SCHEMA = "seats.batch/1"
_BATCH = "Batch"
_LEAST_DECODE_MEMORY = 64 * 2**20


def _decode_memory(value: Any) -> int:
    """Bytes for decoding. With too few the libraries crash before they can say why, and clips get the blame."""
    memory = parse_memory(value)
    if memory < _LEAST_DECODE_MEMORY:
        raise typer.BadParameter(f"{value} is too little to decode anything: give at least 64M")
    return memory


@dataclass(frozen=True)
class BatchOptions:
    """Which clips and questions, where the answers go, and what works on them."""

    questions: Annotated[
        Path | None,
        option(
            "--questions",
            panel=_BATCH,
            text="A CSV or JSONL file of questions (clip, question, and if wanted id and answer), instead of one for "
            "all. Clips are relative to FOLDER.",
            metavar="FILE",
        ),
    ] = None
    out: Annotated[
        Path,
        option(
            "--out",
            "-o",
            panel=_BATCH,
            text="Where the answers go (results.jsonl). With .csv or .parquet, that table is written at the end, from "
            "the .jsonl file beside it.",
            metavar="FILE",
        ),
    ] = Path("results.jsonl")
    recursive: Annotated[bool, flag("--recursive", "-r", panel=_BATCH, text="Also clips in folders below.")] = False
    retry_failed: Annotated[
        bool, flag("--retry-failed", panel=_BATCH, text="Ask again what failed in an earlier run.")
    ] = False
    shard: Annotated[
        str | None,
        option(
            "--shard",
            panel=_BATCH,
            text="Only this part of the clips: 1/4 to 4/4. A clip's name decides its part, so that the parts are "
            "about equal only for many clips.",
            metavar="I/N",
        ),
    ] = None
    workers: Annotated[
        int | None,
        option(
            "--workers",
            panel=_BATCH,
            text="Processes with a model each (default one per GPU, or 1; with --engine ray 1).",
            metavar="N",
            min=1,
        ),
    ] = None
    decoders: Annotated[
        int,
        option(
            "--decoders",
            panel=_BATCH,
            text="Clips that each worker decodes at a time (default 1, at most 64).",
            metavar="N",
            min=1,
            max=64,
        ),
    ] = 1
    decode_memory: Annotated[
        int | None,
        option(
            "--decode-memory",
            panel=_BATCH,
            text="Maximum memory for decoding a clip (default 4G, at least 64M).",
            metavar="SIZE",
            parser=_decode_memory,
        ),
    ] = None
    engine: Annotated[
        str,
        option(
            "--engine",
            panel=_BATCH,
            text="local (default), or ray (needs seats\\[ray]).",
            metavar="local|ray",
            parser=choice("local", "ray"),
        ),
    ] = "local"
    ray_address: Annotated[
        str | None,
        option(
            "--ray-address",
            panel=_BATCH,
            text="Address of a running Ray cluster (default: start one).",
            metavar="ADDRESS",
        ),
    ] = None


@command
def batch(
    folder: Annotated[
        str,
        typer.Argument(
            help="A folder, a pattern in quotes, a .txt file with a path a line, or - to read paths from standard "
            "input.",
            metavar="FOLDER",
            show_default=False,
        ),
    ],
    batch: BatchOptions,
    model: ModelOptions,
    selection: SelectionOptions,
    part: ClipOptions,
    answering: AnswerOptions,
    memory: FitOptions,
    output: OutputOptions,
    context: typer.Context,
    question: Annotated[
        str | None,
        typer.Argument(help="What to ask about every clip, in quotes.", metavar="QUESTION", parser=parse_question),
    ] = None,
) -> None:
    """Ask about many clips. A row per clip and question goes to a results file; the same command again goes on where
    the last one ended.

    A clip that cannot be read or answered gets a row that says why, and the exit code is then 3. --timeout limits
    the reading of each clip (600 s).

    [bold]Examples[/bold]

    seats batch clips/ "What is said, and what is shown?" --recursive --out answers.jsonl

    seats batch clips/ --questions questions.csv --out answers.csv --keep 25%

    seats batch clips/ "What happens?" --shard 3/16 --out answers-3.jsonl
    """
    _check_order(folder, question)
    if question is None and batch.questions is None:
        raise WrongUsage("give one question for all clips, in quotes, or --questions FILE")
    if question is not None and batch.questions is not None:
        raise WrongUsage(f"{short(question)!r} and --questions {batch.questions} are both given: leave one out")
    out = Output(output)
    out.say_without_effect(context, [selection.method])
    results, table = _files(batch.out, batch.questions)
    jobs = _jobs(folder, question, batch, out)
    setup = replace(_setup(batch, model, selection, part, answering, memory, out), debug=output.debug)
    engine = _engine(batch, setup)
    from seats.batch.run import run_batch
    from seats_cli.batch_progress import Progress

    with stoppable() as stop, _no_foreign_output(), Progress(out) as progress:
        outcome = run_batch(
            jobs, results, setup.digest, engine, retry_failed=batch.retry_failed, stop=stop, tell=progress.tell
        )
    if table is not None and results.exists():
        from seats.batch.tables import write_table

        write_table(results, table)
    _report(outcome, table or results, out)
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if outcome.failed or outcome.failed_before:
        raise typer.Exit(SOME_FAILED)


def _check_order(folder: str, question: str | None) -> None:
    """Raises WrongUsage for words in the wrong place: a question as the folder, a file of questions as the question."""
    words = len(folder.split()) > 1 or folder.endswith("?")
    if words and os.sep not in folder and not os.path.lexists(folder) and not glob(folder):
        clips = question if question is not None and os.path.exists(question) else "clips/"
        raise WrongUsage(
            f"{short(folder)!r} is no folder or file here; the clips come first, then the question: seats batch "
            f"{clips} {short(folder)!r}"
        )
    if question is not None and re.fullmatch(r"\S+\.(csv|tsv|jsonl|ndjson)", question):
        raise WrongUsage(
            f"{question} would be asked as a question: for a file of questions give --questions {question}"
        )


def _files(out: Path, questions: Path | None) -> tuple[Path, Path | None]:
    """The results file, and the table to be made of it. Neither may cost the user another file."""
    from seats.batch.tables import KINDS, check_kind, check_table

    kind = out.suffix.lower()
    if kind not in (*KINDS, ".jsonl", ".ndjson"):
        raise WrongUsage(f"--out {out}: choose a name that ends in .jsonl, .csv or .parquet")
    table = out if kind in KINDS else None
    results = out if table is None else out.with_suffix(".jsonl")
    for path in (results, table):
        if path is not None and questions is not None and _same_file(path, questions):
            beside = "" if path == out else f" (its rows go to {path})"
            raise WrongUsage(f"--out {out}{beside} would overwrite the file of questions: give another name")
    check_place(results, in_place=True)
    if table is not None:
        check_kind(table)
        check_table(table)
        check_place(table)
    return results, table


def _same_file(one: Path, other: Path) -> bool:
    with suppress(OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other) or os.path.samefile(one, other)
    return False


def _jobs(folder: str, question: str | None, options: BatchOptions, out: Output) -> list[Job]:
    from seats.batch.clips import Shard, find_clips
    from seats.batch.questions import jobs_of, read_questions

    shard = None if options.shard is None else Shard.parse(options.shard)
    asked = question if options.questions is None else read_questions(options.questions, out.say)
    found = find_clips(folder, recursive=options.recursive, needed=options.questions is None)
    jobs, remarks = jobs_of(found, asked or "", shard)
    for remark in [*found.remarks, *remarks]:
        out.say(remark)
    return jobs


def _setup(
    options: BatchOptions,
    model: ModelOptions,
    selection: SelectionOptions,
    part: ClipOptions,
    answering: AnswerOptions,
    memory: FitOptions,
    out: Output,
) -> Setup:
    from seats.batch import settings
    from seats.models.sampling import frame_sampling
    from seats_cli.startup import check_part, checkpoint_for, with_options

    check_part(part)
    checkpoint = checkpoint_for(model, out, memory.max_vram)
    limit = None
    if memory.max_vram is not None:
        from seats.plan.limit import Limit

        limit = Limit(memory.max_vram, checkpoint)
        out.say(f"--max-vram {size(memory.max_vram)}: a clip's row says where frames or pixels were lowered for it")
    clip = settings.ClipSettings(
        with_options(frame_sampling(checkpoint), part),
        start_s=part.start,
        end_s=part.end,
        use_video=not part.no_video,
        use_audio=not part.no_audio,
        timeout_s=settings.DECODE_TIMEOUT_S if part.timeout is None else part.timeout,
        memory_bytes=settings.DECODE_MEMORY if options.decode_memory is None else options.decode_memory,
        limit=limit,
    )

    answer = settings.AnswerSettings(
        method=selection.method,
        keep=selection.keep,
        keep_video=share(selection.keep_video),
        keep_audio=share(selection.keep_audio),
        kv=selection.kv,
        system=answering.system,
        max_new_tokens=answering.max_new_tokens,
        temperature=answering.temperature,
        seed=answering.seed,
        compare=selection.compare,
    )
    threads = _threads(checkpoint, options, model.device)
    loading = settings.ModelSettings(checkpoint, model.device, model.dtype, model.quantize, threads)
    return settings.Setup.of(loading, clip, answer, options.decoders)


def _threads(checkpoint: Checkpoint, options: BatchOptions, device: str) -> int | None:
    """CPU threads of a worker's model; None for torch's choice, which goes by OMP_NUM_THREADS where that is set."""
    from seats.batch.local import devices_for
    from seats.models.weight_files import thinker_bytes
    from seats_cli.startup import TINY

    if "OMP_NUM_THREADS" in os.environ:
        return None
    if thinker_bytes(checkpoint) < TINY:
        return 1
    workers = (options.workers or 1) if options.engine == "ray" else len(devices_for(device, options.workers))
    if workers == 1:
        return None if cpu_quota() is None else usable_cpus()
    return max(1, usable_cpus() // workers)


def _engine(options: BatchOptions, setup: Setup) -> Callable[[], Engine]:
    if options.engine == "ray":
        from seats.batch.ray_engine import RayEngine, check_ray

        check_ray()
        return lambda: RayEngine(setup, options.workers or 1, options.ray_address)
    if options.ray_address is not None:
        raise WrongUsage("--ray-address needs --engine ray")
    from seats.batch.local import LocalEngine, devices_for

    devices = devices_for(setup.model.device, options.workers)
    return lambda: LocalEngine(setup, devices)


@contextmanager
def _no_foreign_output() -> Iterator[None]:
    """Keep standard output for the result: Ray prints there what happens to its workers, which the log says too."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        yield


def _report(outcome: Outcome, where: Path, out: Output) -> None:
    from seats_cli.batch_progress import speed

    rate = outcome.finished / outcome.seconds if outcome.seconds else None
    if out.options.json:
        out.document(
            {
                "schema": SCHEMA,
                "results": printable(str(where)),
                "clips": outcome.clips,
                "finished_clips": outcome.finished,
                "failed_clips": outcome.failed_clips,
                "pending_clips": outcome.pending - outcome.finished,
                "answered": outcome.answered,
                "failed": outcome.failed,
                "answered_before": outcome.done_before,
                "failed_before": outcome.failed_before,
                "retried_with_less": outcome.retried,
                "errors": dict(outcome.errors),
                "seconds": outcome.seconds,
                "clips_per_s": rate,
                "interrupted": outcome.interrupted,
            }
        )
    said = [f"{outcome.answered} answered", f"{outcome.failed} failed"]
    if outcome.errors:
        said[1] += " (" + ", ".join(f"{count} {kind}" for kind, count in outcome.errors.most_common()) + ")"
    if outcome.retried:
        said.append(f"{outcome.retried} with fewer frames for want of memory")
    if rate is not None:
        said.append(f"{duration(outcome.seconds)}, {speed(rate)}")
    nothing = outcome.interrupted and not where.exists()
    out.say(f"{', '.join(said)}" + ("" if nothing else f"; results in {printable(str(where))}"))
    if outcome.interrupted:
        left = outcome.pending - outcome.finished
        out.say(f"stopped with {counted(left, 'clip')} to do; the same command goes on from there")
