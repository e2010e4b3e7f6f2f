"""Which jobs are still to do, and what becomes of those whose worker was lost."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from seats.batch.jobs import Asked, Finished, Job, Made
from seats.batch.rows import Context, error_row
from seats.errors import MediaError, ModelError
from seats.media.content import content_of

TRIES = 2
_LOST_IN_A_ROW = 5


@dataclass
class Ticket:
    """A job on its way. answered: its questions that have a row. tries: workers that were lost over it."""

    job: Job
    answered: set[Asked] = field(default_factory=set)
    tries: int = 0


class Ledger:
    """Hands out jobs one by one, those that came back first. settings: digest, for rows of clips that are given up."""

    def __init__(self, jobs: Iterable[Job], settings: str) -> None:
        self._jobs = deque(jobs)
        self._back: deque[Ticket] = deque()
        self._settings = settings
        self._lost_in_a_row = 0

    def next(self) -> Ticket | None:
        """The next job, None if there is none."""
        if self.empty:
            return None
        return self._back.popleft() if self._back else Ticket(self._jobs.popleft())

    def share(self, in_hand: int, workers: int) -> int:
        """Jobs that a worker may have at a time, so that towards the end none waits while others have several.

        in_hand: jobs of all workers, which are so many.
        """
        return math.ceil((len(self._back) + len(self._jobs) + in_hand) / workers)

    @property
    def next_is_suspect(self) -> bool:
        """Whether a worker was lost over the next job, or beside it."""
        return bool(self._back) and self._back[0].tries > 0

    @property
    def empty(self) -> bool:
        """Whether nothing is left to hand out; what is on its way may still come back."""
        return not (self._back or self._jobs)

    def made(self, ticket: Ticket, asked: Asked) -> None:
        """Note that a question has its row."""
        ticket.answered.add(asked)
        self._lost_in_a_row = 0

    def put_back(self, ticket: Ticket) -> None:
        """A job whose worker was lost while busy with another one."""
        left = tuple(asked for asked in ticket.job.asked if asked not in ticket.answered)
        self._back.append(Ticket(replace(ticket.job, asked=left), tries=ticket.tries))

    def lost(self, why: str) -> None:
        """A worker was lost. Raises ModelError when that happens again and again with nothing done in between."""
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= _LOST_IN_A_ROW:
            raise ModelError(
                f"the worker was lost {_LOST_IN_A_ROW} times in a row ({why}): what is done so far is kept; "
                "look for a lack of memory, of open files or of processes, or a broken device"
            )

    def blame(self, ticket: Ticket, why: str, tries: int = TRIES) -> Iterator[Made | Finished]:
        """A job over which a worker was lost: put back, or given up after so many tries, with the rows that say so."""
        ticket.tries += 1
        if ticket.tries < tries:
            self.put_back(ticket)
            return
        error = ModelError(
            f"{ticket.job.clip}: the worker was lost over it {ticket.tries} times ({why}); try --max-frames or "
            "--max-pixels, or a shorter part"
        )
        try:
            content = content_of(ticket.job.clip).as_json()
        except MediaError:
            content = None
        for asked in ticket.job.asked:
            if asked not in ticket.answered:
                context = Context(ticket.job.clip, asked, content, self._settings)
                yield Made(ticket.job, asked, error_row(context, error))
        yield Finished(ticket.job, complete=True)
