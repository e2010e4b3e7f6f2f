"""From options to a loaded model and a decoded clip, as fast as the machine allows.

What can be wrong is looked at in the order of what it costs to find out: options and paths, the clip's header, and
only then seconds of imports and the weights.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seats.errors import MediaError, ModelError
from seats.files import exists, missing_told
from seats.host import cpu_quota, usable_cpus
from seats.imports import lasting_imports
from seats.units import milliseconds, size
from seats_cli.options import ClipOptions, ModelOptions
from seats_cli.output import Output
from seats_cli.text import LONG_PATH, short
from seats_cli.usage import WrongUsage

if TYPE_CHECKING:
    from seats.media import Clip, FrameSampling, ReadingClip
    from seats.media.reading import Arriving
    from seats.methods import ModelShape
    from seats.models.checkpoint import Checkpoint
    from seats.models.omni import OmniModel


_LARGE = 2**30
"""From so many bytes of weights on, they are read from the disk during the imports, and the clip decodes while they
load. For less it doesn't pay: on two cores, decoding beside the imports took three to ten times as long as alone (both
want the interpreter's lock) and the whole was no faster, while the report would have called that the time to read the
clip."""

TINY = 2**26
"""Bytes of weights below which a model runs on one thread (`fit_threads_to`)."""


@dataclass(frozen=True)
class Started:
    """reading: the clip, which may be not all there yet. read: begins to read it again. startup_ms: imports, downloads
    and weights, without waiting for the clip."""

    model: OmniModel
    reading: ReadingClip
    read: Callable[[], ReadingClip]
    startup_ms: float

    @property
    def clip(self) -> Clip:
        """The whole clip, waited for. Raises MediaError or SettingsError."""
        return self.reading.result()

    @property
    def decode_ms(self) -> float:
        """Time the whole clip took."""
        self.reading.result()
        return 1e3 * self.reading.seconds


def start(
    path: Path,
    clip_options: ClipOptions,
    model_options: ModelOptions,
    output: Output,
    check: Callable[[ModelShape], object],
    fit: Callable[[Checkpoint, ClipOptions], ClipOptions] | None = None,
    whole: bool = True,
    question: str | None = None,
    limit: int | None = None,
) -> Started:
    """Decode a clip and load a model. Raises SeatsError, or click's UsageError.

    check: looks at what else was asked for, given the model, and raises before anything is decoded or loaded.
    fit: lowers frames and pixels to what the memory allows (`seats_cli.planning.fitting`). whole: wait for the whole
    clip also where the model could take its frames as they come. question: as for `check_clip`. limit: as for
    `checkpoint_for`.
    """
    began = time.perf_counter()
    check_clip(path, clip_options, question)
    check_header(path, clip_options)
    checkpoint = checkpoint_for(model_options, output, limit)
    with output.working("starting"):
        if fit is not None:
            clip_options = fit(checkpoint, clip_options)
        import_code(checkpoint)
        with lasting_imports():
            from seats.inference.encode import encodes_beside_reading
            from seats.media import ReadingClip
            from seats.models.omni import load_model, model_shape
            from seats.models.weight_files import thinker_bytes
        check(model_shape(checkpoint))
        imported = time.perf_counter()
        output.now("reading the clip")

        def read() -> ReadingClip:
            return ReadingClip(lambda arriving: decode(path, clip_options, checkpoint, arriving))

        reading, weight_bytes = read(), thinker_bytes(checkpoint)
        if weight_bytes < _LARGE:
            reading.result()
        decoded = time.perf_counter()
        fit_threads_to(weight_bytes)
        output.now("loading the model")
        model = load_model(
            checkpoint,
            device=model_options.device,
            dtype=model_options.dtype,
            quantize=model_options.quantize,
            announce=output.say,
        )
        loaded = time.perf_counter()
        if whole or not encodes_beside_reading(model.thinker.device):
            reading.result()
    done = time.perf_counter()
    waited = (decoded - imported) + (done - loaded)
    startup_ms = 1e3 * (done - began - waited)
    output.detail(
        f"start-up {milliseconds(startup_ms)}: imports {milliseconds(1e3 * (imported - began))}, "
        f"weights {milliseconds(1e3 * (loaded - decoded))}"
    )
    return Started(model, reading, read, startup_ms)


def import_code(checkpoint: Checkpoint) -> None:
    """Import torch, transformers and the model's code, in less time, while weights are read from the disk.

    Raises ModelError.
    """
    from seats.models.weight_files import read_ahead

    read_ahead(checkpoint, least=_LARGE)
    with lasting_imports():
        import seats.inference.encode  # noqa: F401  (first, as after the model's code it takes 0.1 s longer)
        from seats.models.omni import import_model_code

        import_model_code(checkpoint)


def fit_threads(checkpoint: Checkpoint) -> None:
    """`fit_threads_to` of the weights on disk."""
    from seats.models.weight_files import thinker_bytes

    fit_threads_to(thinker_bytes(checkpoint))


def fit_threads_to(weight_bytes: int) -> None:
    """Run a very small model on one thread, and others on no more than a container has CPUs' time for, which torch does
    not look at; unless the user has said how many in OMP_NUM_THREADS.

    A very small one's layers are so short that threads wait for each other: on two cores with other work on them, the
    built-in model answered in 0.11 s on one thread and in 3.2 s on two.
    """
    import torch

    if "OMP_NUM_THREADS" in os.environ:
        return
    if weight_bytes < TINY:
        torch.set_num_threads(1)
    elif cpu_quota() is not None:
        torch.set_num_threads(min(torch.get_num_threads(), usable_cpus()))


def check_part(options: ClipOptions) -> None:
    """What can be said of the options alone. Raises WrongUsage."""
    if options.no_video and options.no_audio:
        raise WrongUsage("--no-video and --no-audio together leave nothing to ask about: drop one of them")
    if options.end is not None and options.end <= (options.start or 0.0):
        raise WrongUsage(f"--end ({options.end:g} s) must be later than --start ({options.start or 0:g} s)")


def check_clip(path: Path, options: ClipOptions, question: str | None = None) -> None:
    """What can be said of a clip and its part without opening it. question: as typed, for one in the clip's place."""
    check_part(options)
    if question and os.path.isfile(question) and not os.path.exists(path):
        raise MediaError(
            f"{short(path)!r} is no file, but {short(question, LONG_PATH)} is: the clip comes first, then the question"
        )
    if not path.parts:  # "" and "." are the same to pathlib
        raise MediaError("the clip's name is empty, or means this folder: give a video or sound file")
    try:
        missing = not exists(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise MediaError(f"{short(path, LONG_PATH)!r} is not a usable path: {why}") from None
    if missing and str(path) == "-":
        raise MediaError("standard input is not read; save the clip to a file and give that")
    if missing:
        raise MediaError(missing_told(path))


def check_header(path: Path, options: ClipOptions) -> None:
    """What a clip's header says against it: not media, nothing wanted in it, too short. Raises MediaError."""
    from seats.media import probe
    from seats.media.load import check_start

    info = probe(path, timeout_s=options.timeout)
    check_start(path, options.start or 0.0, info.duration_s)
    if options.no_audio and info.video is None:
        raise MediaError(f"{path}: has no pictures, and --no-audio leaves out its sound; ask without --no-audio")
    if options.no_video and info.audio is None:
        raise MediaError(f"{path}: has no sound, and --no-video leaves out its pictures; ask without --no-video")


def checkpoint_for(options: ModelOptions, output: Output, limit: int | None) -> Checkpoint:
    """The checkpoint to run, fetched if need be. Says what is chosen where the user did not, and what is fetched.

    limit: bytes that `--max-vram` allows, which a model chosen here must leave room in; None for all there are.
    """
    from seats.models.checkpoint import find_checkpoint, is_hub_id

    name = options.model
    if options.quantize is not None:
        _check_quantize(options.device)
    if name is None:
        if options.revision is not None:
            raise WrongUsage("--revision needs --model: it names a version of a hub id")
        from seats_cli.choose import choose_model

        choice = choose_model(options.device, options.offline, limit)
        output.say(choice.line)
        name = choice.model
    if options.revision is not None and not is_hub_id(name):
        raise WrongUsage(f"--revision names a version of a hub id, and {name} is none: leave it out")
    _announce_fetch(name, options, output)
    checkpoint = find_checkpoint(name, offline=options.offline, revision=options.revision)
    _check_complete(checkpoint)
    return checkpoint


def _check_quantize(device: str) -> None:
    """Before gigabytes are fetched for nothing. Raises WrongUsage where --quantize lacks a GPU, SettingsError where it
    lacks a library."""
    from seats.models.quantization import check_libraries
    from seats_cli.choose import free_gpu_bytes

    if free_gpu_bytes(device) is not None:
        check_libraries()
    elif not device.startswith("cuda"):  # which loading says is not there
        why = "there is none here" if device == "auto" else f"--device {device} is none"
        raise WrongUsage(f"--quantize works on a CUDA GPU, and {why}: leave it out")


def _announce_fetch(name: str, options: ModelOptions, output: Output) -> None:
    from seats.models.checkpoint import is_hub_id
    from seats.models.hub import fetch_plan

    if options.offline or not is_hub_id(name):
        return
    plan = fetch_plan(name, revision=options.revision)
    if plan is None or not plan.missing_bytes:
        return
    if plan.missing_bytes > plan.free_bytes:
        raise ModelError(
            f"{name} needs {size(plan.missing_bytes)} in {plan.folder}, where {size(plan.free_bytes)} are free: "
            "make room, set HF_HOME to a larger disk, or choose a smaller --model"
        )
    output.say(f"fetching {name}: {size(plan.missing_bytes)} into {plan.folder}")


def _check_complete(checkpoint: Checkpoint) -> None:
    """Raises ModelError for a folder without weights, or with settings that cannot be, before seconds of imports."""
    from seats.plan.model import of_checkpoint

    if checkpoint.config:
        checkpoint.weight_files  # noqa: B018  (raises)
    of_checkpoint(checkpoint)


def with_options(sampling: FrameSampling, options: ClipOptions) -> FrameSampling:
    """A frame and size rule with what the options say instead."""
    return sampling.changed(fps=options.fps, max_frames=options.max_frames, max_pixels=options.max_pixels)


def load(path: Path, options: ClipOptions, rule: FrameSampling, arriving: Arriving | None = None) -> Clip:
    """The clip by a model's frame and size rule with what the options say. Raises MediaError or SettingsError."""
    from seats.media import load_clip

    return load_clip(
        path,
        start_s=options.start,
        end_s=options.end,
        sampling=with_options(rule, options),
        use_video=not options.no_video,
        use_audio=not options.no_audio,
        timeout_s=options.timeout,
        arriving=arriving,
    )


def decode(path: Path, options: ClipOptions, checkpoint: Checkpoint, arriving: Arriving | None = None) -> Clip:
    """The clip as the checkpoint's model wants it. Raises MediaError or SettingsError."""
    from seats.models.sampling import frame_sampling

    return load(path, options, frame_sampling(checkpoint), arriving)
