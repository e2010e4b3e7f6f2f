"""Alternation, failures of single settings, and what is said of the times."""

import gc
import weakref

import pytest
import torch

from seats.bench.measure import Row, Run, Spread, alternate, beside_full, counted, ratios, spread
from seats.bench.report import rows_json
from seats.errors import SeatsError, SettingsError
from seats.keep import FULL, Setting, settings_of


def run_of(ms: float, token: float | None = None) -> Run:
    return Run({"prefill": ms}, ms, None, token, 1, 1, None, None)


def test_settings_begin_with_full_tokens_and_name_each_once():
    made = beside_full(settings_of(["seats", "full", "seats", "random"], [10.0, 35.0, 10.0]), stock=True)
    labels = ["full", "stock", "seats 10%", "seats 35%", "random 10%", "random 35%"]
    assert [setting.label for setting in made] == labels


def test_settings_take_turns_and_warm_ups_do_not_count():
    seen, said, rounds = [], [], []

    def run(setting):
        seen.append(setting.label)
        return run_of(float(len(seen)))

    settings = [FULL, Setting("seats", 10.0)]
    rows = alternate(settings, run, 2, 1, lambda: rounds.append(len(seen)), announce=said.append)
    assert seen == ["full", "seats 10%"] * 3
    assert [[r.prefill_ms for r in row.runs] for row in rows] == [[3.0, 5.0], [4.0, 6.0]]
    assert rounds == [0, 2, 4]
    rounds = ["warm-up 1 of 1", "round 1 of 2", "round 2 of 2"]
    assert said == [f"{where}: {label}" for where in rounds for label in ("full", "seats 10%")]


def test_what_was_loaded_may_be_collected_again_afterwards():
    alternate([FULL], lambda _: run_of(1.0), 1, 0)
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried ..."), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."), "out of memory"),
        (SettingsError("seats cannot keep that"), "seats cannot keep that"),
    ],
)
def test_one_setting_that_fails_leaves_the_others(error, said):
    calls = []

    def run(setting):
        calls.append(setting)
        if setting == FULL and len(calls) > 2:
            raise error
        return run_of(1.0)

    other = Setting("seats", 10.0)
    full, seats = alternate([FULL, other], run, 3, 0)
    assert (full.error, full.traceback, full.runs, full.done) == (said, None, [], False)
    assert len(seats.runs) == 3
    assert calls.count(FULL) == 2  # not tried again
    assert ratios(full, seats, lambda r: r.prefill_ms) is None


def test_what_a_failed_setting_held_is_gone_before_memory_is_given_back(monkeypatch):
    held, there = [], []

    def run(setting):
        tensor = torch.zeros(8)
        held.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError(f"no room beside {len(tensor)}")

    monkeypatch.setattr("seats.bench.measure._free", lambda: there.append(held[-1]() is not None))
    alternate([FULL], run, 1, 0)
    assert there == [False]


def test_an_error_that_nobody_foresaw_leaves_the_others_and_is_told_in_full():
    def run(setting):
        if setting != FULL:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return run_of(1.0)

    full, broken = alternate([FULL, Setting("seats", 10.0)], run, 2, 0)
    assert len(full.runs) == 2
    assert broken.error == "unexpected RuntimeError: mat1 and mat2 shapes cannot be multiplied"
    assert "in run" in broken.traceback
    told = rows_json([full, broken], None, encoders=False)
    assert told[1]["traceback"] == broken.traceback
    assert "traceback" not in told[0]


def test_an_error_of_several_lines_is_told_on_one():
    def run(setting):
        raise RuntimeError("shapes\n  cannot be multiplied")

    (row,) = alternate([FULL], run, 1, 0)
    assert row.error == "unexpected RuntimeError: shapes cannot be multiplied"
    assert "shapes\n  cannot" in row.traceback


def test_what_another_package_s_method_raises_is_told_in_full_and_a_refusal_is_not():
    def run(setting):
        if setting.method == "theirs":
            raise SeatsError("method 'theirs' cannot be set up: its for_model raises 'x'") from KeyError("x")
        if setting.method == "fastv":
            raise SettingsError("fastv cannot keep 10 %")
        return run_of(1.0)

    _, theirs, refused = alternate([FULL, Setting("theirs", 10.0), Setting("fastv", 10.0)], run, 1, 0)
    assert "KeyError: 'x'" in theirs.traceback
    assert refused.traceback is None


def test_a_device_that_gives_up_between_rounds_leaves_what_was_measured():
    rounds = []

    def on_round():
        rounds.append(len(rounds))
        if len(rounds) == 3:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    full, seats = alternate([FULL, Setting("seats", 10.0)], lambda _: run_of(1.0), 5, 0, on_round)
    assert len(full.runs) == len(seats.runs) == 2
    assert (full.error, seats.error) == (None, None)
    rounds[:] = [0, 1]
    (none,) = alternate([FULL], lambda _: run_of(1.0), 5, 0, on_round)
    assert none.error == "unexpected RuntimeError: CUDA error: an illegal memory access was encountered"


@pytest.mark.skipif(not hasattr(torch, "AcceleratorError"), reason="torch before 2.10 has no class for it")
@pytest.mark.parametrize("done", [2, 0])
def test_a_device_that_is_lost_in_a_round_leaves_the_rounds_before_it(done):
    settings, calls = [FULL, Setting("seats", 35.0), Setting("seats", 10.0), Setting("fastv", 10.0)], []

    def run(setting):
        calls.append(setting)
        if len(calls) == len(settings) * done + 3:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        return run_of(1.0)

    rows = alternate(settings, run, 5, 0)
    assert [len(row.runs) for row in rows] == [done, done, 0, done]
    assert len(calls) == len(settings) * done + 3  # it answers nothing more
    assert "illegal memory access" in rows[2].error
    assert "in run" in rows[2].traceback
    others = [row.error for row in rows if row is not rows[2]]
    assert others == [None if done else rows[2].error] * 3


def test_a_limit_ends_the_rounds_but_not_before_one_counts():
    calls = []

    def run(setting):
        calls.append(setting)
        return run_of(1.0)

    rows = alternate([FULL, Setting("seats", 10.0)], run, 5, 2, limit_s=0.0)
    assert len(calls) == 6  # two rounds to warm up, one that counts
    assert [len(row.runs) for row in rows] == [1, 1]
    assert counted(rows) == 1
    assert counted(alternate([FULL], run, 3, 0, limit_s=60.0)) == 3


def test_ratios_are_of_runs_of_the_same_round():
    # Both get slower from round to round; medians of either alone would hide that the ratio stays.
    full = Row(FULL, [run_of(10.0, 2.0), run_of(40.0, 2.0), run_of(30.0, 2.0)])
    fast = Row(Setting("seats", 10.0), [run_of(5.0), run_of(10.0), run_of(10.0)])
    assert ratios(full, fast, lambda r: r.prefill_ms) == Spread(3.0, 2.0, 4.0)
    assert ratios(full, fast, lambda r: r.per_token_ms) is None
    assert spread(full, lambda r: r.prefill_ms) == Spread(30.0, 10.0, 40.0)
    assert spread(fast, lambda r: r.per_token_ms) is None


def test_over_a_time_of_nothing_there_is_no_ratio():
    full, fast = Row(FULL, [run_of(10.0), run_of(8.0)]), Row(Setting("seats", 10.0), [run_of(0.0), run_of(4.0)])
    assert ratios(full, fast, lambda r: r.prefill_ms) == Spread(2.0, 2.0, 2.0)
