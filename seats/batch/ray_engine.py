"""The Ray engine: workers as actors, on this machine or on a cluster that runs already.

An actor holds the model and its decoders, and is handed as many clips at a time as a local worker. Rows come back clip
by clip; only this process writes. A lost actor's clips go to the others, and an actor in its place is asked for.
Machines of a cluster must see clips and model under the same paths.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from seats.batch.jobs import Event, Job, Made, Said, Started
from seats.batch.ledger import Ledger, Ticket
from seats.batch.settings import Setup
from seats.errors import ModelError, SeatsError, SettingsError

_LOOK_EVERY_S = 0.2
_PATIENCE_S = 120.0
_REACH_S = 10.0
_LOST = "its process or machine ended"
_FAILED_STARTS = 3
_TRIES = 3
"""Actors that may be lost over a clip. It isn't known which of an actor's clips was in the model, so all are suspects,
which are then handed out one at a time; and one more loss than in the local engine is put up with, since machines of a
cluster come and go."""


def check_ray() -> None:
    """Raises SettingsError where Ray is not installed."""
    if find_spec("ray") is None:
        raise SettingsError("--engine ray needs Ray: pip install ray, or leave --engine out")


class RayWorker:
    """What an actor runs: `Worker`, its events in lists."""

    _missing: str | None = None

    def load(self, setup: Setup, folder: str) -> int:
        """Load the model; returns the jobs wanted at the same time. folder: that relative paths begin at, where the
        batch was started; a cluster's processes may begin elsewhere. Raises SeatsError."""
        from seats.batch.worker import Worker, slots

        try:
            os.chdir(folder)
        except OSError:
            self._missing = folder
        self._worker = Worker(setup)
        return slots(setup)

    def run(self, job: Job) -> list[Event]:
        """Answer a clip's questions. Raises SettingsError for a relative path that means nothing here."""
        from seats.batch.decoding import DecoderError
        from seats.batch.worker import DeviceError

        if self._missing is not None and not os.path.isabs(job.clip):
            raise SettingsError(
                f"{self._missing} is not there on {os.uname().nodename}, and {job.clip} is relative to it: give the "
                "clips by an absolute path that all machines see"
            )
        events: list[Event] = []
        try:
            self._worker.run(job, events.append)
        except (DeviceError, DecoderError):
            os._exit(1)
        return events

    def stop(self) -> None:
        """Finish the row in hand and begin no other."""
        self._worker.stop()


@dataclass
class _Actor:
    """handle: Ray's. failures: starts in its place that failed, where it replaces one that was lost. slots: jobs it
    takes, 0 until the model is loaded. tickets: by reference to the result."""

    handle: Any
    ready: Any
    failures: int | None = None
    slots: int = 0
    tickets: dict[Any, Ticket] = field(default_factory=dict)

    def takes(self, ledger: Ledger, most: int) -> bool:
        """Whether it has room for the next job; a suspect is alone on its actor. most: jobs that it may have."""
        alone = any(ticket.tries for ticket in self.tickets.values()) or ledger.next_is_suspect
        return len(self.tickets) < min(1 if alone else most, self.slots)


