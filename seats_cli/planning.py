"""From options to a plan: which model, which device, which memory. Imports neither torch nor transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seats.errors import MediaError, OutOfMemoryError, SettingsError
from seats.imports import lasting_imports
from seats.units import size
from seats_cli.options import AnswerOptions, ClipOptions, ModelOptions, SelectionOptions, option, share
from seats_cli.usage import WrongUsage

if TYPE_CHECKING:
    from seats.evaluation.qa import QAItem
    from seats.keep import Setting
    from seats.models.checkpoint import Checkpoint
    from seats.plan.clip import ClipFacts
    from seats.plan.document import Room
    from seats.plan.gpu import PresentGpu
    from seats.plan.model import PlannedModel
    from seats.plan.plan import Ask, Plan
    from seats_cli.output import Output


def parse_memory(value: Any) -> int:
    """Bytes of "24G" or "800M"."""
    from seats.costs.memory import parse_size

    try:
        return parse_size(str(value))
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from None


def _max_vram(text: str) -> Any:
    """--max-vram."""
    return option("--max-vram", panel="Model", text=text, metavar="SIZE", parser=parse_memory)


@dataclass(frozen=True)
class FitOptions:
    """How much memory a run may take."""

    max_vram: Annotated[
        int | None,
        _max_vram(
            "Memory to stay within, such as 24G: pixels, then frames are lowered until it fits, and standard error "
            "says to what."
        ),
    ] = None


@dataclass(frozen=True)
class RoomOptions:
    """How much memory a plan is made for."""

    max_vram: Annotated[
        int | None,
        _max_vram(
            "Memory to fit into, such as 24G (default: what is free here). Where it is too little, the nearest "
            "settings that fit are named."
        ),
    ] = None


@dataclass(frozen=True)
class Place:
    """Where a plan would run. device: "cpu", "cuda" or "mps"; gpu: the one it is, if it is here."""

    device: str
    gpu: PresentGpu | None

    def room(self, limit: int | None) -> Room:
        """The memory there is, or the limit. Raises SeatsError where that cannot be told."""
        from seats.costs.memory import available_bytes
        from seats.plan.document import Room

        if limit is not None:
            return Room(limit, "--max-vram")
        if self.gpu is not None:
            return Room(self.gpu.free_bytes, f"free on {self.gpu.name}")
        return Room(available_bytes("cpu"), "memory free here")


def place_for(device: str, limit: int | None, model: str | None) -> Place:
    """The device that `--device` stands for, without asking torch.

    With a limit and a model for a GPU, a plan for a GPU can be made where there is none. Raises WrongUsage.
    """
    from seats.plan.gpu import present_gpus

    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (index and not (index.isascii() and index.isdecimal())):
        raise WrongUsage(f"unknown device {device!r}: choose auto, cpu, cuda, cuda:N or mps")
    if kind in ("cpu", "mps"):
        return Place(kind, None)
    gpus = present_gpus()
    if gpus:
        place = int(index or 0)
        if place >= len(gpus):
            raise WrongUsage(f"device {device!r} asked for, but there are {len(gpus)} GPUs")
        return Place("cuda", gpus[place])
    if kind == "cuda" and limit is None:
        raise WrongUsage("no NVIDIA GPU here: say how much memory it would have with --max-vram 24G")
    from seats.models.checkpoint import BUILT_IN

    pretended = kind == "cuda" or (limit is not None and model not in (None, BUILT_IN))
    return Place("cuda" if pretended else "cpu", None)


def model_for(options: ModelOptions, place: Place, limit: int | None) -> tuple[PlannedModel, str | None]:
    """The model to plan for, and a line about the choice where the user made none."""
    from seats.models.checkpoint import BUILT_IN
    from seats.plan.model import planned_model
    from seats_cli.choose import CHOICES, ONLY_KNOWS

    if options.model is not None:
        return planned_model(options.model, revision=options.revision), None
    if options.revision is not None:
        raise WrongUsage("--revision needs --model: it names a version of a hub id")
    if place.device == "cuda":
        memory = place.room(limit).limit_bytes
        wanted = next((name for needed, name in CHOICES if memory >= needed), None)
        if wanted:
            return planned_model(wanted), f"model: {wanted} (for {size(memory)}; choose another with --model)"
        why = f"{size(memory)} are too few for Qwen2.5-Omni"
    else:
        why = "no CUDA GPU here" if options.device == "auto" else f"--device {options.device}"
    return planned_model(BUILT_IN), f"model: {BUILT_IN} ({why}; choose another with --model); {ONLY_KNOWS}"


def ask_for(
    model: PlannedModel,
    place: Place,
    question: str | None,
    options: ModelOptions,
    selection: SelectionOptions,
    part: ClipOptions,
    answering: AnswerOptions,
) -> Ask:
    """What the options ask. Raises WrongUsage."""
    from seats.models.checkpoint import BUILT_IN
    from seats.plan.plan import Ask
    from seats.plan.prompt import QUESTION
    from seats.plan.weights import dtype_bytes

    if options.quantize is not None and place.device != "cuda":
        if options.device == "auto" and options.model not in (None, BUILT_IN):  # which a limit makes a plan for a GPU
            raise WrongUsage(
                "--quantize works on a CUDA GPU, and none is here: give the memory of the one that is meant, such as "
                "--max-vram 24G"
            )
        raise WrongUsage(f"--quantize works on a CUDA GPU, not on {place.device}: leave it out")

    return Ask(
        question=question or QUESTION,
        system=answering.system,
        method=selection.method,
        keep=selection.keep,
        keep_video=share(selection.keep_video),
        keep_audio=share(selection.keep_audio),
        kv=selection.kv,
        answer_tokens=answering.max_new_tokens,
        device=place.device,
        dtype_bytes=dtype_bytes(model, place.device, options.dtype),
        quantize=options.quantize,
        fps=part.fps,
        max_frames=part.max_frames,
        max_pixels=part.max_pixels,
        start_s=part.start,
        end_s=part.end,
        compare=selection.compare,
    )


def clip_for(path: Path, part: ClipOptions) -> ClipFacts:
    """The clip's header, without the streams that are not to be used. Raises MediaError."""
    from seats.plan.clip import clip_facts

    return clip_facts(path, use_video=not part.no_video, use_audio=not part.no_audio, timeout_s=part.timeout)


