"""The local engine: worker processes on this machine, one per GPU or as many as asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from typing import Any

from seats.batch.jobs import Event, Finished, Job, Made, Said, Started
from seats.batch.ledger import Ledger, Ticket
from seats.batch.local_child import DECODER_EXIT, DEVICE_EXIT, Numbered, Ready, Refused, Stop
from seats.batch.settings import Setup
from seats.children import Child
from seats.errors import ModelError
from seats.plan.gpu import gpu_driver_here

_LOOK_EVERY_S = 0.2
_FAILED_STARTS = 3
_EXITS = {
    f"exit code {DEVICE_EXIT}": "an error of its device",
    f"exit code {DECODER_EXIT}": "its decoder cannot be started",
}


def devices_for(device: str, workers: int | None) -> list[str]:
    """A device for each worker. device: as for `load_model`. workers: None for one per GPU, or one."""
    if device not in ("auto", "cuda") or not gpu_driver_here():
        return [device] * (workers or 1)
    import torch

    count = torch.cuda.device_count()
    if not count:
        return [device] * (workers or 1)
    return [f"cuda:{number % count}" for number in range(workers or count)]


@dataclass
class _Worker:
    """device: what it runs on. failures: starts in its place that failed, where it replaces one that was lost (the
    device may be taken for a while by what was lost). slots: jobs it takes, 0 until the model is loaded. model_at:
    number of the job that the model turned to last, from 1."""

    child: Child
    device: str
    failures: int | None = None
    slots: int = 0
    tickets: dict[int, Ticket] = field(default_factory=dict)
    model_at: int = 0


class LocalEngine:
    """Use as a context; leaving it ends the workers at once. devices: one worker for each, as for `load_model`."""

    def __init__(self, setup: Setup, devices: list[str]) -> None:
        self._setup = setup
        self._devices = devices
        self._workers: list[_Worker] = []
        self._number = 0
        self._stopping = False

    def __enter__(self) -> LocalEngine:
        try:
            for device in self._devices:
                self._workers.append(self._start(device))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        for worker in self._workers:
            if worker.slots and not worker.tickets:
                worker.child.close()
            else:
                worker.child.kill()
        self._workers.clear()

    def events(self, jobs: Iterable[Job], stop: threading.Event) -> Iterator[Event]:
        """Answer all jobs. When `stop` is set, rows in hand are finished and no other is begun.

        Raises SeatsError if the model cannot be loaded, or workers are lost time and again.
        """
        ledger = Ledger(jobs, self._setup.digest)
        while True:
            if stop.is_set() and not self._stopping:
                self._stop()
            elif not self._stopping:
                for worker in self._workers:
                    self._fill(worker, ledger)
            busy = any(worker.tickets for worker in self._workers)
            if not busy and (self._stopping or ledger.empty):
                return
            for connection in wait([worker.child.connection for worker in self._workers], timeout=_LOOK_EVERY_S):
                worker = next(w for w in self._workers if w.child.connection is connection)
                yield from self._receive(worker, ledger)

    def _start(self, device: str, failures: int | None = None) -> _Worker:
        try:
            child = Child.start("seats.batch.local_child", quiet=False)
        except OSError as error:  # so many open files or processes, or no memory for one more
            raise ModelError(
                f"a worker's process cannot be started ({error.strerror}): choose fewer --workers"
            ) from error
        with suppress(OSError):  # it has ended; reading from it says so too
            child.connection.send(replace(self._setup, model=replace(self._setup.model, device=device)))
        return _Worker(child, device, failures)

    def _fill(self, worker: _Worker, ledger: Ledger) -> None:
        in_hand = sum(len(each.tickets) for each in self._workers)
        room = min(worker.slots, ledger.share(in_hand, len(self._workers)))
        while len(worker.tickets) < room and (ticket := ledger.next()) is not None:
            self._number += 1
            worker.tickets[self._number] = ticket
            try:
                worker.child.connection.send(Numbered(self._number, ticket.job))
            except OSError:
                return  # it has ended; reading from it says so too

    def _receive(self, worker: _Worker, ledger: Ledger) -> Iterator[Event]:
        try:
            message = worker.child.connection.recv()
        except (EOFError, OSError):
            yield from self._lost(worker, ledger)
            return
        if isinstance(message, Ready):
            worker.slots = message.slots
        elif isinstance(message, Refused):
            if worker.failures is None:
                raise message.error
            yield from self._lost(worker, ledger, str(message.error))
        elif isinstance(message, Said):
            if worker is self._workers[0]:  # the others say the same
                yield message
        else:
            yield from self._note(worker, message, ledger)

    def _note(self, worker: _Worker, message: Numbered, ledger: Ledger) -> Iterator[Event]:
        number, event = message.number, message.what
        assert isinstance(event, Started | Made | Finished)
        if isinstance(event, Started):
            worker.model_at = number
        elif isinstance(event, Made):
            ledger.made(worker.tickets[number], event.asked)
        else:
            del worker.tickets[number]
        yield event

    def _lost(self, worker: _Worker, ledger: Ledger, refusal: str | None = None) -> Iterator[Event]:
        """The worker's process has ended: start another, and let its jobs come back. refusal: why it could not load the
        model again."""
        why = refusal or worker.child.ending()
        why = _EXITS.get(why, why)
        worker.child.kill()
        self._workers.remove(worker)
        if self._stopping:
            return
        failures = 0
        if worker.slots:
            ledger.lost(why)
        elif worker.failures is None:
            raise ModelError(
                f"the worker ended while it loaded the model ({why}): choose a smaller --model or fewer --workers"
            )
        else:
            failures = worker.failures + 1
        guilty = None if why == _EXITS[f"exit code {DECODER_EXIT}"] else worker.tickets.pop(worker.model_at, None)
        for ticket in worker.tickets.values():
            ledger.put_back(ticket)
        if guilty is not None:
            yield from ledger.blame(guilty, why)
        if failures < _FAILED_STARTS:
            yield Said(f"a worker was lost ({why}); starting another")
            self._workers.append(self._start(worker.device, failures))
        elif self._workers:
            yield Said(f"a worker cannot be started again ({why}); going on with {len(self._workers)}")
        else:
            raise ModelError(f"the worker cannot be started again ({why}): what is done so far is kept")

    def _stop(self) -> None:
        self._stopping = True
        for worker in list(self._workers):
            if worker.slots:
                with suppress(OSError):  # it has ended; reading from it says so too
                    worker.child.connection.send(Stop())
            else:
                worker.child.kill()
                self._workers.remove(worker)