class RayEngine:
    """Use as a context: it connects to Ray, or starts it, and takes it down.

    workers: actors, with a GPU each where the model's device is one (or "auto" and the cluster has some). address: of
    a cluster, "auto" for the one running here; None starts one on this machine. Raises SeatsError if there is none.
    """

    def __init__(self, setup: Setup, workers: int, address: str | None = None) -> None:
        if setup.model.device.startswith("cuda:") and setup.model.device != "cuda:0":
            raise SettingsError(f"--device {setup.model.device}: Ray gives each worker a GPU; choose cuda")
        self._setup, self._count, self._address = setup, workers, address
        self._actors: list[_Actor] = []
        self._stopping = False

    def __enter__(self) -> RayEngine:
        import ray

        handler = signal.getsignal(signal.SIGTERM)
        try:
            if self._address is not None:
                _reach(self._address)
            else:  # Ray's own choice is to give way to everything else on the machine; local workers do not
                os.environ.setdefault("RAY_worker_niceness", "0")
            ray.init(**self._where(), log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise SeatsError(
                f"Ray cannot be reached{f' at {self._address}' if self._address else ''} ({said}); check "
                "--ray-address, or leave it out to start Ray here"
            ) from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray sets its own
        device = self._setup.model.device
        wants_gpu = device.startswith("cuda") or (device == "auto" and ray.cluster_resources().get("GPU", 0) >= 1)
        self._resources = {"num_gpus": 1 if wants_gpu else 0, "num_cpus": 1}
        try:
            for _ in range(self._count):
                self._actors.append(self._start())
        except BaseException:
            self.__exit__()
            raise
        return self

    def _where(self) -> dict[str, Any]:
        if self._address is not None:
            return {"address": self._address}
        return {
            "address": "local",  # also where RAY_ADDRESS is set
            "include_dashboard": False,
            "num_cpus": max(self._count, os.cpu_count() or 1),
        }

    def __exit__(self, *_: Any) -> None:
        import ray

        for actor in self._actors:
            ray.kill(actor.handle)
        self._actors.clear()
        ray.shutdown()

    def events(self, jobs: Iterable[Job], stop: threading.Event) -> Iterator[Event]:
        """Answer all jobs; see `seats.batch.run.Engine`. Raises SeatsError if the model cannot be loaded."""
        import ray

        ledger = Ledger(jobs, self._setup.digest)
        patience = time.monotonic() + _PATIENCE_S
        while True:
            if time.monotonic() > patience and not any(actor.slots for actor in self._actors):
                yield Said(f"still waiting for Ray to start an actor and load the model ({self._resources} each)")
                patience = math.inf
            if stop.is_set() and not self._stopping:
                self._stop()
            for actor in self._actors:
                # Of actors that are not ready nobody knows whether they will ever be.
                ready = sum(each.slots > 0 for each in self._actors)
                most = ledger.share(sum(len(each.tickets) for each in self._actors), max(1, ready))
                while not self._stopping and actor.takes(ledger, most) and (ticket := ledger.next()) is not None:
                    actor.tickets[actor.handle.run.remote(ticket.job)] = ticket
                    yield Started(ticket.job)  # when the model turns to it is only known afterwards
            if not any(actor.tickets for actor in self._actors) and (self._stopping or ledger.empty):
                return
            waited = [reference for actor in self._actors for reference in actor.tickets]
            waited += [actor.ready for actor in self._actors if not actor.slots]
            done, _ = ray.wait(waited, num_returns=1, timeout=_LOOK_EVERY_S)
            for reference in done:
                yield from self._receive(reference, ledger)

    def _start(self, failures: int | None = None) -> _Actor:
        import ray

        # a slot more than jobs, so that `stop` gets through
        options = {**self._resources, "max_concurrency": self._setup.decoders + 3, "max_restarts": 0}
        handle: Any = ray.remote(RayWorker).options(**options).remote()
        return _Actor(handle, handle.load.remote(self._setup, os.getcwd()), failures)

    def _receive(self, reference: Any, ledger: Ledger) -> Iterator[Event]:
        import ray
        from ray.exceptions import RayError, RayTaskError

        actor = next((a for a in self._actors if reference == a.ready or reference in a.tickets), None)
        if actor is None:
            return
        try:
            result = ray.get(reference)
        except RayTaskError as error:  # what the actor's own code raised
            cause: Any = error.cause
            if reference == actor.ready and actor.failures is not None:
                yield from self._lost(actor, ledger, cause)
                return
            raise cause if isinstance(cause, SeatsError) else SeatsError(_line(error)) from error
        except RayError as error:  # the actor, its machine or the way to it is gone
            yield from self._lost(actor, ledger, error)
            return
        if reference == actor.ready:
            actor.slots = result
            return
        ticket = actor.tickets.pop(reference)
        for event in result:
            if isinstance(event, Made):
                ledger.made(ticket, event.asked)
            if not isinstance(event, Started):
                yield event

    def _lost(self, actor: _Actor, ledger: Ledger, error: Exception) -> Iterator[Event]:
        import ray

        self._actors.remove(actor)
        ray.kill(actor.handle)  # should it be there all the same
        if self._stopping:
            return
        failures = 0
        if actor.slots:
            ledger.lost(_LOST)
        elif actor.failures is None and not any(other.slots for other in self._actors):
            raise ModelError(f"a Ray actor ended while it loaded the model ({_line(error)})") from error
        else:
            failures = (actor.failures or 0) + 1
        for ticket in actor.tickets.values():
            yield from ledger.blame(ticket, _LOST, tries=_TRIES)
        if failures < _FAILED_STARTS:
            yield Said("a Ray actor was lost; its clips go to others, and another is asked for")
            self._actors.append(self._start(failures))
        elif self._actors:
            yield Said(f"a Ray actor cannot be started again; going on with {len(self._actors)} ({_line(error)})")
        else:
            raise ModelError(f"no Ray actor can be started again ({_line(error)}): what is done is kept") from error

    def _stop(self) -> None:
        import ray

        self._stopping = True
        for actor in list(self._actors):
            if actor.slots:
                actor.handle.stop.remote()
            else:
                ray.kill(actor.handle)
                self._actors.remove(actor)


def _reach(address: str) -> None:
    """Raises OSError or OverflowError where nothing listens at host:port; Ray itself tries for minutes. Addresses of
    another form ("auto") are Ray's to judge."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S):
            pass


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[-300:]