class Fit:
    """`--max-vram`: lowers the frames and pixels of a clip until every question and method fits, and says so.

    limit: bytes. Where a method was added by another package, full tokens are planned for it. lowered: after a call,
    how finely the clip is read, as rows of a batch say it; None where nothing had to be lowered.
    """

    def __init__(
        self,
        path: Path,
        limit: int,
        questions: Sequence[str],
        selections: Sequence[SelectionOptions],
        options: ModelOptions,
        answering: AnswerOptions,
        say: Callable[[str], None],
    ) -> None:
        self.path, self.limit, self.questions, self.selections = path, limit, questions, selections
        self.options, self.answering, self.say = options, answering, say
        self.lowered: dict[str, int] | None = None

    def __call__(self, checkpoint: Checkpoint, part: ClipOptions) -> ClipOptions:
        """The part of the clip as it is to be read. Raises OutOfMemoryError where nothing fits."""
        from seats.plan.model import of_checkpoint
        from seats.plan.search import fit

        self._model, self._place = of_checkpoint(checkpoint), _real_place(self.options.device)
        self._clip, self._part = clip_for(self.path, part), part
        asks = [self._ask(text, each) for text in self.questions for each in self.selections]
        chosen, plans = fit(self._model, self._clip, asks, self.limit)
        sampling = chosen.sampling(self._model.sampling)
        if sampling != asks[0].sampling(self._model.sampling):
            self.lowered = {
                "limit_bytes": self.limit,
                "max_frames": sampling.max_frames,
                "max_pixels": sampling.max_pixels,
            }
        self.say(_chosen_line(chosen, plans, self.limit))
        self._part = replace(part, max_frames=chosen.max_frames, max_pixels=chosen.max_pixels)
        return self._part

    def check(self, question: str, selection: SelectionOptions) -> None:
        """Raises OutOfMemoryError for a further question that the clip, as it has been read, leaves no room for."""
        from seats.plan.plan import make_plan
        from seats.plan.search import fits

        ask = self._ask(question, selection)
        made = make_plan(self._model, self._clip, ask)
        if fits(made, self.limit):
            return
        alone = ask.compare and fits(make_plan(self._model, self._clip, replace(ask, compare=False)), self.limit)
        instead = "leave --compare out" if alone else "lower /keep, choose another /method"
        raise OutOfMemoryError(
            f"with {ask.method}{' compared with full' if ask.compare else ''} this question takes about "
            f"{size(made.needed_bytes)}, more than --max-vram {size(self.limit)}: {instead}, or /reset the questions "
            "before it"
        )

    def _ask(self, question: str, selection: SelectionOptions) -> Ask:
        from seats.plan.limit import foreseeable

        planned = replace(selection, method=foreseeable(selection.method))
        return ask_for(self._model, self._place, question, self.options, planned, self._part, self.answering)


