"""Plans against real runs: tokens, FLOPs and the allocator's own count of memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.plan_check import CASES, check, checked
from tests.checkpoints import save_tiny_checkpoint


@pytest.mark.parametrize("number", [1, 5, 8])
def test_a_plan_is_what_the_run_takes(number, tmp_path):
    case = CASES[number]
    if case.model != "seats-nano":
        save_tiny_checkpoint(tmp_path / case.model, case.model)
    _holds(check(case, tmp_path))


@pytest.mark.slow
def test_ten_settings(tmp_path):
    found = checked(tmp_path)
    assert found["settings"] == 10
    for one in found["cases"]:
        _holds(one)


def _holds(one):
    tokens, flops, memory = one["tokens"], one["flops"], one["memory_bytes"]
    assert tokens["planned"] == tokens["real"]
    assert tokens["pre_llm_planned"] == tokens["pre_llm_real"]
    assert tokens["later_layers_off_by"] <= tokens["later_layers_promised_within"]
    assert flops["full_planned"] == flops["full_real"]
    if tokens["later_layers_off_by"] == 0:
        assert flops["planned"] == flops["real"]
    assert flops["relative_error"] == pytest.approx(0, abs=2e-3)
    assert memory["weights_planned"] == memory["weights_real"]
    assert abs(memory["activations_error"]) < 0.1


def test_planning_needs_no_torch():
    code = (
        "import sys, seats.plan.search, seats.plan.document; from seats.plan.model import planned_model; "
        "planned_model('qwen2.5-omni-7b'); sys.exit(any(m in sys.modules for m in ('torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
