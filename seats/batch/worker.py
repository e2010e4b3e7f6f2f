"""The worker: a loaded model, and the processes that decode the next clips while it answers about this one.

Every engine runs this class, in whatever process it has made for it, and calls `run` from as many threads as `slots`
says: all of them decode or wait with a decoded clip in hand, while one thread runs the model.
"""

from __future__ import annotations

import queue
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from seats.allocator import keep_freed_memory
from seats.batch.decoding import Decoded, Decoder
from seats.batch.jobs import Asked, Event, Finished, Job, Made, Started
from seats.batch.rows import Context, Row, error_row, ok_row
from seats.batch.settings import ClipSettings, Setup, planned_ask, question_of
from seats.costs.memory import reset_peak_device_bytes
from seats.costs.timers import StepTimer
from seats.devices import is_lost
from seats.errors import OutOfMemoryError, SeatsError
from seats.inference.answer import answer_encoded
from seats.inference.encode import encode_clip
from seats.inference.report import answer_json
from seats.media import Clip
from seats.models.omni import device_named, load_model
from seats.plan.limit import longest
from seats.shortage import lacks_memory, without_frames

WAITING = 1
"""Decoded clips that wait for the model, beside the one it has and those being decoded: enough to even out clips of
different lengths; more would only take memory, some hundred megabytes each."""
Tell = Callable[[Event], None]
_Starved = list[tuple[Asked, Exception]]


class DeviceError(Exception):
    """The device is in a state that only a new process gets it out of."""


def slots(setup: Setup) -> int:
    """Jobs that a worker has at the same time: one in the model, those being decoded, those waiting."""
    return 1 + setup.decoders + WAITING


