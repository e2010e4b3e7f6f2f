"""Where a stream's timestamps begin anew: files put one behind the other, encoders that were started again."""

from __future__ import annotations

from collections import deque

# Clocks fall by less where timestamps are rounded or damaged, seconds.
FALL_S = 1.0
# A longer step forward is a wrong timestamp or a clock that was set, and not a pause, seconds. MPEG-TS turns a clock
# that begins anew into one of 26.5 hours.
LONGEST_PAUSE_S = 86_400


class Clock:
    """Tells the steps of a clock, and passes over single wild timestamps.

    It looks at the middle one of three timestamps, so a step is told with the second timestamp after it.
    """

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=3)
        self._middle: float | None = None

    def step(self, time_s: float) -> float:
        """Take the next timestamp, seconds; return by how much the clock went on (below 0: back), seconds."""
        self._times.append(time_s)
        if len(self._times) < 3:
            return 0.0
        before, self._middle = self._middle, sorted(self._times)[1]
        return 0.0 if before is None else self._middle - before


class SoundTimes:
    """When pieces of sound begin, seconds from the file's start, also where timestamps lack or their clock is set anew.

    Attributes:
        reached: Until when there was sound.
        restarted: The clock fell back: no piece from there on has a time.
        skipped_s: What is taken off the timestamps that follow.
        notes: What a user should know, and of when, seconds.
    """

    def __init__(self) -> None:
        self.reached, self.restarted, self.skipped_s = 0.0, False, 0.0
        self.notes: list[tuple[float, str]] = []
        self._next_s, self._first = 0.0, True
        self._clock = Clock()

    def begin(self, stamp_s: float | None) -> float | None:
        """When the next piece begins; None where the clock has restarted. stamp_s: its own timestamp, if it has one."""
        if stamp_s is not None:
            step = self._clock.step(stamp_s)
            if step < -FALL_S:
                self._note("only the part before it is used")
                self.restarted = True
                return None
            if step > LONGEST_PAUSE_S:
                self._note("what follows is joined to it")
                self.skipped_s += step
            self._next_s = stamp_s - self.skipped_s
        return self._next_s

    def end(self, length_s: float) -> None:
        """Take note of a piece that has been used."""
        self._next_s += length_s
        if self._first or self._next_s - self.reached < LONGEST_PAUSE_S:
            self.reached = max(self.reached, self._next_s)
        self._first = False

    def _note(self, outcome: str) -> None:
        self.notes.append((self.reached, f"the clock of the sound restarts at {self.reached:.1f} s; {outcome}"))
