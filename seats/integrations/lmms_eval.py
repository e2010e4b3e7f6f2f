"""`lmms-eval --model seats`: lmms-eval's tasks through this package's own pipeline, from the file to the answer.

Written against lmms-eval 0.7.3. A document's media is one file with pictures, sound or both; a clip that several
questions are about is decoded and encoded once, and the next one is decoded meanwhile.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from lmms_eval.api.model import lmms
from loguru import logger
from tqdm import tqdm

from seats.batch.rows import ERROR, OK, to_line
from seats.costs.memory import reset_peak_device_bytes
from seats.costs.timers import StepTimer
from seats.devices import is_lost
from seats.errors import MediaError, SeatsError, SettingsError
from seats.inference.answer import Answer, Question, answer_encoded
from seats.inference.encode import encode_clip
from seats.inference.generate import Decoding
from seats.inference.report import answer_json
from seats.integrations.results_file import check_results, own_file
from seats.media import Clip, load_clip
from seats.methods import method_class
from seats.models.checkpoint import BUILT_IN, find_checkpoint
from seats.models.omni import DTYPES, device_named, load_model, model_shape
from seats.models.quantization import quantization
from seats.models.sampling import frame_sampling
from seats.shortage import lacks_memory, without_frames
from seats.text import error_line, printable

_IGNORED = ("do_sample", "max_new_tokens", "temperature", "until", "image_aspect_ratio")
"""Generation settings that are read elsewhere here, or have no meaning for clips."""
_UNSAID = "\n\n"
"""What lmms-eval has end the answers of tasks that name no end. Its own Qwen models don't end there either: a blank
line may stand between the words that lead up to an answer and the answer."""


class Seats(lmms):
    """A Qwen-Omni model or seats-nano under a token-selection method; see `__init__` for `--model_args`."""

    is_simple = True

    def __init__(
        self,
        pretrained: str = BUILT_IN,
        method: str = "seats",
        keep: float | str = 10,
        keep_video: float | str | None = None,
        keep_audio: float | str | None = None,
        kv: str = "keep",
        fps: float | None = None,
        max_frames: int | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        total_pixels: int | None = None,
        no_audio: bool = False,
        no_video: bool = False,
        system_prompt: str | None = None,
        seed: int = 0,
        device: str | None = None,
        dtype: str = "auto",
        quantize: str | None = None,
        revision: str | int | None = None,
        results: str | None = None,
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
        **unknown: Any,
    ) -> None:
        """Load the model, once all arguments are known to be right. They mean what the options of `seats ask` mean.

        keep, keep_video, keep_audio: percent. min_pixels, max_pixels: of a frame; total_pixels: of all frames, two
        counted as one. system_prompt: a text, or a file that holds it. device: "auto" if None; one GPU each under
        `accelerate launch`. results: a new JSONL file for a row per answer, which `seats report` reads.
        Raises SeatsError for what cannot work, an unknown argument among it.
        """
        super().__init__()
        if unknown:
            names = ", ".join(sorted(unknown))
            raise SettingsError(f"--model seats has no argument {names}: choose among {', '.join(_arguments())}")
        if str(batch_size) != "1" or max_batch_size not in (None, 1):
            raise SettingsError(f"--model seats answers one question at a time: --batch_size 1, not {batch_size}")
        self.results = None if results is None else Path(str(results))  # lmms-eval makes a number of a name like 2024
        self.begun = False
        if self.results is not None:
            check_results(self.results)
        self.question = Question(
            text="",
            method=method,
            keep=_percent("keep", keep),
            keep_video=None if keep_video is None else _percent("keep_video", keep_video) / 100,
            keep_audio=None if keep_audio is None else _percent("keep_audio", keep_audio) / 100,
            kv=_one_of("kv", kv, "keep", "drop"),
            system=None if system_prompt is None else self._resolve_system_prompt(str(system_prompt)),
            decoding=Decoding(seed=seed),
        )
        self.use: dict[str, Any] = {
            "use_audio": not _flag("no_audio", no_audio),
            "use_video": not _flag("no_video", no_video),
        }
        if not any(self.use.values()):
            raise SettingsError("no_audio and no_video leave nothing to ask about: leave one of them out")
        method_class(method)
        _one_of("dtype", dtype, "auto", *DTYPES)
        device = _own_device("auto" if device is None else str(device))
        where = device_named(device)
        if quantize is not None:
            quantization(quantize, where, torch.bfloat16)
        # All above was looked at before weights are fetched; what follows depends on the model, but not on its weights.
        checkpoint = find_checkpoint(str(pretrained), revision=None if revision is None else str(revision))
        self.sampling = frame_sampling(checkpoint).changed(
            fps=fps, max_frames=max_frames, min_pixels=min_pixels, max_pixels=max_pixels, total_pixels=total_pixels
        )
        self.wants = self.question.method_for(model_shape(checkpoint)).wants
        self.model = load_model(checkpoint, device=device, dtype=dtype, quantize=quantize, announce=logger.warning)

    @property
    def device(self) -> torch.device:
        return self.model.thinker.device

    @property
    def batch_size(self) -> int:
        return 1

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answers in the order of the requests. A clip that fails is logged and answered with nothing, of which each
        task makes what it will; raises what the first one raised if all of them fail."""
        by_clip: dict[Path, list[int]] = {}
        for place, request in enumerate(requests):
            # A process with fewer questions than another gets one of its own again, whose answer is thrown away.
            if not request.metadata.get("__padding_only__"):
                by_clip.setdefault(self._clip_of(request.args), []).append(place)
        asked_in_all = sum(map(len, by_clip.values()))
        answers = [""] * len(requests)
        failures: list[Exception] = []
        with ExitStack() as stack:
            bar = stack.enter_context(tqdm(total=asked_in_all, disable=self.rank != 0, desc="seats"))
            own = None if self.results is None else own_file(self.results, self.rank, self.world_size)
            file = None if own is None else stack.enter_context(own.open("ab" if self.begun else "xb"))
            self.begun = True
            for path, loading in self._clips(list(by_clip)):
                places = by_clip[path]
                asked = [requests[place].args for place in places]
                for place, (args, said) in zip(places, self._answers(loading, asked), strict=True):
                    context, generation, _, document, task, _ = args
                    if isinstance(said, Answer):
                        answers[place] = _until(said.text, generation.get("until"))
                    else:
                        failures.append(said)
                        logger.error(f"{task} {document}: {error_line(said)}")
                    self.cache_hook.add_partial("generate_until", (context, generation), answers[place])
                    if file is not None:
                        file.write(to_line(_row(f"{task}/{document}", path, context, said)))
                        file.flush()
                    bar.update()
        if failures:
            logger.error(f"{len(failures)} of {asked_in_all} questions failed and are scored as answered with nothing")
            if len(failures) == asked_in_all:
                raise failures[0]
        return answers

    def loglikelihood(self, requests: Sequence[Any]) -> NoReturn:
        raise NotImplementedError("--model seats has no loglikelihood: choose tasks that generate answers")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> NoReturn:
        raise NotImplementedError("--model seats answers one question at a time: choose tasks of a single round")

    def _clip_of(self, args: tuple) -> Path:
        """The one file that a request's document is about. Raises MediaError."""
        _, _, to_visual, document, task, split = args
        found = to_visual(self.task_dict[task][split][document])
        media = list(found) if isinstance(found, (list, tuple)) else [found]
        if not media:
            raise MediaError(f"{task} {document} has no clip: download the task's videos first")
        if len(media) > 1 or not isinstance(media[0], (str, os.PathLike)):
            kinds = ", ".join(type(one).__name__ for one in media[:4])
            raise MediaError(f"{task} {document} has {len(media)} media ({kinds}); seats answers about one media file")
        return Path(media[0])

    def _clips(self, paths: Sequence[Path]) -> Iterator[tuple[Path, Future]]:
        """Each clip with what it is loaded into; the next one is read while this one is answered about."""
        if not paths:
            return
        with ThreadPoolExecutor(1, "seats-decode") as reader:
            coming = reader.submit(self._load, paths[0])
            for path, following in zip(paths, [*paths[1:], None], strict=True):
                loading = coming
                if following is not None:
                    coming = reader.submit(self._load, following)
                yield path, loading

    def _load(self, path: Path) -> tuple[Clip, float]:
        """A clip and the milliseconds it took to decode."""
        began = time.perf_counter()
        clip = load_clip(path, sampling=self.sampling, **self.use)
        return clip, 1e3 * (time.perf_counter() - began)

    def _answers(self, loading: Future, asked: Sequence[tuple]) -> Iterator[tuple[tuple, Answer | Exception]]:
        """Each request's arguments with its answer, or with what went wrong."""
        timer = StepTimer(self.device)
        reset_peak_device_bytes(self.device)
        try:
            clip, decode_ms = loading.result()
            encoded = encode_clip(self.model, clip, [self.wants], timer)
        except Exception as error:
            failed = _judged(error, self.device)
            yield from ((args, failed) for args in asked)
            return
        for args in asked:
            question = replace(self.question, text=args[0], decoding=self._decoding(args[1]))
            said: Answer | Exception
            try:
                said = answer_encoded(self.model, encoded, question, timer, decode_ms=decode_ms)
            except Exception as error:
                said = _judged(error, self.device)
            yield args, said
            timer, decode_ms = StepTimer(self.device), None

    def _decoding(self, generation: Mapping[str, Any]) -> Decoding:
        """A task's generation settings. Raises SettingsError for one that would change answers and isn't supported."""
        decoding = replace(self.question.decoding, temperature=float(generation.get("temperature") or 0))
        for name, value in generation.items():
            plain = value in (None, 1) or (name == "top_p" and not decoding.temperature)
            if name not in _IGNORED and not plain:
                raise SettingsError(f"the task asks for {name}={value!r}, which --model seats does not do")
        return replace(decoding, max_new_tokens=generation.get("max_new_tokens") or decoding.max_new_tokens)