class Worker:
    """Raises SeatsError if the model cannot be loaded or the settings are wrong."""

    def __init__(self, setup: Setup, announce: Callable[[str], None] = lambda _: None) -> None:
        self._setup = setup
        self._stopping = threading.Event()
        self._decoders: list[Decoder] = []
        self._idle: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        keep_freed_memory()
        # one thread for the model: each thread that ran it would start a pool of its own on the CPU
        threads = setup.model.threads
        self._model_thread = ThreadPoolExecutor(1, "seats-model", initializer=_use_threads, initargs=(threads,))
        try:
            for _ in range(setup.decoders):
                self._decoders.append(Decoder(setup.clip.memory_bytes))
                self._idle.put(self._decoders[-1])
            self._model_thread.submit(self._load, announce).result()
        except BaseException:
            self.stop()
            raise

    def _load(self, announce: Callable[[str], None]) -> None:
        model = self._setup.model
        if self._setup.clip.limit is not None:
            self._planned = planned_ask(self._setup, device_named(model.device).type)
            self._setup.clip.limit.check_weights(self._planned)
        self._model = load_model(
            model.checkpoint, device=model.device, dtype=model.dtype, quantize=model.quantize, announce=announce
        )
        self._wants = question_of(self._setup.answer, "").method_for(self._model.shape).wants
        self._device = self._model.thinker.device

    def run(self, job: Job, tell: Tell) -> None:
        """Answer a clip's questions: `tell` gets Started, a row per question as it is made, then Finished, from this
        thread or another. Raises DeviceError and DecoderError; what else goes wrong becomes rows."""
        made = 0

        def tell_row(asked: Asked, row: Row) -> None:
            nonlocal made
            tell(Made(job, asked, row))
            made += 1

        settings, retry, left = self._settings_for(job), None, job.asked
        while left and not self._stopping.is_set():
            decoded = self._decode(job.clip, settings)
            if self._stopping.is_set():
                break
            started = partial(tell, Started(job))
            work = self._model_thread.submit(self._answer, job.clip, left, decoded, retry, started, tell_row)
            starved = work.result()
            left = tuple(asked for asked, _ in starved)
            smaller = None if retry else _smaller(settings, decoded.clip)
            if smaller is None:
                for asked, error in starved:
                    tell_row(asked, error_row(self._context(job.clip, asked, decoded, retry), error))
                break
            if starved:
                sampling = smaller.sampling
                reason = str(starved[0][1])
                retry = {"reason": reason, "max_frames": sampling.max_frames, "max_pixels": sampling.max_pixels}
                settings = smaller
        tell(Finished(job, complete=made == len(job.asked)))

    def stop(self) -> None:
        """Finish the row in hand and begin no other; `run` then returns soon. The decoders end at once, the model stays
        in memory."""
        self._stopping.set()
        for decoder in self._decoders:
            decoder.close()

    def _settings_for(self, job: Job) -> ClipSettings:
        """How a clip is read: as the batch says, and where it has a memory limit, with what will be asked."""
        clip = self._setup.clip
        if clip.limit is None or not job.asked:  # a worker may be lost between a clip's last row and its end
            return clip
        question = longest([asked.question for asked in job.asked], clip.limit.checkpoint, self._setup.answer.system)
        return replace(clip, limit=replace(clip.limit, ask=replace(self._planned, question=question)))

    def _decode(self, path: str, settings: ClipSettings) -> Decoded:
        decoder = self._idle.get()
        try:
            decoded = decoder.decode(path, settings)
        finally:
            self._idle.put(decoder)
        if decoded.trace is not None:
            self._show(decoded.trace)
        return decoded

    def _context(self, clip: str, asked: Asked, decoded: Decoded, retry: Mapping[str, Any] | None) -> Context:
        content = decoded.content.as_json() if decoded.content is not None else None
        return Context(clip, asked, content, self._setup.digest, retry, decoded.lowered)

    def _answer(
        self,
        path: str,
        left: tuple[Asked, ...],
        decoded: Decoded,
        retry: Mapping[str, Any] | None,
        started: Callable[[], None],
        tell_row: Callable[[Asked, Row], None],
    ) -> _Starved:
        """On the model's thread: a row for each question, but for those returned, which lacked device memory."""
        if self._stopping.is_set():
            return []
        started()  # not before it is this clip's turn: should this process end, this clip is to blame
        error: Exception | None = decoded.error
        encoded, shared_ms = None, {}
        if decoded.clip is not None:
            try:
                reset_peak_device_bytes(self._device)
                timer = StepTimer(self._device)
                encoded = encode_clip(self._model, decoded.clip, [self._wants], timer)
                shared_ms = {"decode_clip": decoded.ms, **timer.ms()}
            except Exception as raised:
                error = self._judged(raised)
        starved: _Starved = []
        for number, asked in enumerate(left):
            if number and self._stopping.is_set():  # the first row was in hand when its clip was turned to
                break
            context = self._context(path, asked, decoded, retry)
            if encoded is not None:
                error = None
                try:
                    row = self._ask(encoded, context, shared_ms)
                    shared_ms = {}
                except Exception as raised:
                    error = self._judged(raised)
            if error is None:
                tell_row(asked, row)
            elif isinstance(error, OutOfMemoryError):
                starved.append((asked, error))
            else:
                tell_row(asked, error_row(context, error))
        return starved

    def _ask(self, encoded: Any, context: Context, shared_ms: dict[str, float]) -> Row:
        """The row of a question. shared_ms: what was done once for all of the clip's questions, if not yet told."""
        timer = StepTimer(self._device)
        for step, ms in shared_ms.items():
            if step != "decode_clip":
                timer.add(step, ms)
        question = question_of(self._setup.answer, context.asked.question)
        made = answer_encoded(self._model, encoded, question, timer, decode_ms=shared_ms.get("decode_clip"))
        return ok_row(context, answer_json(made))

    def _judged(self, error: Exception) -> Exception:
        """The error without the tensors that hang on its traceback; memory that ran out as one class of error."""
        said = " ".join(str(error).split())
        if lacks_memory(error):
            without_frames(error)
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            if isinstance(error, OutOfMemoryError):
                return OutOfMemoryError(said)
            return OutOfMemoryError(
                f"the clip does not fit into {self._device}: lower --max-frames, --max-pixels or --keep ({said[:200]})"
            )
        if is_lost(error):
            raise DeviceError(said) from None
        if not isinstance(error, SeatsError):
            self._show("".join(traceback.format_exception(error)))
        return error.with_traceback(None)

    def _show(self, trace: str) -> None:
        """A traceback, where it was asked for: the row has but a line of it, and this process no one to raise it to."""
        if self._setup.debug:
            with suppress(OSError):
                sys.stderr.write(trace)


def _smaller(settings: ClipSettings, clip: Clip | None) -> ClipSettings | None:
    """Settings for a quarter of the clip's video tokens; None where there is nothing to make smaller."""
    if clip is None or clip.video is None:
        return None
    frames, _, height, width = clip.video.pixels.shape
    return settings.smaller(frames, height * width)


def _use_threads(threads: int | None) -> None:
    if threads is not None:
        torch.set_num_threads(threads)
