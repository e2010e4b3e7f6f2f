"""Batches killed at random moments: nothing lost, nothing doubled, and the file is good."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.batch_kills import measure

CLIPS = 400
QUICK = """
import sys
from pathlib import Path
from seats.batch.jobs import Asked, Finished, Job, Made, Started
from seats.batch.run import run_batch
from tests.batch.made import make_row

class Instant:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def events(self, jobs, stop):
        for job in jobs:
            yield Started(job)
            for asked in job.asked:
                row = make_row(job.clip, id=asked.id, question=asked.question, ok="bad" not in job.clip)
                yield Made(job, asked, {**row, "filling": "x" * 5000})
            yield Finished(job, complete=True)

folder = Path(sys.argv[1])
jobs = [Job(str(path), (Asked(path.name, "what ?"),)) for path in sorted(folder.glob("*.mp4"))]
print("ready", flush=True)
run_batch(jobs, Path(sys.argv[2]), "s", Instant, retry_failed=len(sys.argv) > 3)
"""


@pytest.mark.slow
def test_kills_while_rows_are_written(tmp_path: Path) -> None:
    """Rows are made as fast as they can be written, files are renamed between runs, and failures asked again."""
    rng = random.Random(0)
    folder, out = tmp_path / "clips", tmp_path / "r.jsonl"
    folder.mkdir()
    for n in range(CLIPS):
        (folder / f"{'bad' if n % 20 == 0 else 'good'}-{n}.mp4").write_text(str(n))
    root = Path(__file__).parents[2]
    known: set[str] = set()
    cut = hit = 0
    for number in range(1000):
        some = rng.choice([path for path in folder.iterdir() if path.name.startswith("good")])
        some.rename(folder / f"good-{number}-renamed-{some.name[5:]}")
        again = ["again"] if number % 3 == 1 else []
        with subprocess.Popen(
            [sys.executable, "-c", QUICK, str(folder), str(out), *again], stdout=subprocess.PIPE, cwd=root
        ) as batch:
            assert batch.stdout is not None
            batch.stdout.readline()
            time.sleep(rng.uniform(0, 0.04))
            batch.kill() if number < 12 else batch.wait(60)
        hit += batch.returncode == -signal.SIGKILL
        lines = out.read_bytes().splitlines(keepends=True) if out.exists() else []
        cut += bool(lines) and not lines[-1].endswith(b"\n")
        rows = [json.loads(line) for line in lines if line.endswith(b"\n")]
        hashes = [row["content"]["hash"] for row in rows]
        assert len(set(hashes)) == len(hashes)
        answered = {row["content"]["hash"] for row in rows if row["status"] == "ok"}
        assert known <= answered
        known = answered
        if number >= 12:
            break
    assert hit >= 8
    assert len(rows) == CLIPS
    names = {Path(row["clip"] if row["status"] == "error" else row["clip"]["path"]).name for row in rows}
    assert names == {path.name for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc")
def test_kills_of_whole_batches(tmp_path: Path) -> None:
    figures = measure(tmp_path, clips=8, bad=1, kills=2, seed=3, start_s=6.0)
    assert figures.faults == []
    assert figures.kills == 2
    # How many rows were there by then is up to the machine; the test above kills while rows are written.
    assert sum(figures.moments.values()) == 2
