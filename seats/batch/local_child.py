"""A worker's process for the local engine: jobs come in by the connection, events go out."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection

from seats.batch.jobs import Event, Job, Said
from seats.batch.settings import Setup
from seats.errors import SeatsError
from seats.imports import lasting_imports

DEVICE_EXIT = 87
"""Exit code of a worker whose device needs a new process."""
DECODER_EXIT = 88
"""Exit code of a worker whose decoders cannot be started."""


@dataclass(frozen=True)
class Ready:
    """The model is loaded. slots: jobs that the worker wants at the same time."""

    slots: int


@dataclass(frozen=True)
class Refused:
    """The model cannot be loaded, or the settings don't fit it."""

    error: SeatsError


@dataclass(frozen=True)
class Numbered:
    """A job or an event of that job, with the number that the engine knows the job by."""

    number: int
    what: Job | Event


class Stop:
    """Finish the row in hand, and begin no other."""


def main(connection: Connection) -> None:
    """Serve until the connection ends."""
    setup: Setup = connection.recv()
    writing = threading.Lock()

    def send(message: object) -> None:
        try:
            with writing:
                connection.send(message)
        except ConnectionError:
            os._exit(0)  # nobody waits for the row any more

    try:
        with lasting_imports():
            from seats.batch.decoding import DecoderError
            from seats.batch.worker import DeviceError, Worker, slots
            from seats.models.omni import import_model_code

            import_model_code(setup.model.checkpoint)
        worker = Worker(setup, announce=lambda text: send(Said(text)))
    except SeatsError as error:
        send(Refused(error))
        return
    send(Ready(slots(setup)))

    def work(number: int, job: Job) -> None:
        try:
            worker.run(job, lambda event: send(Numbered(number, event)))
        except DeviceError:
            os._exit(DEVICE_EXIT)
        except DecoderError:
            os._exit(DECODER_EXIT)

    def fail_loudly(done: Future[None]) -> None:
        if (error := done.exception()) is not None:
            import traceback

            traceback.print_exception(error)
            os._exit(1)

    pool = ThreadPoolExecutor(slots(setup), "seats-job")
    try:
        while True:
            message = connection.recv()
            if isinstance(message, Stop):
                worker.stop()
            else:
                pool.submit(work, message.number, message.what).add_done_callback(fail_loudly)
    finally:
        worker.stop()
