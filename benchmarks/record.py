"""Run a command that prints one JSON document, and record it with the command, the commit and the machine.

    python benchmarks/record.py NAME -- seats eval shapes-and-sounds --method full --json

writes benchmarks/NAME.json.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(__file__).parent


def machine() -> dict[str, str | int]:
    """Processor, cores, memory and GPU, as far as they can be told."""
    facts: dict[str, str | int] = {"system": platform.system(), "cores": os.cpu_count() or 0}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("model name"))
        facts["processor"] = next(lines, ": unknown").split(":", 1)[1].strip()
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        facts["memory_gib"] = round(int(meminfo.read_text().split()[1]) / 2**20)
    try:
        import torch

        facts["torch"] = torch.__version__
        facts["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    except ImportError:
        pass
    return facts


def main() -> None:
    if len(sys.argv) < 4 or sys.argv[2] != "--":
        sys.exit(__doc__)
    name, command = sys.argv[1], sys.argv[3:]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        result = json.loads(done.stdout)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run ({error.strerror}); nothing is recorded")
    except ValueError:
        sys.exit(f"{command[0]} (exit {done.returncode}) printed no JSON document; nothing is recorded")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=FOLDER, stdout=subprocess.PIPE, text=True, check=True)
    record = {
        "command": command,
        "exit_code": done.returncode,
        "commit": commit.stdout.strip(),
        "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "result": result,
    }
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
