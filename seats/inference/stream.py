"""Answers for asyncio: the pieces as they come, the event loop free meanwhile."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from weakref import WeakKeyDictionary

from seats.errors import SettingsError
from seats.inference.answer import Answer, Question, answer, check_asked
from seats.inference.turns import turn_of
from seats.media import Clip, ReadingClip
from seats.models.omni import OmniModel

# One thread a model: streams take turns, none of the application's own threads waits, and torch's pool is made once.
_threads: WeakKeyDictionary[object, ThreadPoolExecutor] = WeakKeyDictionary()
os.register_at_fork(after_in_child=_threads.clear)  # there are no threads in it
_LOOK_S = 0.05
"""How often a stream that waits for its turn looks whether it has been left."""


class _StoppedError(SettingsError):
    """Nobody listens any more."""

    def __init__(self) -> None:
        super().__init__("the event loop of this stream has ended, and its answer with it: make another to ask again")


class AnswerStream:
    """Pieces of an answer: `async for piece in stream`, once; a second time raises SettingsError.

    answer: the whole answer with its report, None until the last piece was taken. Leaving the loop early stops the
    answer at its next token, or before it begins where another question has the model, and so does the end of the event
    loop; an error of the question is raised where the pieces are awaited.
    """

    def __init__(self, run: Callable[[Callable[[str], None]], Answer], model: OmniModel) -> None:
        """run: answers, and hands pieces to what it is given. model: what answers, one question at a time."""
        self.answer: Answer | None = None
        self._run, self._model = run, model
        self._begun = False
        self._thread = _threads.setdefault(model.thinker.module, ThreadPoolExecutor(1, "seats-answer"))

    async def __aiter__(self) -> AsyncIterator[str]:
        if self._begun:
            raise SettingsError("a stream gives its pieces once: make another to ask again")
        self._begun = True
        loop = asyncio.get_running_loop()
        pieces: deque[str | None] = deque()  # an asyncio.Queue that is thrown away asks things of its loop
        arrived = asyncio.Event()
        stopped = threading.Event()

        def nobody_listens() -> bool:
            return stopped.is_set() or loop.is_closed()

        def give(piece: str | None) -> None:
            if piece is not None and nobody_listens():
                raise _StoppedError
            pieces.append(piece)
            with suppress(RuntimeError):  # the loop was closed in the meantime
                loop.call_soon_threadsafe(arrived.set)

        def work() -> Answer:
            try:
                with _turn(self._model, nobody_listens):
                    return self._run(give)
            finally:
                give(None)

        async def taken() -> str | None:
            while not pieces:
                arrived.clear()
                await arrived.wait()
            return pieces.popleft()

        working = self._thread.submit(work)
        piece: str | None = ""
        try:
            while (piece := await taken()) is not None:
                yield piece
            self.answer = working.result()
        finally:
            stopped.set()
            # Where it has begun, the model is free again when the last piece is taken. Without its loop nothing can be
            # awaited.
            if not working.cancel():
                while piece is not None and loop.is_running():
                    piece = await taken()


@contextmanager
def _turn(model: OmniModel, nobody_listens: Callable[[], bool]) -> Iterator[None]:
    """Hold the model, as soon as it is free. Raises _StoppedError where nobody listens any more by then."""
    turn = turn_of(model)
    while not turn.acquire(timeout=_LOOK_S):
        if nobody_listens():
            raise _StoppedError
    try:
        if nobody_listens():
            raise _StoppedError
        yield
    finally:
        turn.release()


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
