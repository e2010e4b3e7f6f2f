"""`seats plan`: what an answer would take, before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seats_cli.command import command
from seats_cli.options import (
    CLIP,
    METHODS_TEXT,
    AnswerOptions,
    ClipOptions,
    ModelOptions,
    OutputOptions,
    SelectionOptions,
    flag,
    option,
    parse_method,
    parse_question,
)
from seats_cli.output import Output
from seats_cli.planning import RoomOptions, ask_for, clip_for, model_for, place_for
from seats_cli.startup import check_clip

if TYPE_CHECKING:
    from seats.plan.model import PlannedModel

ORDER = 100


@dataclass(frozen=True)
class PlannedOptions(SelectionOptions):
    """Which tokens stay, as far as that can be counted without running a method."""

    method: Annotated[
        str,
        option("--method", panel="Token selection", text=f"{METHODS_TEXT}.", metavar="NAME", parser=parse_method),
    ] = "seats"
    compare: Annotated[bool, flag("--compare", panel="Token selection", text="Full tokens have to fit, too.")] = False


@command
def plan(
    clip: Annotated[Path, CLIP],
    model: ModelOptions,
    selection: PlannedOptions,
    part: ClipOptions,
    answering: AnswerOptions,
    memory: RoomOptions,
    output: OutputOptions,
    context: typer.Context,
    question: Annotated[
        str | None,
        typer.Argument(
            help="What would be asked; only its length counts.",
            metavar="QUESTION",
            show_default=False,
            parser=parse_question,
        ),
    ] = None,
) -> None:
    """What an answer would take: frames, tokens, FLOPs and memory, with all tokens and with the chosen method.

    Read off the clip's header and the model's config in a moment: no weights are loaded or fetched, and no frame is
    decoded. Where it does not fit into --max-vram, the GPU or the memory here, the nearest settings that do are named.

    [bold]Examples[/bold]

    seats plan lecture.mp4 --model Qwen/Qwen2.5-Omni-7B --max-vram 24G

    seats plan match.mkv --method seats --keep 25% --fps 1 --json
    """
    check_clip(clip, part, question)
    out = Output(output)
    out.say_without_effect(context, [selection.method])
    place = place_for(model.device, memory.max_vram, model.model)
    planned, line = model_for(model, place, memory.max_vram)
    if line is not None:
        out.say(line)
    ask = ask_for(planned, place, question, model, selection, part, answering)
    from seats.plan.document import plan_json
    from seats.plan.model import planned_model
    from seats.plan.plan import make_plan
    from seats.plan.search import fits, reserve_for, suggestions
    from seats_cli.choose import CHOICES

    facts = clip_for(clip, part)
    made = make_plan(planned, facts, ask)
    room = place.room(memory.max_vram)
    full_needed = made.weights_bytes + made.full.memory.peak + reserve_for(ask.device)
    run_fits, full_fits = fits(made, room.limit_bytes), full_needed <= room.limit_bytes
    changes = []
    if not run_fits:
        others = [other for other in (planned_model(name) for _, name in CHOICES) if _smaller(other, planned)]
        changes = suggestions(made, facts, room.limit_bytes, others)
    if output.json:
        out.document(plan_json(made, facts, room, (run_fits, full_fits), changes))
        return
    from seats_cli.consoles import OutputConsole
    from seats_cli.plan_table import PlanTable

    OutputConsole().print(PlanTable(made, facts, room, (run_fits, full_fits), changes, output.verbose))


def _smaller(one: PlannedModel, other: PlannedModel) -> bool:
    from seats.plan.weights import count_weights

    return count_weights(one).parameters < count_weights(other).parameters
