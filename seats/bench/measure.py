"""Settings run in alternation, and what is said of their times: medians, spreads, ratios paired by round."""

from __future__ import annotations

import contextlib
import gc
import math
import statistics
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch

from seats.costs.flops import FlopsReport
from seats.devices import is_lost
from seats.errors import SeatsError
from seats.inference.trace import Trace
from seats.keep import FULL, Setting
from seats.shortage import lacks_memory
from seats.text import error_line

STOCK = "stock"
"""Method of the setting that is transformers' own code."""


def beside_full(settings: Iterable[Setting], *, stock: bool = False) -> list[Setting]:
    """Full tokens first, stock code if wanted, then the settings."""
    return [FULL, *([Setting(STOCK)] if stock else []), *(setting for setting in settings if setting != FULL)]


def own_shares(settings: Sequence[Setting]) -> dict[str, float | None]:
    """What overrules the retentions, the same for all settings of one command, by modality."""
    return {"video": settings[-1].keep_video, "audio": settings[-1].keep_audio}


@dataclass(frozen=True)
class Run:
    """One measured run of one setting.

    steps_ms: per step, on the device's clock. prefill_ms: from the encoders' output to the first token's logits,
    selection included, on the host's clock with the device waited for at both ends; on a clip (`profile`) those two
    steps, without the head. first_token_ms: with encoders and saliency, None where the encoders didn't run.
    per_token_ms: of the decoding, None without any. peak_bytes: of the device during the run, up to the first token in
    a workload; on a CPU of the process so far. trace, flops: None for stock code.
    """

    steps_ms: dict[str, float]
    prefill_ms: float
    first_token_ms: float | None
    per_token_ms: float | None
    peak_bytes: int
    kv_cache_bytes: int
    trace: Trace | None
    flops: FlopsReport | None


@dataclass
class Row:
    """One setting's runs, in order of the rounds; error: why there are none. traceback: of an error that nobody
    foresaw."""

    setting: Setting
    runs: list[Run] = field(default_factory=list)
    error: str | None = None
    traceback: str | None = None

    @property
    def done(self) -> bool:
        return bool(self.runs)  # one that fails has none


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None of no values."""
        return cls(statistics.median(values), min(values), max(values)) if values else None


def alternate(
    settings: Sequence[Setting],
    run: Callable[[Setting], Run],
    rounds: int,
    warmups: int,
    on_round: Callable[[], None] = lambda: None,
    limit_s: float = math.inf,
    announce: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Run every setting once a round, in turn, `warmups` rounds uncounted.

    A setting that fails, for want of memory or by any other error, is told in its row; the others go on, unless the
    device is lost: the rounds that all others have had then stay. limit_s: no round begins later, but for warm-ups and
    the first that counts. announce: told what is about to be run.
    """
    rows = [Row(setting) for setting in settings]
    began = time.monotonic()
    # what is loaded stays: a collector that looks through all of it in a timed run would be measured
    gc.collect()
    gc.freeze()
    try:
        for number in range(warmups + rounds):
            if number > warmups and time.monotonic() - began > limit_s:
                break
            try:
                on_round()
            except Exception as error:  # after what broke the device in the round before
                for row in rows:
                    row.error = row.error or (None if row.runs else told_of(error)[0])
                break
            counts = number >= warmups
            where = f"round {number - warmups + 1} of {rounds}" if counts else f"warm-up {number + 1} of {warmups}"
            for row in rows:
                if row.error is not None:
                    continue
                announce(f"{where}: {row.setting.label}")
                if not _measure(row, run, counts):
                    _keep_whole_rounds(rows, row.error)
                    return rows
    finally:
        gc.unfreeze()
    return rows


def _measure(row: Row, run: Callable[[Setting], Run], counts: bool) -> bool:
    """Whether the device can go on."""
    try:
        result = run(row.setting)
    except Exception as error:  # the other settings' measurements are not to be lost with this one's
        (row.error, row.traceback), row.runs = told_of(error), []
        goes_on = not is_lost(error)
    else:
        if counts:
            row.runs.append(result)
        return True
    _free()  # only here has the error let go of what it held
    return goes_on


def _keep_whole_rounds(rows: Sequence[Row], error: str | None) -> None:
    """Drop the runs of a round that not all had when the device failed; a row that has none then has the error."""
    going = [row for row in rows if row.error is None]
    whole = min((len(row.runs) for row in going), default=0)
    for row in going:
        del row.runs[whole:]
        row.error = None if row.runs else error


def counted(rows: Sequence[Row]) -> int:
    """Rounds that count: fewer than asked for where a limit ended them."""
    return max(len(row.runs) for row in rows)


def ratios(above: Row, below: Row, value: Callable[[Run], float | None]) -> Spread | None:
    """`value` of one row's runs over that of another's, round by round; None where either has none."""
    if not (above.done and below.done):
        return None
    pairs = [(value(a), value(b)) for a, b in zip(above.runs, below.runs, strict=True)]
    return Spread.of([a / b for a, b in pairs if a is not None and b])


def spread(row: Row, value: Callable[[Run], float | None]) -> Spread | None:
    """Of one value over a row's runs."""
    return Spread.of([found for found in map(value, row.runs) if found is not None])


def told_of(error: Exception) -> tuple[str, str | None]:
    """What a row says of an error, and the traceback of one that nobody foresaw."""
    if lacks_memory(error):
        return "out of memory", None
    if not isinstance(error, SeatsError):
        said = error_line(error)
    elif type(error) is SeatsError:  # tells of what another package's method raises
        said = str(error)
    else:
        return str(error), None
    return said, "".join(traceback.format_exception(error))


def _free() -> None:
    """Give back what a run that failed has left behind."""
    gc.collect()
    if torch.cuda.is_available():
        with contextlib.suppress(RuntimeError):  # after some errors the GPU answers nothing more
            torch.cuda.empty_cache()
