"""Answers for asyncio: the pieces as they come, the event loop free meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from weakref import WeakKeyDictionary

from seats.errors import SettingsError
from seats.inference.answer import Answer, Question, answer, check_asked
from seats.media import Clip, ReadingClip
from seats.models.omni import OmniModel

# One thread a model: streams take turns, none of the application's own threads waits, and torch's pool is made once.
_threads: WeakKeyDictionary[object, ThreadPoolExecutor] = WeakKeyDictionary()


class _StoppedError(Exception):
    """Nobody listens any more."""


class AnswerStream:
    """Pieces of an answer: `async for piece in stream`, once; a second time raises SettingsError.

    answer: the whole answer with its report, None until the last piece was taken. Leaving the loop early stops the
    answer at its next token; an error of the question is raised where the pieces are awaited.
    """

    def __init__(self, run: Callable[[Callable[[str], None]], Answer], model: OmniModel) -> None:
        """run: answers, and hands pieces to what it is given. model: what answers, one question at a time."""
        self.answer: Answer | None = None
        self._run = run
        self._begun = False
        self._thread = _threads.setdefault(model.thinker.module, ThreadPoolExecutor(1, "seats-answer"))

    async def __aiter__(self) -> AsyncIterator[str]:
        if self._begun:
            raise SettingsError("a stream gives its pieces once: make another to ask again")
        self._begun = True
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        stopped = threading.Event()

        def give(piece: str | None) -> None:
            if piece is not None and stopped.is_set():
                raise _StoppedError
            with suppress(RuntimeError):  # the loop was closed in the meantime
                loop.call_soon_threadsafe(pieces.put_nowait, piece)

        def work() -> Answer:
            try:
                if stopped.is_set():
                    raise _StoppedError
                return self._run(give)
            finally:
                give(None)

        working = loop.run_in_executor(self._thread, work)
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            self.answer = await working
        finally:
            stopped.set()
            with suppress(_StoppedError):
                await working


def stream(model: OmniModel, clip: Clip | ReadingClip, question: Question | str) -> AnswerStream:
    """`answer` for asyncio: nothing runs before the first piece is awaited, and streams of one model take turns.

    What `answer` raises (SeatsError) is raised where the pieces are awaited, but for what is no model or no clip.

        stream = seats.stream(model, clip, seats.Question("Who is speaking?"))
        async for piece in stream:
            print(piece, end="")
        print(stream.answer.latency_ms["first_token"])
    """
    check_asked(model, clip)
    return AnswerStream(lambda give: answer(model, clip, question, on_text=give), model)
