"""Clips shared out among processes, each with the model loaded."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait

from seats.children import Child
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
    each. workers: >= 1. Raises SeatsError that a worker ran into, or if one died, and RuntimeError that tells what else
    a worker ran into. Ending the iteration early ends the workers.
    """
    if workers == 1:
        model, load = start()
        for clip in work:
            yield from answer_clip(model, evaluation, clip, load)
        return
    waiting, children = deque(work), list[Child]()
    names: dict[Connection, str] = {}
    try:
        for number in range(min(workers, len(work))):
            children.append(_start_child())
            connection, name = children[-1].connection, f"worker {number + 1}"
            names[connection] = name
            with _alive(name):
                # Not by `send`, which hands a tensor of a method over as a file that a child of ours cannot ask for.
                connection.send_bytes(pickle.dumps((evaluation, start)))
                connection.send(waiting.popleft())
        while names:
            for ready in wait(list(names)):
                assert isinstance(ready, Connection)
                connection = ready
                with _alive(names[connection]):
                    said = connection.recv()
                if isinstance(said, Row):
                    yield said
                elif isinstance(said, BaseException):
                    raise said
                elif waiting:
                    with _alive(names[connection]):
                        connection.send(waiting.popleft())
                else:  # it has nothing left to do
                    connection.close()
                    del names[connection]
    finally:
        for child in children:
            child.kill()


def main(connection: Connection) -> None:
    """In a worker: answer the clips that come, until the connection ends; after each clip send None."""
    evaluation, start = pickle.loads(connection.recv_bytes())
    try:
        model, load = start()
        while True:
            for row in answer_clip(model, evaluation, connection.recv(), load):
                connection.send(row)
            connection.send(None)
    except (EOFError, ConnectionError):  # the parent has gone, or wants this one gone
        raise
    except SeatsError as error:
        connection.send(error)
    except Exception as error:
        connection.send(RuntimeError(f"{type(error).__name__} in a worker: {error}"))


def _start_child() -> Child:
    try:
        return Child.start("seats.evaluation.workers", quiet=False)
    except OSError as error:  # so many processes or open files, or no memory for one more
        raise SeatsError(f"a worker cannot be started ({error.strerror}); try fewer --workers") from error


@contextmanager
def _alive(worker: str) -> Iterator[None]:
    """Raises SeatsError where the other end of a connection is gone."""
    try:
        yield
    except (EOFError, ConnectionError) as error:
        raise SeatsError(f"{worker} ended unexpectedly, perhaps for lack of memory; try fewer --workers") from error
