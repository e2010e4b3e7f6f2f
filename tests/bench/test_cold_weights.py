"""`benchmarks/cold_weights.py` on a tiny checkpoint."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from seats.models.checkpoint import Checkpoint
from seats.models.weight_files import thinker_bytes
from tests.checkpoints import save_tiny_checkpoint

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "cold_weights.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="drops files from the kernel's cache as Linux does")
def test_both_ways_are_measured(tmp_path):
    save_tiny_checkpoint(tmp_path / "tiny", "qwen2.5-omni")
    command = [sys.executable, SCRIPT, "--folder", tmp_path, "--model", "tiny", "--rounds", "1"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found["bytes"] == thinker_bytes(Checkpoint("tiny", tmp_path / "tiny"))
    plain, ahead = found["rounds"][0]["plain"], found["rounds"][0]["ahead"]
    assert found["ratio"]["median"] == plain["total_s"] / ahead["total_s"]
    assert all(one["total_s"] == pytest.approx(one["imports_s"] + one["weights_s"]) for one in (plain, ahead))
