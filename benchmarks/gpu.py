"""Everything that is measured on a GPU, part by part: a process and a JSON file each.

    python benchmarks/gpu.py                       what there is to run, and what is done
    python benchmarks/gpu.py run 7b                the parts of one model: those whose names begin so, after "kernels"
    python benchmarks/gpu.py run                   all that is not done yet, as far as the GPU's memory allows
    python benchmarks/gpu.py run --budget 540      ends within 540 s; a part that may not end in time is left
    python benchmarks/gpu.py run 7b --dry          the same parts on a CPU with small models, in seconds

A part is done when its file holds its command and a success; `--again` runs it anyway. Files are written to this
folder (`--out`), in the form of `record.py`, and after every part all of them to $OUT/gpu-records.tar where that is
set: `tar xf gpu-records.tar -C benchmarks`. Wheels in a folder `wheels/` of the checkout are installed beside
everything else, for machines that reach no index.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.gpu_figures import figures
from benchmarks.record import machine
from seats.files import replacing

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks"
CLIPS = {dry: Path(tempfile.gettempdir()) / f"seats-gpu-720p-{seconds}s.mp4" for dry, seconds in ((0, 60), (1, 4))}
QUESTION = "What happens in this clip, and what is heard while it happens?"
KEEPS = (35, 25, 15, 10)
KERNEL_TESTS = (
    "tests/selection/test_triton_kernels.py",
    "tests/models/test_fused.py::test_kernels_do_what_tensor_operations_do",
)
"""Without these the figures would mean little, so they come first. Where they fail, the rest has fewer kernels."""
FEWER_KERNELS = {"all": "no-tma", "no-tma": "0"}
"""Values of SEATS_TRITON: what follows where kernels fail. With "0" there are none."""
NOT_TESTED = (2, 4, 5)
"""Exit codes of pytest: tests could not be collected, wrong usage, no tests."""
TEST_LIMIT = ("-o", "timeout=100", "-o", "timeout_method=thread")
"""A kernel that never ends holds its test where no signal reaches it; a thread ends the process, with where it was."""
CHOICE_TESTS = (
    "tests/cli/test_ask.py::test_the_built_in_model_on_a_gpu",
    "tests/methods/test_on_a_gpu.py",
    "tests/models/test_omni.py::test_weights_that_go_straight_to_their_device",
    "tests/models/test_fused.py::test_on_a_gpu_in_16_bits",
    "tests/models/test_window_attention.py",
    "tests/costs/test_memory.py::test_cuda_memory",
    "tests/costs/test_timers.py::test_cuda_steps_take_the_device_s_time_and_do_not_wait",
)
FAILURES = (
    "CUDA error", "illegal memory access", "CUBLAS_STATUS", "misaligned address",
    "triton.compiler.errors", "triton.runtime.errors", "Triton Error", "PassManager::run failed",
)  # fmt: skip
"""What a part says where a kernel may be to blame."""
SHORTAGES = (
    "CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED", "Triton Error [CUDA]: out of memory",
)  # fmt: skip
"""What it says in nearly the same words where there was no memory left."""
LIMIT_S = 530
"""No part may take longer: jobs are often limited to ten minutes."""
ROUNDS_SHARE = 0.6
"""Of a part's time, after which no round of measurements begins: those made are written while there is time."""
PATIENCE = 3
"""A part is ended after so many times what it should take, so that one that hangs leaves time for the others."""


FAILED = "-failed"
"""Ends the name of a record of what broke the device, where the part was run again."""


@dataclass(frozen=True)
class Model:
    """short: in names of parts. preset: of `seats bench`. small: what takes its place on a CPU. gib: of GPU memory that
    its weights and the largest workload of full tokens need."""

    short: str
    preset: str
    small: str
    gib: float


MODELS = (
    Model("7b", "qwen2.5-omni-7b", "small", 26),
    Model("3b", "qwen2.5-omni-3b", "small", 18),
    Model("30b", "qwen3-omni-30b-a3b", "small-moe", 72),
)


@dataclass(frozen=True)
class Part:
    """command: after `python`. about_s: what it should take; gib: GPU memory it needs. document: whether it prints
    JSON, else its last line of output is its result. limited: whether it takes --time-limit, seconds after which it
    begins nothing new."""

    name: str
    command: tuple[str, ...]
    about_s: int
    gib: float = 0.0
    document: bool = True
    limited: bool = True

    @property
    def file(self) -> str:
        return f"gpu-{self.name}.json"


