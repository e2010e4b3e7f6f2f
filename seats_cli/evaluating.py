"""What `seats eval` and `seats analyze` share: the question set, the rows that a rerun goes on from, and failures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from seats.errors import SeatsError
from seats.files import exists
from seats.units import counted
from seats_cli.options import ClipOptions, ModelOptions, option
from seats_cli.output import Output
from seats_cli.usage import WrongUsage

if TYPE_CHECKING:
    from seats.evaluation.qa import QAItem
    from seats.evaluation.rows import Row, RowFile
    from seats.evaluation.run import Evaluation
    from seats.evaluation.settings import Asking, Compared
    from seats.models.checkpoint import Checkpoint

BENCHMARK: Any = typer.Argument(
    help="shapes-and-sounds, or a JSONL file of clips, questions and answers.", metavar="BENCHMARK"
)
BUILT_IN = "shapes-and-sounds"
_REASONS = 5
"""Of failures, so many are told."""


def rows_out(panel: str) -> Any:
    """--out."""
    text = "Append a row for each answer (JSONL); a rerun skips answers that are already in it."
    return option("--out", panel=panel, text=text, metavar="FILE")


def built_in_questions(split: Literal["test", "validation"], clips: int, per_clip: int, out: Output) -> Path:
    """The question file of the built-in set; its clips are made once, as far as they are wanted, and kept in the
    cache. Raises SeatsError where they cannot be."""
    from seats.nano.testset import write_test_set

    name, kind = (BUILT_IN, "") if split == "test" else (f"{BUILT_IN}-{split}", f"{split} ")
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise SeatsError(f"no home folder to keep the clips of {BUILT_IN} in: set XDG_CACHE_HOME to a folder") from None
    cache = home / "seats" / name
    out.say(f"{BUILT_IN}: {counted(clips, f'{kind}clip')} in {cache}; what is not there yet is made now")
    try:
        with out.working("making clips"):
            # Each number of clips has a file of its own: another process may be about to read its own.
            questions = f"questions-{clips}x{per_clip}.jsonl"
            write_test_set(cache, split, clips, per_clip, questions)
    except OSError as error:
        raise SeatsError(
            f"{cache}: cannot be written to ({error.strerror or error}); make room or allow it, or set XDG_CACHE_HOME "
            "to another folder"
        ) from error
    return cache / questions


def question_file(benchmark: str) -> Path:
    """A question set of the user's own. Raises WrongUsage where there is none."""
    path = Path(benchmark)
    if not exists(path):
        raise WrongUsage(f"{benchmark}: no such file, and not {BUILT_IN!r}")
    if path.is_dir():
        raise WrongUsage(f"{benchmark} is a folder: give the file with the questions in it")
    if not path.is_file():  # clips are named relative to it, and a terminal or device may never end
        raise WrongUsage(f"{benchmark} is a pipe or a device: write the questions to a file, and give that")
    return path


def check_clips_stay(places: Sequence[tuple[str, Path]], items: Iterable[QAItem]) -> None:
    """Raises WrongUsage where a file to write is a clip of the set. places: flags and their files."""
    clips = {os.path.realpath(item.clip) for item in items}
    for flag, path in places:
        if os.path.realpath(path) in clips:
            raise WrongUsage(f"{flag} {path} would overwrite a clip of the set: give another name")


def evaluation_of(
    compared: Compared, asking: Asking, checkpoint: Checkpoint, model: ModelOptions, part: ClipOptions
) -> Evaluation:
    """With everything in its digests that answers depend on; what a memory limit lowers differs by clip, and is in the
    questions' digests."""
    from seats.evaluation.identity import model_identity
    from seats.evaluation.run import Evaluation

    identity = model_identity(checkpoint, model.device, model.dtype, model.quantize)
    chosen = {name: value for name, value in asdict(part).items() if value and name != "timeout"}
    return Evaluation.of(compared, asking, {"name": checkpoint.name, **identity}, chosen)


@contextmanager
def row_file(path: Path | None, out: Output) -> Iterator[RowFile | None]:
    """The file of --out, open; None without one."""
    if path is None:
        yield None
        return
    from seats.evaluation.rows import RowFile

    with RowFile(path) as file:
        if file.repaired:
            out.say(f"{path}: its last row was half written and has been taken out")
        yield file


def collect(
    made: Iterable[Row], file: RowFile | None, on_row: Callable[[int], None], out: Output
) -> Mapping[tuple[str, str], Row]:
    """Keep rows as they are made; returns all of them, those of earlier runs too. on_row: told how many there are."""
    rows: dict[tuple[str, str], Row] = {} if file is None else file.rows
    done = 0
    try:
        for row in made:
            if file is None:
                rows[row.key] = row
            else:
                file.append(row)
            done += 1
            on_row(done)
    except KeyboardInterrupt:
        if file is not None and rows:
            out.say(f"{done:,} new answers are in {file.path}; the same command goes on from there")
        raise
    return rows


def say_reasons(reasons: Iterable[str], out: Output) -> None:
    """Say why answers failed, each reason once."""
    told = list(dict.fromkeys(reasons))
    for reason in told[:_REASONS]:
        out.say(f"failed: {reason}")
    if len(told) > _REASONS:
        out.say(f"… and {len(told) - _REASONS} more reasons")
