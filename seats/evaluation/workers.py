"""Clips shared out among processes, each with the model loaded."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait

from seats.errors import SeatsError
from seats.evaluation.rows import Row
from seats.evaluation.run import ClipWork, Evaluation, Load, answer_clip
from seats.models.omni import OmniModel

Opened = tuple[OmniModel, Load]


def answer_all(
    work: Sequence[ClipWork], evaluation: Evaluation, start: Callable[[], Opened], workers: int = 1
) -> Iterator[Row]:
    """Rows of all clips, as they come.

    start: loads the model, and says how a clip is decoded; for several workers it must be picklable, and is called in
    each. Raises SeatsError that a worker ran into, or if one died. Ending the iteration early ends the workers.
    """
    if workers == 1:
        model, load = start()
        for clip in work:
            yield from answer_clip(model, evaluation, clip, load)
        return
    context = multiprocessing.get_context("spawn")
    waiting, processes = deque(work), []
    pipes: dict[Connection, str] = {}
    try:
        for number in range(min(workers, len(work))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, evaluation, start), name=f"worker {number + 1}")
            process.daemon = True
            process.start()
            theirs.close()
            processes.append(process)
            pipes[ours] = process.name
            with _alive(process.name):
                ours.send(waiting.popleft())
        while pipes:
            for pipe in wait(list(pipes)):
                assert isinstance(pipe, Connection)
                with _alive(pipes[pipe]):
                    said = pipe.recv()
                if isinstance(said, Row):
                    yield said
                elif isinstance(said, BaseException):
                    raise said
                elif waiting:
                    with _alive(pipes[pipe]):
                        pipe.send(waiting.popleft())
                else:
                    with suppress(ConnectionError):  # it has nothing left to do
                        pipe.send(None)
                    pipe.close()
                    del pipes[pipe]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


@contextmanager
def _alive(worker: str) -> Iterator[None]:
    """Raises SeatsError where the other end of a pipe is gone."""
    try:
        yield
    except (EOFError, ConnectionError) as error:
        raise SeatsError(f"{worker} ended unexpectedly, perhaps for lack of memory; try fewer --workers") from error


def _serve(pipe: Connection, evaluation: Evaluation, start: Callable[[], Opened]) -> None:
    """Answer the clips that come, until None comes; after each clip send None."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and ends the workers
    with suppress(BrokenPipeError):  # the parent has gone
        try:
            model, load = start()
            while (clip := pipe.recv()) is not None:
                for row in answer_clip(model, evaluation, clip, load):
                    pipe.send(row)
                pipe.send(None)
        except EOFError:
            return
        except SeatsError as error:
            pipe.send(error)
        except Exception as error:
            pipe.send(RuntimeError(f"{type(error).__name__} in a worker: {error}"))