def parts(dry: bool = False) -> list[Part]:
    """All parts in order of importance. dry: small stand-ins on a CPU."""
    made = [_tests("kernels", KERNEL_TESTS, 90, dry)]
    for model in MODELS:
        made += _parts_of(model, dry)
    if not dry:
        made.append(Part("plan-check", ("benchmarks/plan_check.py", "--device", "cuda"), 60, 4, limited=False))
    made.append(_tests("choices", CHOICE_TESTS, 200, dry))
    return made


def _parts_of(model: Model, dry: bool) -> list[Part]:
    def rounds(counted: int, warmups: int) -> tuple[str, ...]:
        return ("--rounds", "1", "--warmups", "0") if dry else ("--rounds", f"{counted}", "--warmups", f"{warmups}")

    name, short = model.small if dry else model.preset, model.short
    slow = 1.3 if short == "30b" else 1
    bench = ("-m", "seats_cli", "bench", "--model", name, "--json", "--debug", *(("--device", "cpu") if dry else ()))
    size = ("--tokens=60+25+20",) if dry else ()
    clip = ("--frames=4", "--size=160x120") if dry else ("--frames=128", "--size=854x480")
    keeps = [f"--keep={keep}%" for keep in ((10,) if dry else KEEPS)]
    tokens = (*bench, *size, "--stock", "--method=seats", *keeps, *rounds(5, 2), "--new-tokens=4")
    lasting = f"--seconds={2 if dry else 60}"
    frames = (*bench, *clip, lasting, "--stock", "--keep=10%", *rounds(3, 1), "--new-tokens=0")
    made = [
        Part(f"{short}-tokens", tokens, round(90 * slow), model.gib),
        Part(f"{short}-first-token", _first_token(name, dry, rounds(3, 1)), round(80 * slow), model.gib + 4),
        Part(f"{short}-frames", frames, round(80 * slow), model.gib + 8),
    ]
    if short == "7b":
        small = ("--device", "cpu", *size, *clip) if dry else ()
        profile = ("benchmarks/gpu_profile.py", "--model", name, *small)
        made.append(Part("7b-profile", profile, 65, model.gib + 8))
    methods = [f"--method={one}" for one in (("random",) if dry else _methods())]
    every = (*bench, *size, *methods, *keeps, *rounds(3, 1), "--new-tokens=0")
    made.append(Part(f"{short}-methods", every, round(130 * slow), model.gib))
    if short == "7b":
        hour = "--tokens=600+500+20" if dry else "--tokens=105984+90000+150"
        made.append(Part("7b-hour", (*bench, hour, "--keep=10%", *rounds(1, 1), "--new-tokens=2"), 100, 48))
    return made


def _methods() -> list[str]:
    from seats.methods.registry import BUILT_IN

    return [cls.name for cls in BUILT_IN if cls.name not in ("full", "seats")]


def _tests(name: str, tests: tuple[str, ...], about_s: int, dry: bool) -> Part:
    chosen = tests[-1:] if dry else tests
    limit = () if dry else TEST_LIMIT  # Triton's interpreter takes its time where others work, too
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", *limit, *chosen)
    return Part(name, command, about_s, 4, document=False, limited=False)


def _first_token(model: str, dry: bool, rounds: tuple[str, ...]) -> tuple[str, ...]:
    small = ("--device", "cpu", "--max-frames", "4", "--max-pixels", "12544", "--end", "3") if dry else ()
    profile = ("-m", "seats_cli", "profile", str(CLIPS[dry]), QUESTION, "--random-weights", "--model", model)
    return (*profile, "--json", "--debug", "--from-file", *small, "--keep", "10%", *rounds, "--new-tokens", "8")


