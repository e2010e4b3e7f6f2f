"""`seats profile`: a clip and a model, full tokens against methods."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from seats.imports import lasting_imports
from seats.keep import FULL
from seats.units import milliseconds, seconds
from seats_cli.command import command
from seats_cli.measuring import TIME_LIMIT, ComparedOptions, check_methods, kept, show, telling
from seats_cli.options import (
    CLIP,
    AnswerOptions,
    ClipOptions,
    ModelOptions,
    OutputOptions,
    SelectionOptions,
    flag,
    option,
    parse_question,
    system_in,
)
from seats_cli.output import Output
from seats_cli.planning import FitOptions, fitting
from seats_cli.startup import Started, check_clip, check_header, fit_threads_to, load, start
from seats_cli.usage import WrongUsage

ORDER = 70
_RUN = "Measurement"
_QUESTION = "What happens in this clip?"


@dataclass(frozen=True)
class ProfileOptions(ComparedOptions):
    """What is compared, and how often."""

    rounds: Annotated[int, option("--rounds", panel=_RUN, text="Counted rounds (default 3).", metavar="N", min=1)] = 3
    warmups: Annotated[
        int, option("--warmups", panel=_RUN, text="Rounds before them (default 1).", metavar="N", min=0)
    ] = 1
    from_file: Annotated[
        bool,
        flag(
            "--from-file",
            panel=_RUN,
            text="Also time the whole way from the file to the first token; on a GPU reading and encoding overlap.",
        ),
    ] = False
    time_limit: Annotated[float | None, TIME_LIMIT] = None
    new_tokens: Annotated[
        int,
        option(
            "--new-tokens",
            "--max-new-tokens",
            panel=_RUN,
            text="Longest answer, tokens (default 16).",
            metavar="N",
            min=1,
        ),
    ] = 16
    system: Annotated[str | None, system_in(_RUN)] = None
    seed: Annotated[
        int, option("--seed", panel=_RUN, text="Seed for random choices (default 0).", metavar="N", min=0)
    ] = 0
    random_weights: Annotated[
        bool,
        flag(
            "--random-weights",
            panel=_RUN,
            text="Random weights at the dimensions of --model (required, such as qwen2.5-omni-7b): nothing is "
            "downloaded, and the answer means nothing.",
        ),
    ] = False


@command
def profile(
    clip: Annotated[Path, CLIP],
    model: ModelOptions,
    part: ClipOptions,
    measured: ProfileOptions,
    memory: FitOptions,
    output: OutputOptions,
    context: typer.Context,
    question: Annotated[
        str,
        typer.Argument(
            help=f"What to ask, in quotes (default {_QUESTION!r}).",
            metavar="QUESTION",
            show_default=False,
            parser=parse_question,
        ),
    ] = _QUESTION,
) -> None:
    """Measure time by step, FLOPs and memory of methods against full tokens, on one clip, in alternation.

    A method that cannot reach its target is named below the tables. The exit code is 1 if none that was asked for could
    be measured.

    [bold]Examples[/bold]

    seats profile holiday.mp4 --method seats --method random --keep 10% --keep 25%

    seats profile lecture.mkv "Sum this up." --end 2:00 --rounds 5 --json > profile.json

    seats profile holiday.mp4 --model qwen2.5-omni-7b --random-weights
    """
    out = Output(output)
    out.say_without_effect(context, measured.method or [])
    if measured.random_weights:
        if memory.max_vram is not None:
            raise WrongUsage("--max-vram plans for a model's own files: leave it out, or --random-weights")
        started = _with_random_weights(clip, part, model, measured, out)
    else:
        started = _with_its_weights(clip, part, model, measured, memory, question, out)
    from seats.bench.measure import beside_full
    from seats.bench.profile import profile as measure
    from seats.inference.answer import Question
    from seats.inference.generate import Decoding

    with out.working("measuring"):
        document = measure(
            started.model,
            started.clip,
            Question(
                question,
                kv=measured.kv,  # type: ignore[arg-type]
                system=measured.system,
                decoding=Decoding(measured.new_tokens, seed=measured.seed),
            ),
            beside_full(measured.settings),
            rounds=measured.rounds,
            warmups=measured.warmups,
            decode_ms=started.decode_ms,
            limit_s=measured.time_limit or math.inf,
            read=started.read if measured.from_file else None,
            announce=telling(out),
        )
    show(document, _title(document), out)


def _with_its_weights(
    clip: Path,
    part: ClipOptions,
    model: ModelOptions,
    measured: ProfileOptions,
    memory: FitOptions,
    question: str,
    out: Output,
) -> Started:
    """As `start`, with the frames and pixels at which every setting fits."""
    own = (measured.keep_video, measured.keep_audio)
    # With `compare` no other method is suggested instead of full tokens, which are measured whatever it is.
    chosen = [SelectionOptions(FULL.method, kv=measured.kv, compare=True)]
    chosen += [
        SelectionOptions(setting.method, setting.keep or 100.0, *own, kv=measured.kv) for setting in measured.settings
    ]
    answering = AnswerOptions(measured.system, measured.new_tokens)
    return start(
        clip,
        part,
        model,
        out,
        check=lambda _: check_methods(measured.methods),
        fit=fitting(clip, memory.max_vram, [question], chosen, model, answering, out),
        question=question,
        limit=memory.max_vram,
    )


def _with_random_weights(
    path: Path, part: ClipOptions, options: ModelOptions, measured: ProfileOptions, out: Output
) -> Started:
    """As `start`, with random weights at the dimensions that --model names."""
    if options.model is None or options.quantize is not None:
        raise WrongUsage("--random-weights needs --model, such as qwen2.5-omni-7b, and takes no --quantize")
    began = time.perf_counter()
    check_clip(path, part)
    check_header(path, part)
    with out.working("starting"):
        with lasting_imports():
            from seats.bench.build import dtype_for, weight_bytes
            from seats.bench.stand_in import random_model, sampling_of
            from seats.media import ReadingClip
            from seats.models.omni import device_named
            from seats.models.presets import find_preset

        check_methods(measured.methods)
        preset = find_preset(options.model)
        device = device_named(options.device)
        out.now(f"making {preset.name}")
        dtype = dtype_for(preset, options.dtype)
        fit_threads_to(weight_bytes(preset, dtype))
        made = random_model(preset, device, dtype, measured.seed)
        out.now("reading the clip")
        ready = time.perf_counter()

        def read() -> ReadingClip:
            return ReadingClip(lambda arriving: load(path, part, sampling_of(preset), arriving))

        reading = read()
        reading.result()
    return Started(made, reading, read, 1e3 * (ready - began))


def _title(document: dict[str, Any]) -> str:
    clip, machine = document["clip"], document["machine"]
    parts = [document["model"]["name"], machine["dtype"], machine["name"]]
    if clip["frames"]:
        parts.append(f"{clip['frames']} frames of {clip['size'][0]}x{clip['size'][1]}")
    if clip["audio_s"]:
        parts.append(f"{seconds(clip['audio_s'])} of sound")
    parts += kept(document["keep"])
    parts.append(f"read in {milliseconds(clip['decode_ms'])}, which the times leave out")
    return " · ".join(parts)
