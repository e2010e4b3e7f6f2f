"""`seats bench`: speed at a model's real dimensions, without its weights."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seats.imports import lasting_imports
from seats_cli.command import command
from seats_cli.measuring import TIME_LIMIT, ComparedOptions, check_methods, kept, show, telling
from seats_cli.options import (
    Device,
    Dtype,
    OutputOptions,
    flag,
    option,
    parse_positive,
)
from seats_cli.output import Output
from seats_cli.startup import fit_threads_to
from seats_cli.text import short
from seats_cli.usage import WrongUsage

if TYPE_CHECKING:
    from seats.bench.workload import Load
    from seats.models.presets import Preset

ORDER = 80
_MODEL, _LOAD, _RUN = "Model", "Workload", "Measurement"


@dataclass(frozen=True)
class Tokens:
    """Of a prompt."""

    video: int
    audio: int
    text: int


@dataclass(frozen=True)
class Size:
    """Of a picture, pixels."""

    width: int
    height: int


def parse_tokens(value: Any) -> Tokens:
    """From "8600+3000+150", or a total that is divided like that."""
    parts = str(value).replace(" ", "").split("+")
    if not all(re.fullmatch(r"\d+", part) for part in parts) or len(parts) not in (1, 3):
        raise typer.BadParameter(f"{value!r} is not a count: write a total (11750) or video+audio+text (8600+3000+150)")
    most, least = 10_000_000, 20  # of these, half are text
    if sum(map(int, parts)) > most:
        raise typer.BadParameter(f"{short(value)} are more than can be laid out: at most {most:,}")
    if len(parts) == 3:
        return Tokens(*map(int, parts))
    if int(parts[0]) < least:
        raise typer.BadParameter(f"a total of {int(parts[0])} is too small for text, video and audio: at least {least}")
    text = min(150, int(parts[0]) // 2)
    audio = round((int(parts[0]) - text) * 3000 / 11600)
    return Tokens(int(parts[0]) - text - audio, audio, text)


def parse_size(value: Any) -> Size:
    """From "854x480"."""
    found = re.fullmatch(r"\s*(\d+)\s*[xX]\s*(\d+)\s*", str(value))
    if not found or not int(found[1]) * int(found[2]):
        raise typer.BadParameter(f"{value!r} is not a picture size: write width x height (854x480)")
    return Size(int(found[1]), int(found[2]))


@dataclass(frozen=True)
class SizeOptions:
    """Which dimensions, and where."""

    model: Annotated[
        str | None,
        option(
            "--model",
            "-m",
            panel=_MODEL,
            metavar="NAME",
            text="qwen2.5-omni-7b, qwen2.5-omni-3b, qwen3-omni-30b-a3b, small, small-moe, or a folder with a "
            "config.json. Not given: the 7B where a CUDA GPU has the memory, else small.",
        ),
    ] = None
    device: Device = "auto"
    dtype: Dtype = "auto"


@dataclass(frozen=True)
class LoadOptions:
    """What is run: tokens, or a clip through the encoders."""

    tokens: Annotated[
        Tokens | None,
        option(
            "--tokens",
            panel=_LOAD,
            metavar="N",
            parser=parse_tokens,
            text="Tokens of the prompt, without encoders: video+audio+text (8600+3000+150, for small models a tenth), "
            "or a total.",
        ),
    ] = None
    frames: Annotated[
        int | None,
        option(
            "--frames",
            panel=_LOAD,
            text="Instead of --tokens: a clip of N sampled frames (an even number), through the encoders.",
            metavar="N",
            min=0,
        ),
    ] = None
    size: Annotated[
        Size | None,
        option(
            "--size", panel=_LOAD, text="Source size of the frames (default 854x480).", metavar="WxH", parser=parse_size
        ),
    ] = None
    seconds: Annotated[
        float | None,
        option(
            "--seconds",
            panel=_LOAD,
            text="Length of the clip and its sound (default half a second per frame).",
            metavar="SECONDS",
            parser=parse_positive,
        ),
    ] = None
    text_tokens: Annotated[
        int | None,
        option(
            "--text-tokens",
            panel=_LOAD,
            text="Text tokens beside a clip, at least 10 (default 150).",
            metavar="N",
            min=10,
        ),
    ] = None


@dataclass(frozen=True)
class RunOptions(ComparedOptions):
    """What is compared, and how often."""

    stock: Annotated[
        bool,
        flag("--stock", panel=_RUN, text="Also time transformers' own prefill, its head on every position."),
    ] = False
    rounds: Annotated[int, option("--rounds", panel=_RUN, text="Counted rounds (default 5).", metavar="N", min=1)] = 5
    warmups: Annotated[
        int, option("--warmups", panel=_RUN, text="Rounds before them (default 2).", metavar="N", min=0)
    ] = 2
    time_limit: Annotated[float | None, TIME_LIMIT] = None
    new_tokens: Annotated[
        int, option("--new-tokens", panel=_RUN, text="Decoding steps per run (default 8).", metavar="N", min=0)
    ] = 8
    seed: Annotated[
        int, option("--seed", panel=_RUN, text="Seed for weights and inputs (default 0).", metavar="N", min=0)
    ] = 0


@command
def bench(
    model: SizeOptions, load: LoadOptions, measured: RunOptions, output: OutputOptions, context: typer.Context
) -> None:
    """Time methods against full tokens at a model's true dimensions with random weights; nothing is downloaded.

    A method that cannot reach its target is named below the tables. The exit code is 1 if none that was asked for could
    be measured.

    [bold]Examples[/bold]

    seats bench --model qwen2.5-omni-7b --keep 35% --keep 10% --stock

    seats bench --model qwen2.5-omni-7b --frames 128 --size 854x480 --seconds 60

    seats bench --model small --tokens 1200 --json > bench.json
    """
    if load.frames is not None and load.tokens is not None:
        raise WrongUsage("--tokens gives the encoders' outputs and --frames runs the encoders: choose one of them")
    if load.frames is None:
        for name, said in (("--size", load.size), ("--seconds", load.seconds), ("--text-tokens", load.text_tokens)):
            if said is not None:
                raise WrongUsage(f"{name} is of a clip that goes through the encoders: give --frames as well")
    out = Output(output)
    out.say_without_effect(context, measured.method or [])
    with out.working("starting"):
        with lasting_imports():
            from seats.bench.bench import bench as run_bench
            from seats.bench.build import dtype_for, weight_bytes
            from seats.bench.measure import beside_full
            from seats.models.omni import device_named
            from seats.models.presets import find_preset

        device = device_named(model.device)
        preset = find_preset(model.model) if model.model else _default_preset(device, out)
        dtype = dtype_for(preset, model.dtype)
        check_methods(measured.methods)
        fit_threads_to(weight_bytes(preset, dtype))
        document = run_bench(
            preset,
            _load(load, preset),
            beside_full(measured.settings, stock=measured.stock),
            device=device,
            dtype=dtype,
            rounds=measured.rounds,
            warmups=measured.warmups,
            new_tokens=measured.new_tokens,
            kv=measured.kv,  # type: ignore[arg-type]
            seed=measured.seed,
            limit_s=measured.time_limit or math.inf,
            announce=telling(out),
        )
    show(document, _title(document), out)


def _default_preset(device: Any, out: Output) -> Preset:
    import torch

    from seats.bench.build import weight_bytes
    from seats.costs.memory import available_bytes
    from seats.models.presets import PRESETS

    large = PRESETS["qwen2.5-omni-7b"]
    # Full tokens take a few GiB beside the weights.
    fits = device.type == "cuda" and 1.3 * weight_bytes(large, torch.bfloat16) < available_bytes(device)
    chosen = large if fits else PRESETS["small"]
    out.say(f"dimensions of {chosen.name}: {'it fits into' if fits else 'the 7B is not for'} {device}; see --model")
    return chosen


def _load(options: LoadOptions, preset: Preset) -> Load:
    from seats.bench.workload import AUDIO, TEXT, VIDEO, media_load, token_load

    if options.frames is not None:
        seconds = options.seconds if options.seconds is not None else max(1.0, options.frames / 2)
        size = options.size or Size(854, 480)
        return media_load(preset, options.frames, size.width, size.height, seconds, options.text_tokens or TEXT)
    if options.tokens is not None:
        tokens = options.tokens
        return token_load(preset, tokens.video, tokens.audio, tokens.text)
    return token_load(preset, VIDEO // 10, AUDIO // 10, TEXT) if preset.small else token_load(preset)


def _title(document: dict[str, Any]) -> str:
    load, machine = document["workload"], document["machine"]
    tokens = f"{load['video']:,} video + {load['audio']:,} audio + {load['text']:,} text tokens"
    rate = f"{(machine['matmul_flops_per_s'] or 0) / 1e12:.3g} TFLOP/s measured"
    parts = [document["model"]["name"], machine["dtype"], f"{machine['name']}, {rate}", tokens, *kept(load["keep"])]
    return " · ".join(parts)