@dataclass(frozen=True)
class Place:
    """Where parts run. out: of their files. env: of their processes."""

    out: Path
    env: dict[str, str]
    commit: str
    dry: bool

    def record(self, part: Part) -> dict[str, Any] | None:
        """What was recorded of a part by this command, failures included; else None, as of a file cut in writing."""
        found = read_record(self.out / part.file)
        return found if found is not None and found["command"] == ["python", *part.command] else None

    @property
    def kernels(self) -> str:
        """The Triton kernels that parts run with, as SEATS_TRITON names them."""
        return self.env.get("SEATS_TRITON") or "all"

    def fewer_kernels(self) -> None:
        """From now on parts run without the kernel most likely to fail, or if it is out already, without any."""
        self.env["SEATS_TRITON"] = FEWER_KERNELS[self.kernels]
        print(f"{'':16} the rest runs with fewer kernels (SEATS_TRITON={self.kernels})", flush=True)

    def hand_over(self) -> None:
        """All records so far in one file, for machines that give back few."""
        if folder := os.environ.get("OUT"):
            with replacing(Path(folder) / "gpu-records.tar") as beside, tarfile.open(beside, "w") as tar:
                for path in sorted(self.out.glob("gpu-*.json")):
                    tar.add(path, path.name)


def read_record(path: Path) -> dict[str, Any] | None:
    """None where there is no file, or nothing that `run` wrote in full."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) and found.keys() >= {"command", "exit_code", "result"} else None


def place(out: Path, dry: bool) -> Place:
    """Set up: wheels, paths, the commit (from git, or $SEATS_COMMIT where there is no repository)."""
    search = [str(ROOT)]
    wheels = sorted((ROOT / "wheels").glob("*.whl"))
    if wheels and not dry:
        site = Path(tempfile.gettempdir()) / "seats-gpu-site"
        if not site.exists():
            pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
            with tempfile.TemporaryDirectory(dir=site.parent) as new:  # what is only in part there must not stay
                if subprocess.run([*pip, "--target", f"{new}/site", *map(str, wheels)], check=False).returncode:
                    sys.exit(f"wheels cannot be installed: put those for this Python into {ROOT / 'wheels'}")
                Path(new, "site").rename(site)
        search.insert(0, str(site))
        sys.path.insert(0, str(site))
    before = os.environ.get("PYTHONPATH")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([*search, *([before] if before else [])])}
    env.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    if missing := [name for name in ("av", "soxr", "pytest") if find_spec(name) is None]:
        sys.exit(
            f"{' and '.join(missing)} cannot be imported: install them, or put their wheels into {ROOT / 'wheels'}"
        )
    return Place(out, env, os.environ.get("SEATS_COMMIT") or _commit(), dry)


def _commit() -> str:
    try:
        git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:  # there is no git
        return "unknown"
    return git.stdout.strip() or "unknown"


def run(part: Part, where: Place, limit_s: float = LIMIT_S) -> dict[str, Any]:
    """Run a part and write what it gave, its failure included. limit_s: it is ended then."""
    found = machine()  # before the part: it may leave a GPU that answers nothing
    began = time.perf_counter()
    clip = CLIPS[where.dry]
    if str(clip) in part.command and not clip.exists():
        from benchmarks.linearity import make_clip

        made = make_clip(clip.with_suffix(".part.mp4"), 4 if where.dry else 60, 1280, 720)
        made.rename(clip)
    seconds_for_clip = time.perf_counter() - began
    limit_s = max(1.0, min(limit_s - seconds_for_clip, LIMIT_S, PATIENCE * part.about_s))
    limit = ("--time-limit", f"{ROUNDS_SHARE * limit_s:.1f}") if part.limited else ()
    with tempfile.TemporaryFile() as errors:
        try:
            done = subprocess.run(
                [sys.executable, *part.command, *limit], cwd=ROOT, env=where.env, stdout=subprocess.PIPE, stderr=errors,
                timeout=limit_s, check=False,
            )  # fmt: skip
            code, output = done.returncode, done.stdout.decode(errors="replace")
        except subprocess.TimeoutExpired as late:
            code, output = 124, (late.stdout or b"").decode(errors="replace")
        errors.seek(0)
        said = errors.read().decode(errors="replace")[-4000:]
    result = _result(part, code, output)
    if part.document and not isinstance(result, dict):
        code, said = code or 1, f"{said}\nno document, but: {output[-2000:]}"
    record = {
        "command": ["python", *part.command],
        "exit_code": code,
        "commit": where.commit,
        "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - began - seconds_for_clip, 1),
        "machine": found,
        "kernels": where.kernels,
        "result": result,
        **({"stderr": said} if code else {}),
    }
    where.out.mkdir(parents=True, exist_ok=True)
    with replacing(where.out / part.file) as beside:  # jobs are ended at any moment
        beside.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    where.hand_over()
    return record


def _result(part: Part, code: int, output: str) -> Any:
    if part.document:
        begins = output.find("\n{") + 1  # a library may have printed a line before it
        for text in (output, output[begins:]):
            try:
                return json.loads(text)
            except ValueError:
                pass
        return None
    lines = output.strip().splitlines()
    return {"summary": lines[-1] if lines else "", "output": output[-20_000:] if code else None}


def free_gib() -> float:
    """Memory free on the GPU, 0 without one."""
    import torch

    return torch.cuda.mem_get_info()[0] / 2**30 if torch.cuda.is_available() else 0.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", nargs="?", choices=("plan", "run"), default="plan")
    parser.add_argument("names", nargs="*", help="parts, or how their names begin; all without any")
    parser.add_argument("--budget", type=float, default=float("inf"), metavar="SECONDS")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="FOLDER")
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--again", action="store_true")
    said = parser.parse_args(arguments)
    if said.dry and said.out == FOLDER:
        said.out = Path(tempfile.gettempdir()) / "seats-gpu-dry"
    ends = time.perf_counter() + said.budget
    where = place(said.out, said.dry)
    known = parts(said.dry)
    names = [*said.names, *(["kernels"] if said.names else [])]  # every run begins with these
    chosen = [part for part in known if not names or any(_begins(part.name, name) for name in names)]
    if unknown := [name for name in said.names if not any(_begins(part.name, name) for part in known)]:
        parser.error(f"no such part as {unknown[0]}: choose from {', '.join(part.name for part in known)}")
    failed = 0
    for part in chosen:
        left = ends - time.perf_counter()
        before = where.record(part)
        state = "done" if before and before["exit_code"] == 0 and not said.again else "to do"
        print(f"{part.name:16} {state:6} about {part.about_s} s, {part.gib:g} GiB", flush=True)
        if part.name == "kernels" and state == "done" and before:  # what failed in an earlier call stays out
            where.env.setdefault("SEATS_TRITON", before.get("kernels", "all"))
        if said.action == "plan" or state == "done":
            continue
        if part.about_s > left:
            print(f"{'':16} left for the next call: {left:.0f} s of the budget remain", flush=True)
            continue
        try:
            if not said.dry and part.gib > free_gib():
                print(f"{'':16} left out: {free_gib():.0f} GiB are free on the GPU", flush=True)
                continue
            failed += not _measured(part, where, ends)
        except Exception:  # the other parts' measurements are not to be lost with this one's
            failed += 1
            traceback.print_exc()
    return 1 if failed else 0


def _measured(part: Part, where: Place, ends: float) -> bool:
    """Run a part, again with fewer kernels where they may be to blame, and tell what came of it.

    ends: on the clock of `time.perf_counter`. Returns whether it worked.
    """
    record = run(part, where, ends - time.perf_counter())
    while where.kernels in FEWER_KERNELS and _kernels_failed(part, record):
        where.fewer_kernels()
        left = ends - time.perf_counter()
        if part.about_s > left or (part.name == "kernels" and where.kernels == "0"):
            break
        (where.out / part.file).rename(where.out / f"gpu-{part.name}{FAILED}.json")
        record = run(part, where, left)
    print(f"{'':16} took {record['seconds']:.0f} s, exit {record['exit_code']}", flush=True)
    if record["exit_code"]:
        print(record.get("stderr", "")[-1500:], (record["result"] or {}).get("output") or "", flush=True)
    print(*figures({part.name: record}), sep="\n", flush=True)
    return bool(record["exit_code"] == 0)


def _kernels_failed(part: Part, record: dict[str, Any]) -> bool:
    """Whether the kernels' tests failed, the device gave up in the middle, as after an illegal access by a kernel, or a
    kernel could not be built, in some of a part's rows or in all of it."""
    if part.name == "kernels" and record["exit_code"]:
        return record["exit_code"] not in NOT_TESTED
    told = json.dumps(record["result"]) + record.get("stderr", "")
    for shortage in SHORTAGES:
        told = told.replace(shortage, "")
    return any(sign in told for sign in FAILURES)


def _begins(name: str, with_what: str) -> bool:
    return name == with_what or name.startswith(f"{with_what}-")


if __name__ == "__main__":
    sys.exit(main())
