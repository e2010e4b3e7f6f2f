"""`seats chat`: question after question about one clip."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seats_cli.command import command
from seats_cli.commands.ask import question_of
from seats_cli.options import CLIP, AnswerOptions, ClipOptions, ModelOptions, OutputOptions, SelectionOptions, option
from seats_cli.output import Output
from seats_cli.planning import FitOptions, fitting
from seats_cli.startup import start
from seats_cli.usage import SOME_FAILED

if TYPE_CHECKING:
    from seats_cli.chat_session import Session

ORDER = 20
BOM = "\ufeff"
"""With which some editors begin a file."""


@dataclass(frozen=True)
class HistoryOptions:
    """What a prompt holds beside the question."""

    history: Annotated[
        bool | None,
        option(
            "--history/--no-history",
            panel="Answer",
            text="Whether earlier questions and answers are part of the prompt, so that 'and what colour is it?' can "
            "be understood (default; not for seats-nano, which knows single questions only).",
            metavar=" ",
        ),
    ] = None


@command
def chat(
    clip: Annotated[Path, CLIP],
    model: ModelOptions,
    selection: SelectionOptions,
    part: ClipOptions,
    answering: AnswerOptions,
    remembering: HistoryOptions,
    memory: FitOptions,
    output: OutputOptions,
) -> None:
    """Ask question after question about a clip, which is read and encoded once.

    /help lists what can be typed besides questions: /keep 25%, /method NAME, /view, /save FILE, /reset, /quit.

    From a pipe, each line is a question or such a command, and standard output gets the answers alone.
    What fails does not end the chat; the exit code is then 3.

    --json prints JSON Lines: per question the object of ask --json on one line, and in it "id" (its number),
    "status" (ok or error) and "history" (how many earlier questions its prompt held). One that failed has "id", "clip",
    "question", "status" and "error".

    [bold]Examples[/bold]

    seats chat holiday.mp4

    printf 'Who speaks first?\\nWhat about?\\n' | seats chat interview.mp4 --keep 25% --json
    """
    from seats.plan.prompt import QUESTION

    out = Output(output)
    fit = fitting(clip, memory.max_vram, [QUESTION], [selection], model, answering, out)
    started = start(
        clip,
        part,
        model,
        out,
        check=lambda shape: question_of("", selection, answering).method_for(shape),
        fit=fit,
        limit=memory.max_vram,
    )
    from seats_cli.chat_session import Session

    session = Session(started, selection, part, answering, output, remembering.history, fit)
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="replace")  # a stray byte in a question must not end the chat
    if sys.stdin.isatty():
        _talk(session)
        return
    while line := sys.stdin.readline():
        if not session.take(line.removeprefix(BOM).strip()):
            break
    if session.failed:
        raise typer.Exit(SOME_FAILED)


def _talk(session: Session) -> None:
    """Until the person at the terminal leaves."""
    from seats_cli.prompt import Prompt, history_file

    prompt = Prompt("> ", session.completions, history_file("chat_history"))
    session.greet()
    while True:
        try:
            line = prompt.line()
        except EOFError:
            sys.stderr.write("\n")
            return
        except KeyboardInterrupt:
            sys.stderr.write("\n")
            if not prompt.typed:
                session.out.say("Ctrl-D or /quit leaves")
            continue
        try:
            if not session.take(line):
                return
        except KeyboardInterrupt:
            session.stopped(line)