def _judged(error: Exception, device: torch.device) -> Exception:
    """The error as it can be kept to the end of the run; raises it where the device will answer nothing more."""
    if is_lost(error):
        raise error
    if not isinstance(error, SeatsError):
        logger.debug("".join(traceback.format_exception(error)))
    without_frames(error)
    if lacks_memory(error) and device.type == "cuda":
        torch.cuda.empty_cache()
    return error


def _row(name: str, path: Path, question: str, said: Answer | Exception) -> dict[str, Any]:
    """A line of the results file, as `seats batch` writes them."""
    if isinstance(said, Answer):
        return {"id": name, "status": OK, **answer_json(said)}
    error = {"type": type(said).__name__, "message": error_line(said)}
    return {"id": name, "clip": printable(str(path)), "question": question, "status": ERROR, "error": error}


def _until(text: str, until: str | Sequence[str] | None) -> str:
    """The answer up to the first of the strings that end it."""
    ends = [until] if isinstance(until, str) else until or ()
    return min((text.split(end)[0] for end in ends if end not in ("", _UNSAID)), key=len, default=text)


def _own_device(device: str) -> str:
    """The device of this process: under `accelerate launch`, its GPU among those of the machine."""
    if device in ("auto", "cuda") and int(os.environ.get("WORLD_SIZE", 1)) > 1 and torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    return device


def _percent(name: str, value: float | str) -> float:
    try:
        percent = float(str(value).removesuffix("%"))
    except ValueError:
        raise SettingsError(f"{name}={value} is not a percentage: write {name}=10") from None
    if not 0 < percent <= 100 or (percent < 1 and not str(value).endswith("%")):
        raise SettingsError(f"{name}={value} is out of range: percent, from 1 to 100 (below 1 with the sign, 0.5%)")
    return percent


def _one_of(name: str, value: str, *choices: str) -> Any:
    if value not in choices:
        raise SettingsError(f"{name}={value} is unknown: choose {' or '.join(choices)}")
    return value


def _flag(name: str, value: Any) -> bool:
    return _one_of(name, str(value), "True", "False") == "True"


def _arguments() -> list[str]:
    from inspect import Parameter, signature

    found = signature(Seats).parameters.values()
    return [one.name for one in found if one.kind is not Parameter.VAR_KEYWORD and "batch_size" not in one.name]
