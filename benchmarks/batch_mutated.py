"""Damaged files through the decoder of `seats batch`: a clear error or an honest partial read, and nothing worse.

    python benchmarks/record.py batch-mutated -- python benchmarks/batch_mutated.py

A read is honest if pictures and sound reach as far as the clip is said to last, or a note says what is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.batch_corpus import Mutant, make_mutants, make_parents
from seats.batch.decoding import Decoded, Decoder
from seats.batch.settings import ClipSettings
from seats.errors import SeatsError
from seats.media import Clip, FrameSampling

TIMEOUT_S = 20.0
MEMORY = 2**30
_SLACK_S = 1.0


@dataclass
class Figures:
    """outcomes: files by what became of them. by_container: the same for each container. errors: by their message
    without the path. slowest_s: longest read of a file, hashing included. peak_bytes: most memory of a decoder above
    its idle state. shorter: files read without a note that last less than the undamaged one, by container: what they
    say of themselves agrees with what is in them. faults: what is not as it should be, a line each."""

    files: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    by_container: dict[str, Counter[str]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    peak_bytes: int = 0
    shorter: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def measure(folder: Path, count: int, seed: int = 0, keep: Callable[[Mutant], None] = lambda _: None) -> Figures:
    """Make `count` mutants in `folder` and read each, with 20 s and 1 GiB for one. keep: gets those with a fault."""
    settings = ClipSettings(FrameSampling(), timeout_s=TIMEOUT_S, memory_bytes=MEMORY)
    figures = Figures()
    decoder = Decoder(MEMORY)
    try:
        parents = make_parents(folder / "parents")
        whole: dict[Path, Clip] = {}
        for parent in parents:
            decoded = decoder.decode(str(parent), settings)
            if decoded.clip is None or not _reaches_its_end(decoded.clip):
                raise SystemExit(f"{parent.name} cannot be read undamaged: {decoded.error}")
            whole[parent] = decoded.clip
        idle, pid = _peak(decoder), _pid(decoder)
        for mutant in make_mutants(folder / "mutants", parents, count, seed):
            began = time.monotonic()
            decoded = decoder.decode(str(mutant.path), settings)
            seconds = time.monotonic() - began
            outcome = _outcome(decoded, whole[mutant.parent])
            figures.files += 1
            figures.outcomes[outcome] += 1
            figures.by_container.setdefault(mutant.parent.suffix, Counter())[outcome] += 1
            figures.slowest_s = max(figures.slowest_s, seconds)
            if outcome == "whole" and decoded.clip.duration_s < whole[mutant.parent].duration_s - _SLACK_S / 4:
                figures.shorter[mutant.parent.suffix] += 1
            fault = _fault(mutant, decoded, outcome, seconds)
            if decoded.error is not None:
                figures.errors[str(decoded.error).replace(str(mutant.path), "").split(";")[0].strip(": ")] += 1
            if _pid(decoder) == pid:
                figures.peak_bytes = max(figures.peak_bytes, _peak(decoder) - idle)
            else:  # another child, which has not read anything yet
                pid = _pid(decoder)
            if fault is not None:
                figures.faults.append(f"{mutant.path.name} of {mutant.parent.name}: {fault}")
                keep(mutant)
            mutant.path.unlink()
    finally:
        decoder.close()
    return figures


def _outcome(decoded: Decoded, undamaged: Clip) -> str:
    if decoded.error is not None:
        said = str(decoded.error)
        for sign, outcome in (("crashed", "crash"), ("longer than", "timeout"), ("GiB of memory", "memory")):
            if sign in said:
                return outcome
        return "error"
    assert decoded.clip is not None
    if set(decoded.clip.notes) - set(undamaged.notes):
        return "partial, with a note"
    return "whole" if _reaches_its_end(decoded.clip) else "shorter, nothing said"


def _fault(mutant: Mutant, decoded: Decoded, outcome: str, seconds: float) -> str | None:
    if seconds > TIMEOUT_S + 3:
        return f"took {seconds:.1f} s"
    if outcome in ("crash", "timeout"):
        return str(decoded.error)
    if outcome == "shorter, nothing said":
        return f"{outcome}: {_reach(decoded.clip)} of {decoded.clip.duration_s:.2f} s"  # type: ignore[union-attr]
    error = decoded.error
    if error is None:
        return None
    if not isinstance(error, SeatsError) or "unexpected" in str(error):
        return f"{type(error).__name__}: {error}"
    if "\n" in str(error) or mutant.path.name not in str(error):
        return f"not one line with its name: {error}"
    return None


def _reach(clip: Clip) -> list[float]:
    """When pictures and sound end, seconds from the clip's start."""
    ends = []
    if clip.video is not None:
        ends.append(clip.video.times[-1] + 1 / clip.video.fps)
    if clip.audio is not None:
        ends.append(len(clip.audio.waveform) / 16_000)
    return ends


def _reaches_its_end(clip: Clip) -> bool:
    """Whether something reaches the clip's end, and nothing ends much before."""
    length = clip.end_s - clip.start_s
    return bool(_reach(clip)) and min(_reach(clip)) >= length - max(_SLACK_S, 0.05 * length)


def _pid(decoder: Decoder) -> int | None:
    return decoder._child.process.pid if decoder._child is not None else None


def _peak(decoder: Decoder) -> int:
    try:
        status = Path(f"/proc/{_pid(decoder)}/status").read_text()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files with a fault")
    options = parser.parse_args()

    def keep(mutant: Mutant) -> None:
        if options.keep is not None:
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / mutant.path.name).write_bytes(mutant.path.read_bytes())

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), options.files, options.seed, keep)
    document: dict[str, Any] = {
        "files": figures.files,
        "seed": options.seed,
        "limits": {"seconds": TIMEOUT_S, "bytes": MEMORY},
        "outcomes": dict(figures.outcomes.most_common()),
        "by_container": {suffix: dict(counts.most_common()) for suffix, counts in figures.by_container.items()},
        "errors": dict(figures.errors.most_common()),
        "read_as_whole_but_shorter_than_undamaged": dict(figures.shorter),
        "slowest_s": round(figures.slowest_s, 2),
        "peak_bytes_above_idle": figures.peak_bytes,
        "seconds": round(time.monotonic() - began, 1),
        "faults": figures.faults,
    }
    print(json.dumps(document))
    sys.exit(bool(figures.faults))


if __name__ == "__main__":
    main()
