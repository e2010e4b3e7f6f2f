"""Options that commands share, in groups. A command takes a group as one parameter; `command` makes options of it.

Parsers raise typer.BadParameter, which names what can be given.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from seats.errors import SettingsError
from seats.keep import METHODS, check_method
from seats_cli.text import short


def parse_text(value: Any) -> str:
    """Words all of whose bytes made characters."""
    words = str(value)
    try:
        words.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("the text is not UTF-8: check the terminal's character set") from None
    return words


def parse_question(value: Any) -> str:
    """Words that ask something."""
    words = parse_text(value)
    if not words.strip():
        raise typer.BadParameter("the question is empty: put it in quotes")
    return words


def parse_method(value: Any) -> str:
    """Name of a method."""
    try:
        check_method(str(value))
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from None
    return str(value)


def parse_percent(value: Any) -> float:
    """Percent in (0, 100] from "10%", "10" or "12.5 %". A number below 1 needs the sign, as it could mean a share."""
    text = str(value).strip()
    number = _number(text.removesuffix("%"))
    if number is None:
        raise typer.BadParameter(f"{short(text)!r} is not a percentage: write 10 or 10%")
    if not text.endswith("%") and 0 < number < 1:
        raise typer.BadParameter(f"{text} could mean {text}% or {100 * number:g}%: write the % sign")
    if not 0 < number <= 100:
        raise typer.BadParameter(f"{text} is out of range: choose more than 0% and at most 100%")
    return number


def parse_time(value: Any) -> float:
    """Seconds from "90", "90.5", "1:30" or "1:01:30.5"."""
    text = str(value).strip()
    parts = text.split(":")
    found = [_number(part) for part in parts]
    seconds = 0.0
    for place, number in enumerate(found):
        whole = place == len(found) - 1 or (number is not None and number.is_integer())
        if number is None or len(parts) > 3 or not whole or (place > 0 and number >= 60):
            raise typer.BadParameter(
                f"{short(text)!r} is not a time: write seconds (90), mm:ss (1:30) or h:mm:ss (1:02:30)"
            )
        seconds = 60 * seconds + number
    return seconds


def parse_pixels(value: Any) -> int:
    """Pixels from "200704", "448x448", or "448×448" as summaries have it."""
    text = str(value).strip()
    # So many digits fit any machine's numbers.
    found = re.fullmatch(r"(\d{1,18})(?:\s*[xX×]\s*(\d{1,18}))?", text)  # noqa: RUF001
    pixels = int(found[1]) * int(found[2] or 1) if found else 0
    if pixels < 1:
        raise typer.BadParameter(f"{short(text)!r} is not a size: write pixels (200704) or width x height (448x448)")
    return pixels


def _number(text: str) -> float | None:
    """A plain number at least 0: no sign, no exponent, no "nan"."""
    text = text.strip()
    number = float(text) if re.fullmatch(r"\d+(\.\d*)?|\.\d+", text) else None
    return None if number is None or math.isinf(number) else number  # 400 digits make it infinite


def parse_positive(value: Any) -> float:
    """A number above 0."""
    number = _number(str(value))
    if not number:
        raise typer.BadParameter(f"{short(value)!r} is not a number above 0, in digits such as 0.5")
    return number


def whole(least: int, most: int = 10**18 - 1) -> Any:
    """A parser of whole numbers from `least` to `most`, which by default is what fits any machine's numbers."""

    def parse(value: Any) -> int:
        text = str(value).strip()
        digits = re.fullmatch(r"\d+", text)
        if digits and (len(text.lstrip("0")) > 18 or int(text) > most):
            raise typer.BadParameter(f"{short(text)} is too large: {most} at most")
        if not digits or int(text) < least:
            raise typer.BadParameter(f"{short(text)!r} is not a whole number from {least} on")
        return int(text)

    return parse


