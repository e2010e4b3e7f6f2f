"""How `seats batch` shows where it is: one moving display on a terminal, a plain log elsewhere."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from seats.batch.jobs import Event, Finished, Made, Planned, Said, Started
from seats.batch.rows import OK
from seats.text import printable
from seats.units import counted, duration
from seats_cli.output import Output
from seats_cli.text import one_line

_LOG_EVERY_S = 10.0
_LISTED_FAILURES = 20
_NAME = 40
_SHORT_BAR, _SHORT_NAME = 14, 8
"""Columns: of the bar with what is between, and of a clip's name that is worth showing."""


class Progress:
    """Hears a batch's events; use as a context."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._bar: Any = None
        self._clips = self._pending = self._finished = self._failed = self._listed = 0
        self._bad: set[str] = set()
        self._began: float | None = None
        self._logged = time.monotonic()
        self._now = ""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            with suppress(OSError):  # the terminal may have been closed, which must not cost the table
                self._bar.stop()

    def tell(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, Said):
            self._output.say(event.text)
        elif isinstance(event, Planned):
            self._plan(event)
        elif isinstance(event, Started):
            self._began = self._began or time.monotonic()
            self._now = event.job.clip
        elif isinstance(event, Made) and event.row["status"] != OK:
            self._bad.add(event.job.clip)
            self._list_failure(event)
        elif isinstance(event, Finished) and event.complete:
            self._finished += 1
            self._failed += event.job.clip in self._bad
            self._bad.discard(event.job.clip)
            if self._output.options.verbose:
                self._output.say(f"done: {printable(event.job.clip)}")
        self._show()

    def _plan(self, planned: Planned) -> None:
        self._clips, self._pending = planned.clips, planned.pending
        before = planned.done + planned.failed
        if before:
            failed = f" ({planned.failed} of them failed; --retry-failed asks them again)" if planned.failed else ""
            known = f"{counted(before, 'question')} {'has' if before == 1 else 'have'}"
            self._output.say(f"{known} a row from before{failed}; {counted(planned.pending, 'clip')} to do")
        console = self._output.console
        if not planned.pending or self._output.options.quiet or not console.is_interactive:
            return
        from rich import progress

        self._bar = progress.Progress(
            progress.BarColumn(),
            progress.TextColumn("{task.description}", markup=False, style="dim"),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("loading the model", total=planned.pending)
        self._bar.start()

    def _list_failure(self, event: Made) -> None:
        self._listed += 1
        if self._listed <= _LISTED_FAILURES or self._output.options.verbose:
            self._output.say(f"failed: {event.row['error']['message']}")
        elif self._listed == _LISTED_FAILURES + 1:
            self._output.say("failed: more; they are in the results file")

    def _show(self) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self._finished, description=self._beside_the_bar())
        elif self._began is not None and time.monotonic() - self._logged >= _LOG_EVERY_S:
            self._logged = time.monotonic()
            name = self._name()
            name = name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
            self._output.say(f"{self._finished} of {counted(self._pending, 'clip')}; {self._numbers()}; {name}")

    def _beside_the_bar(self) -> str:
        """The clip's name gives way to the numbers and a short bar."""
        from rich.cells import cell_len, set_cell_size

        numbers, name = f"{self._finished}/{self._pending}, {self._numbers()}", self._name()
        room = self._output.console.width - cell_len(numbers) - _SHORT_BAR
        if not name or room < _SHORT_NAME:
            return numbers
        return f"{numbers}; {name if cell_len(name) <= room else set_cell_size(name, room - 1) + '…'}"

    def _numbers(self) -> str:
        """Failures, speed and time left."""
        if self._began is None:
            return "loading the model"
        parts = [f"{self._failed} failed"]
        seconds = time.monotonic() - self._began
        if self._finished and seconds:
            rate = self._finished / seconds
            left = (self._pending - self._finished) / rate
            parts += [speed(rate), f"{duration(left)} left"]
        return ", ".join(parts)

    def _name(self) -> str:
        """Of the clip that the model is busy with."""
        return one_line(printable(self._now)).rpartition("/")[2]


def speed(rate: float) -> str:
    """2.1 clips/s, or 12.0 clips/min."""
    return f"{rate:.1f} clips/s" if rate >= 1 else f"{60 * rate:.1f} clips/min"