def fitting(
    path: Path,
    limit: int | None,
    questions: Sequence[str],
    selections: Sequence[SelectionOptions],
    options: ModelOptions,
    answering: AnswerOptions,
    output: Output,
) -> Fit | None:
    """What `start` fits a clip with. None without a limit."""
    return None if limit is None else Fit(path, limit, questions, selections, options, answering, output.say)


def fitted_parts(
    items: Sequence[QAItem],
    limit: int | None,
    checkpoint: Checkpoint,
    options: ModelOptions,
    part: ClipOptions,
    answering: AnswerOptions,
    output: Output,
    settings: Sequence[Setting],
) -> dict[Path, ClipOptions]:
    """For each clip of a question set, how it is read so that every question about it fits into a limit with
    `settings`; says how many clips that changes.

    Without a limit all are read as `part` says. A clip that cannot be read keeps its options: reading it will say why.
    Raises OutOfMemoryError where nothing fits.
    """
    questions: dict[Path, list[str]] = {}
    for item in items:
        questions.setdefault(item.clip, []).append(item.prompt)
    if limit is None:
        return dict.fromkeys(questions, part)
    from seats.plan.limit import longest

    selections = [SelectionOptions(setting.method, keep=setting.keep or 100.0) for setting in settings]
    parts: dict[Path, ClipOptions] = {}
    for path, asked in questions.items():
        text = longest(asked, checkpoint, answering.system)

        def say(line: str, path: Path = path) -> None:
            output.detail(f"{path.name}: {line}")

        try:
            parts[path] = Fit(path, limit, [text], selections, options, answering, say)(checkpoint, part)
        except OutOfMemoryError as error:
            raise OutOfMemoryError(f"{path.name}: {error}") from None
        except MediaError:
            parts[path] = part
    changed = len(lowered(parts, part))
    output.say(
        f"--max-vram {size(limit)}: {changed} of {len(parts)} clips are read with fewer frames or pixels, alike for "
        "all that is compared; the accuracy is that of clips so read"
    )
    return parts


def lowered(parts: Mapping[Path, ClipOptions], part: ClipOptions) -> dict[Path, dict[str, int]]:
    """Frames and pixels of the clips that `fitted_parts` does not read as `part` says."""
    changed = {path: fitted for path, fitted in parts.items() if fitted != part}
    return {
        path: {
            name: value
            for name, value in (("max_frames", fitted.max_frames), ("max_pixels", fitted.max_pixels))
            if value is not None
        }
        for path, fitted in changed.items()
    }


def _real_place(device: str) -> Place:
    """Where a run will be. Torch, which alone knows of GPUs, is imported only where there can be one, as a refusal is
    not to wait seconds for it."""
    from seats.plan.gpu import gpu_driver_here

    if device == "cpu" or (device == "auto" and not gpu_driver_here()):
        return Place("cpu", None)
    with lasting_imports():
        from seats.models.omni import device_named

    return Place(device_named(device).type, None)


def _chosen_line(chosen: Ask, plans: Sequence[Plan], limit: int) -> str:
    worst = max(plans, key=lambda plan: plan.needed_bytes)
    part, needed = worst.part, size(worst.needed_bytes)
    seen = f"{part.frames} frames of {part.width}x{part.height}" if part.frames else "the sound alone"
    said = [f"--max-pixels {chosen.max_pixels}"] if chosen.max_pixels is not None else []
    said += [f"--max-frames {chosen.max_frames}"] if chosen.max_frames is not None else []
    how = f" ({' '.join(said)})" if said else " (nothing had to be lowered)"
    return f"--max-vram {size(limit)}: {seen}{how}, about {needed} with the weights"
