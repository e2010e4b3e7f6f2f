import math
from dataclasses import replace
from pathlib import Path

import pytest

from seats.evaluation.qa import QAItem
from seats.evaluation.results import results
from seats.evaluation.rows import Row
from seats.evaluation.run import Evaluation, Plan
from seats.evaluation.settings import Asking, Compared
from seats.evaluation.statistics import compare
from seats.keep import FULL, Setting
from seats.methods import Full, Random
from tests.evaluation import made as maker
from tests.evaluation.made import made


def test_accuracy_by_type_and_of_all():
    found = made({"full": "1100"}, "aabb", "vava")
    (full,) = found.settings
    assert {name: (x.right, x.total) for name, x in full.accuracy.items()} == {"a": (1, 2), "v": (1, 2), "all": (2, 4)}
    assert found.types == {"a": 2, "v": 2, "all": 4}
    assert (found.questions, found.clips) == (4, 2)
    assert full.accuracy["all"].design_effect > 1  # both right about one clip, both wrong about the other
    assert [wrong.item.id for wrong in full.wrong] == ["2", "3"]
    assert full.wrong[0].given == "blue"


def test_a_method_is_compared_with_full_on_the_same_questions():
    found = made({"full": "11110", "seats 10": "11001"}, "abcde")
    full, seats = found.settings
    assert full.versus_full is None
    assert seats.versus_full == compare([True, True, False, False, True], [True] * 4 + [False], list("abcde"))
    assert seats.versus_full.share_of_full == pytest.approx(3 / 4)


def test_equal_questions_with_other_right_answers_are_compared_each_by_its_own():
    setting = Setting("random", 10.0)
    compared = Compared((FULL, setting), {FULL: Full(), setting: Random(0.5, 0.5)}, {})
    evaluation = Evaluation(compared, Asking(), {}, {FULL: "full", setting: "random"})
    items = [QAItem(str(n), Path("a.mp4"), "which ?", (answer,)) for n, answer in enumerate(("ring", "star", "cross"))]
    plan = Plan(tuple((item, "which", "a") for item in items), ())
    rows = [Row("which", label, "0", "a.mp4", "", label, "answered", answer="star") for label in ("full", "random")]
    full, random = results("made", "a-model", evaluation, plan, {row.key: row for row in rows}).settings
    assert (full.accuracy["all"].right, full.accuracy["all"].total) == (1, 3)
    assert (random.versus_full.difference, random.versus_full.share_of_full) == (0, 1)


def test_without_full_there_is_no_comparison():
    found = made({"seats 10": "11"}, "ab")
    assert found.settings[0].versus_full is None
    assert found.full() is None


def test_clips_that_a_method_cannot_serve_are_left_out_and_counted():
    found = made({"full": "110011", "dycoke 10": "uu1uu0"}, "aabccd")
    dycoke = found.settings[1]
    assert (dycoke.asked, dycoke.answered, dycoke.unserved, dycoke.unserved_clips) == (6, 2, 4, 2)
    assert dycoke.partial
    assert not dycoke.unreachable
    assert dycoke.reason in ("a: no", "c: no")
    assert (dycoke.accuracy["all"].right, dycoke.accuracy["all"].total) == (1, 2)
    # Full tokens got one of these two right, and four of all six.
    assert (dycoke.versus_full.full.right, dycoke.versus_full.total) == (1, 2)
    assert dycoke.versus_full.difference == 0


def test_failures_are_neither_right_nor_wrong():
    full, seats = made({"full": "1f1", "seats 10": "0f1"}, "abc").settings
    assert (full.failed, full.accuracy["all"].right, full.accuracy["all"].total) == (1, 2, 2)
    assert seats.versus_full.total == 2
    none = made({"full": "ff"}, "ab")
    (nothing,) = none.settings
    assert none.full() is None
    assert (nothing.failed, nothing.reached, nothing.unreachable, nothing.accuracy) == (2, False, False, {})


def test_what_cannot_be_served_has_not_failed():
    _, dycoke = made({"full": "11f", "dycoke 10": "u1f"}, "abc").settings
    assert (dycoke.asked, dycoke.answered, dycoke.unserved, dycoke.failed) == (3, 1, 1, 1)


def test_unreachable_by_shape_or_by_every_clip():
    full, dycoke, fastv = made({"full": "11", "dycoke 10": "uu"}, "ab", unreachable=("fastv 10",)).settings
    for nowhere, reason in ((dycoke, "a: no"), (fastv, "fastv 10 won't do")):
        assert nowhere.unreachable
        assert not nowhere.partial
        assert (nowhere.reason, nowhere.answered, nowhere.unserved, nowhere.unserved_clips) == (reason, 0, 2, 2)
        assert nowhere.versus_full is None
        assert nowhere.llm_flops is None
    assert full.reached


def test_all_questions_to_a_method_that_cannot_be_set_up_have_failed():
    broken = made({"full": "11"}, "ab", broken=("mine 10",)).settings[1]
    assert (broken.asked, broken.failed, broken.unserved, broken.unreachable) == (2, 2, 0, False)
    assert broken.reason == "mine 10 won't do"


def test_cost_is_of_the_answered_questions():
    seats = made({"full": "111", "seats 10": "11u"}, "abm").settings[1]
    assert seats.llm_flops == pytest.approx(0.2 * 4e9)
    assert seats.llm_flops_share == pytest.approx(0.2)
    assert seats.prefill_ms == pytest.approx(40 * 0.2 + 1.5)
    assert math.isclose(seats.video, 0.2)


def test_the_share_of_cost_is_of_all_questions_together(monkeypatch):
    row_of, full = maker._row, {"a": 9e9, "b": 1e9}

    def dearer(item, setting, letter):
        row = row_of(item, setting, letter)
        return replace(row, llm_flops_full=full[item.clip.stem], llm_flops=1e9)

    monkeypatch.setattr(maker, "_row", dearer)
    (seats,) = made({"seats 10": "11"}, "ab").settings
    assert seats.llm_flops_share == pytest.approx(2 / 10)


def test_a_modality_that_some_clips_lack_is_averaged_over_the_others():
    assert made({"seats 35": "11"}, "am").settings[0].audio == 0.5
    assert made({"seats 35": "1"}, "m").settings[0].audio is None
