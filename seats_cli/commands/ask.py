"""`seats ask`: one question about one clip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seats_cli.command import command
from seats_cli.options import (
    CLIP,
    QUESTION,
    AnswerOptions,
    ClipOptions,
    ModelOptions,
    OutputOptions,
    SelectionOptions,
    share,
)
from seats_cli.output import Output
from seats_cli.planning import FitOptions, fitting
from seats_cli.startup import start

if TYPE_CHECKING:
    from seats.inference.answer import Answer
    from seats_cli.planning import Fit

ORDER = 10


@command
def ask(
    clip: Annotated[Path, CLIP],
    question: Annotated[str, QUESTION],
    model: ModelOptions,
    selection: SelectionOptions,
    part: ClipOptions,
    answering: AnswerOptions,
    memory: FitOptions,
    output: OutputOptions,
    context: typer.Context,
) -> None:
    """Ask a question about a clip; the answer streams to standard output, a summary follows on standard error.

    [bold]Examples[/bold]

    seats ask holiday.mp4 "What does the guide say about the tower?"

    seats ask lecture.mkv "Sum this up." --start 25:00 --keep 25% --json
    """
    out = Output(output)
    out.say_without_effect(context, [selection.method])
    fit = fitting(clip, memory.max_vram, [question], [selection], model, answering, out)
    started = start(
        clip,
        part,
        model,
        out,
        check=lambda shape: question_of(question, selection, answering).method_for(shape),
        fit=fit,
        whole=False,
        question=question,
        limit=memory.max_vram,
    )
    from seats.inference.answer import answer

    with out.working("looking and listening"):
        answered = answer(
            started.model,
            started.reading,
            question_of(question, selection, answering),
            on_text=out.stream,
            on_end=out.end_stream,
        )
    if output.json:
        out.document(answer_document(answered, fit))
    if not output.quiet and (not output.json or output.verbose):
        from seats_cli.summary import Summary

        out.show(Summary(answered, part, startup_ms=started.startup_ms, verbose=output.verbose))


def answer_document(answered: Answer, fit: Fit | None) -> dict[str, Any]:
    """`answer_json`, as in a batch's rows: bytes of the clip's path that are not UTF-8 are backslash escapes, and
    "max_vram" is there where the memory limit had the clip read less finely."""
    from seats.inference.report import answer_json

    document = answer_json(answered)
    if fit is not None and fit.lowered is not None:
        document["max_vram"] = fit.lowered
    return document


def question_of(text: str, selection: SelectionOptions, answering: AnswerOptions) -> Any:
    """The library's `Question` that the options stand for."""
    from seats.inference.answer import Question
    from seats.inference.generate import Decoding

    return Question(
        text=text,
        method=selection.method,
        keep=selection.keep,
        keep_video=share(selection.keep_video),
        keep_audio=share(selection.keep_audio),
        kv=selection.kv,  # type: ignore[arg-type]
        system=answering.system,
        decoding=Decoding(answering.max_new_tokens, answering.temperature, answering.seed),
        compare=selection.compare,
    )