def parse_temperature(value: Any) -> float:
    """0, or a number from 0.001 on."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if number and not 0.001 <= number < math.inf:
        raise typer.BadParameter(f"{short(value)!r} is neither 0 nor a number from 0.001 on")
    return number


def choice(*values: str) -> Any:
    """A parser that takes one of `values`."""

    def parse(value: Any) -> str:
        if str(value) not in values:
            raise typer.BadParameter(f"{str(value)!r} is unknown: choose {', '.join(values[:-1])} or {values[-1]}")
        return str(value)

    return parse


def option(*names: str, panel: str, text: str, **more: Any) -> Any:
    """A Typer option in one of the help's panels; its default is said in `text` where it isn't "none".

    min, max: the least and the most that a whole number can be.
    """
    if "min" in more:
        more["parser"] = whole(more.pop("min"), *([more.pop("max")] if "max" in more else []))
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=False, **more)


def flag(*names: str, panel: str, text: str) -> Any:
    """An option that takes no value."""
    return option(*names, panel=panel, text=text, metavar=" ")


def keep_of(kind: str, panel: str) -> Any:
    """--keep-video or --keep-audio."""
    text = f"Share of {kind} tokens alive, averaged over the layers; overrides --keep for {kind}."
    return option(f"--keep-{kind}", panel=panel, text=text, metavar="PERCENT", parser=parse_percent)


def system_in(panel: str) -> Any:
    """--system."""
    text = "System prompt, instead of the model's own."
    return option("--system", panel=panel, text=text, metavar="TEXT", parser=parse_text)


def share(percent: float | None) -> float | None:
    """The share that a percentage stands for."""
    return None if percent is None else percent / 100


CLIP: Any = typer.Argument(help="A video or sound file.", metavar="CLIP", show_default=False)
QUESTION: Any = typer.Argument(
    help="What to ask, in quotes.", metavar="QUESTION", show_default=False, parser=parse_question
)
METHODS_TEXT = ", ".join(
    {"seats": "seats (default)", "full": "full for all tokens"}.get(name, name) for name in METHODS
)
_MODEL, _TOKENS, _CLIP, _ANSWER, _OUTPUT = "Model", "Token selection", "Clip", "Answer", "Output"

Device = Annotated[
    str, option("--device", panel=_MODEL, text="auto (default), cpu, cuda, cuda:1 or mps.", metavar="DEVICE")
]
Dtype = Annotated[
    str,
    option(
        "--dtype",
        panel=_MODEL,
        text="auto (default), bfloat16, float16 or float32.",
        metavar="TYPE",
        parser=choice("auto", "bfloat16", "float16", "float32"),
    ),
]


@dataclass(frozen=True)
class ModelOptions:
    """Which model runs, and where."""

    model: Annotated[
        str | None,
        option(
            "--model",
            "-m",
            panel=_MODEL,
            text="Hub id, folder, or seats-nano. Not given: Qwen2.5-Omni 7B or 3B where a CUDA GPU has the memory, "
            "else seats-nano.",
            metavar="NAME",
        ),
    ] = None
    device: Device = "auto"
    dtype: Dtype = "auto"
    quantize: Annotated[
        str | None,
        option(
            "--quantize",
            panel=_MODEL,
            text="Weights in 4bit or 8bit (CUDA, needs seats\\[quant]).",
            metavar="BITS",
            parser=choice("4bit", "8bit"),
        ),
    ] = None
    offline: Annotated[bool, flag("--offline", panel=_MODEL, text="Use only models that are on disk.")] = False
    revision: Annotated[
        str | None, option("--revision", panel=_MODEL, text="Branch, tag or commit of a hub id.", metavar="REV")
    ] = None


@dataclass(frozen=True)
class TokenOptions:
    """Which tokens stay."""

    method: Annotated[
        str,
        option(
            "--method",
            panel=_TOKENS,
            text=f"{METHODS_TEXT}, or one that another package adds.",
            metavar="NAME",
            parser=parse_method,
        ),
    ] = "seats"
    keep: Annotated[
        float,
        option(
            "--keep",
            panel=_TOKENS,
            metavar="PERCENT",
            parser=parse_percent,
            text="Share of tokens alive, averaged over the layers: 10% (default), 15%, 25% and 35% are published "
            "settings, others are interpolated.",
        ),
    ] = 10.0
    keep_video: Annotated[float | None, keep_of("video", _TOKENS)] = None
    keep_audio: Annotated[float | None, keep_of("audio", _TOKENS)] = None
    kv: Annotated[
        str,
        option(
            "--kv",
            panel=_TOKENS,
            metavar="keep|drop",
            parser=choice("keep", "drop"),
            text="Whether early layers keep in their cache the tokens dropped later: keep (default) or drop, as the "
            "paper's code does.",
        ),
    ] = "keep"


@dataclass(frozen=True)
class SelectionOptions(TokenOptions):
    """Which tokens stay, and whether that is compared with all of them."""

    compare: Annotated[
        bool, flag("--compare", panel=_TOKENS, text="Also run full tokens and report the measured speed-up.")
    ] = False


@dataclass(frozen=True)
class ClipOptions:
    """Which part of a clip is used, and how finely."""

    start: Annotated[
        float | None,
        option(
            "--start", panel=_CLIP, text="Begin here: seconds, mm:ss or h:mm:ss.", metavar="TIME", parser=parse_time
        ),
    ] = None
    end: Annotated[
        float | None,
        option("--end", panel=_CLIP, text="End here: seconds, mm:ss or h:mm:ss.", metavar="TIME", parser=parse_time),
    ] = None
    fps: Annotated[
        float | None,
        option("--fps", panel=_CLIP, text="Frames a second (default 2).", metavar="RATE", parser=parse_positive),
    ] = None
    max_frames: Annotated[
        int | None,
        option(
            "--max-frames", panel=_CLIP, text="Maximum number of frames, at least 2 (default 768).", metavar="N", min=2
        ),
    ] = None
    max_pixels: Annotated[
        int | None,
        option(
            "--max-pixels",
            panel=_CLIP,
            text="Maximum pixels per frame, such as 200704 or 448x448 (default the model's own).",
            metavar="PIXELS",
            parser=parse_pixels,
        ),
    ] = None
    no_video: Annotated[bool, flag("--no-video", panel=_CLIP, text="Use the sound only.")] = False
    no_audio: Annotated[bool, flag("--no-audio", panel=_CLIP, text="Use the pictures only.")] = False
    timeout: Annotated[
        float | None,
        option(
            "--timeout",
            panel=_CLIP,
            text="Give up reading the clip after so many seconds.",
            metavar="SECONDS",
            parser=parse_positive,
        ),
    ] = None


@dataclass(frozen=True)
class AnswerOptions:
    """How the answer is made."""

    system: Annotated[str | None, system_in(_ANSWER)] = None
    max_new_tokens: Annotated[
        int,
        option("--max-new-tokens", panel=_ANSWER, text="Longest answer, tokens (default 256).", metavar="N", min=1),
    ] = 256
    temperature: Annotated[
        float,
        option(
            "--temperature",
            panel=_ANSWER,
            metavar="T",
            parser=parse_temperature,
            text="0 (default) takes the most likely token; from 0.001 on, tokens are drawn.",
        ),
    ] = 0.0
    seed: Annotated[
        int, option("--seed", panel=_ANSWER, text="Seed for all random choices (default 0).", metavar="N", min=0)
    ] = 0


@dataclass(frozen=True)
class OutputOptions:
    """What is printed."""

    json: Annotated[bool, flag("--json", panel=_OUTPUT, text="One JSON document on standard output.")] = False
    quiet: Annotated[bool, flag("--quiet", "-q", panel=_OUTPUT, text="Only the answer or the result.")] = False
    verbose: Annotated[bool, flag("--verbose", "-v", panel=_OUTPUT, text="More detail on standard error.")] = False
    debug: Annotated[bool, flag("--debug", panel=_OUTPUT, text="Show the traceback of an error.")] = False
