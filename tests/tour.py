"""A new user's way through an installed package, from a folder of their own: `python tests/tour.py dist/seats-….whl`.

Given a wheel, it is installed with pip into an empty environment, with what constraints.txt pins, and toured there; the
tests tour the wheel beside their own environment's packages. Only the standard library is used here.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
SAMPLES = ("simple.mp4", "crossing.mp4")
QUESTION = "Which shape is orange?"
STREAM = """
import asyncio, seats

async def show():
    model = seats.load_model(seats.find_checkpoint("seats-nano"))
    clip = seats.load_clip("samples/simple.mp4", sampling=model.sampling)
    stream = seats.stream(model, clip, seats.Question("Which shape is orange?"))
    print("".join([piece async for piece in stream]).strip(), stream.answer.latency_ms["first_token"] > 0)

asyncio.run(show())
"""


class Tour:
    """python, seats: how they are started. folder: where to, which must be empty; it gets the sample clips."""

    def __init__(
        self, python: Sequence[str], seats: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.python, self.seats_command, self.folder = list(python), list(seats), folder
        home = folder / "home"
        self.environment = {**environment, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "NO_COLOR": "1"}
        (folder / "samples").mkdir(parents=True)
        for name in SAMPLES:
            shutil.copy(ROOT / "samples" / name, folder / "samples")

    def run(self) -> None:
        """Every step; AssertionError names the one that does not do what it should."""
        for name in [name for name in dir(self) if name.startswith("tour_")]:
            began = time.monotonic()
            getattr(self, name)()
            print(f"{name.removeprefix('tour_').replace('_', ' ')}: {time.monotonic() - began:.1f} s", file=sys.stderr)

    def seats(self, *arguments: str) -> str:
        """Standard output of a command that must succeed."""
        return self._output([*self.seats_command, *arguments])

    def _output(self, command: list[str]) -> str:
        ran = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=280
        )
        assert ran.returncode == 0, f"{command}: {ran.stderr[-2000:]}"
        return ran.stdout

    def tour_a_look_around(self) -> None:
        where = self._output([*self.python, "-c", "import seats, seats_cli; print(seats.__file__, seats_cli.__file__)"])
        assert str(ROOT / "seats") not in where, f"the checkout was imported: {where}"
        assert re.fullmatch(r"seats \d+\.\d+\.\d+\n", self.seats("--version"))
        assert "The built-in model can run here" in self.seats("doctor", "--offline")
        assert "seats-nano" in self.seats("models")

    def tour_ask_and_plan(self) -> None:
        asked = ("samples/simple.mp4", QUESTION, "--model", "seats-nano", "--json")
        answer, plan = (json.loads(self.seats(name, *asked)) for name in ("ask", "plan"))
        assert answer["answer"] == "ring", answer["answer"]
        assert plan["tokens"]["video"]["full"] == answer["tokens"]["video"]["full"]
        assert plan["tokens"]["audio"]["full"] == answer["tokens"]["audio"]["full"]

    def tour_view(self) -> None:
        self.seats("view", "samples/simple.mp4", QUESTION, "--out", "map.html", "--model", "seats-nano")
        page = (self.folder / "map.html").read_text(encoding="utf-8")
        assert len(page) > 50_000
        assert not re.search(r"""(src|href)=["']?https?:""", page)

    def tour_batch_and_report(self) -> None:
        asked = ("batch", "samples", QUESTION, "--out", "rows.jsonl", "--model", "seats-nano")
        self.seats(*asked)
        rows = [json.loads(line) for line in (self.folder / "rows.jsonl").read_text().splitlines()]
        assert sorted((row["id"], row["status"]) for row in rows) == [(name, "ok") for name in sorted(SAMPLES)]
        self.seats(*asked)
        assert len((self.folder / "rows.jsonl").read_text().splitlines()) == len(SAMPLES), "it did not resume"
        assert "2 answered" in self.seats("report", "rows.jsonl", "--html", "report.html")
        assert (self.folder / "report.html").stat().st_size > 10_000

    def tour_python(self) -> None:
        page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
        found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
        assert found is not None
        said = self._output([*self.python, "-c", found[1] + STREAM])
        assert said.startswith("circle ")
        assert said.endswith("\nring True\n")


def main() -> None:
    """Install a wheel into an empty environment and tour it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("wheel", type=Path)
    wheel = parser.parse_args().wheel.resolve()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        venv.create(folder / "venv", with_pip=True)
        binaries = folder / "venv" / "bin"
        install = [binaries / "python", "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel]
        began = time.monotonic()
        subprocess.run(install, check=True)
        print(f"installed: {time.monotonic() - began:.0f} s", file=sys.stderr)
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SEATS_", "VIRTUAL"))
        }
        Tour([str(binaries / "python")], [str(binaries / "seats")], folder / "away", clean).run()


if __name__ == "__main__":
    main()
