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
