from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seats.report import report
from seats.report.summary import Against, Comparison
from tests.report.make import error_row, full_row, ok_row, write


def against(tmp_path: Path, here: list[dict[str, Any]], there: list[dict[str, Any]]) -> Against:
    made = report(write(tmp_path / "here.jsonl", *here), write(tmp_path / "there.jsonl", *there))
    assert made.against is not None
    return made.against


def compared(tmp_path: Path, here: list[dict[str, Any]], there: list[dict[str, Any]]) -> Comparison:
    (comparison,) = against(tmp_path, here, there).comparisons
    return comparison


def with_content(row: dict[str, Any], content: str, path: str | None = None) -> dict[str, Any]:
    row["content"] = {"hash": content, "bytes": 1, "stat": None}
    if path:
        row["clip"]["path"] = path
    return row


def test_ratios_of_medians_and_of_pairs(tmp_path: Path) -> None:
    here = [ok_row(i, scale=scale) for i, scale in enumerate((1, 2, 4))]
    there = [full_row(i, scale=scale) for i, scale in enumerate((4, 4, 4))]
    found = compared(tmp_path, here, there)
    assert (found.pairs, found.paired_by, found.only_here, found.only_there) == (3, "path", 0, 0)
    total = found.latency["total"]
    assert (total.median, total.median_against, total.ratio) == (2000.0, 4000.0, 2.0)
    assert total.per_pair.median == 2.0
    assert total.per_pair.p05 == pytest.approx(1.1)
    assert total.per_pair.p95 == pytest.approx(3.8)
    assert found.latency["selection_and_prefill"].median == pytest.approx(200.0)
    assert found.flops.ratio == pytest.approx(560 / 210)  # type: ignore[union-attr]
    assert "selection" not in found.latency


def test_a_step_is_compared_over_the_pairs_that_both_have_it(tmp_path: Path) -> None:
    here, there = ([make(i, scale=scale) for i in range(3)] for make, scale in ((ok_row, 1e-3), (full_row, 2e-3)))
    here[1]["latency_ms"]["decode_clip"] = there[2]["latency_ms"]["decode_clip"] = None
    found = compared(tmp_path, here, there)
    assert (found.latency["decode_clip"].pairs, found.latency["prepare"].pairs) == (1, 3)
    assert found.latency["decode_clip"].ratio == pytest.approx(2)


def test_only_the_same_question_about_the_same_part_is_paired(tmp_path: Path) -> None:
    part = ok_row(3)
    part["clip"]["start_s"] = 1.0
    here = [ok_row(0), ok_row(1), ok_row(2, question="Who ?"), part]
    found = compared(tmp_path, here, [full_row(0), full_row(2), full_row(3), full_row(9)])
    assert (found.pairs, found.only_here, found.only_there) == (1, 3, 3)


def test_rows_that_a_file_repeats_are_none_of_it_alone(tmp_path: Path) -> None:
    found = compared(tmp_path, [ok_row(0), ok_row(0), ok_row(0), ok_row(1)], [full_row(0), full_row(2), full_row(2)])
    assert (found.pairs, found.only_here, found.only_there) == (1, 1, 1)


def test_answers_that_differ_are_quoted(tmp_path: Path) -> None:
    here = [ok_row(0), ok_row(1, answer="a ring"), ok_row(2, answer="square ")]
    there = [full_row(2, answer="square"), full_row(1, answer="ring\nor not"), full_row(0)]
    found = compared(tmp_path, here, there)
    assert (found.same_answers, found.different_answers) == (2, 1)
    (example,) = found.examples
    assert (example.answer, example.answer_against) == ("a ring", "ring or not")
    assert (example.line, example.line_against, example.clip) == (2, 2, "clips/1.mp4")


def test_groups_go_with_the_only_one_of_the_same_method(tmp_path: Path) -> None:
    found = against(tmp_path, [ok_row(0), full_row(0)], [ok_row(0, scale=2, settings="frames 8"), full_row(0)])
    assert [comparison.latency["total"].ratio for comparison in found.comparisons] == [2.0, 1.0]
    assert found.unpaired == ()


def test_moved_clips_are_paired_by_content_then_by_name(tmp_path: Path) -> None:
    here = [with_content(ok_row(i), f"hash {i}", f"old/{i}.mp4") for i in range(3)]
    there = [with_content(full_row(i), f"hash {i}", f"new/renamed {i}.mp4") for i in range(3)]
    assert compared(tmp_path, here, there).paired_by == "content"
    there = [full_row(i) for i in range(3)]
    found = compared(tmp_path, here, there)
    assert (found.paired_by, found.pairs) == ("file name", 3)


def test_copies_of_a_clip_that_are_paired_by_content_are_none_of_one_file_alone(tmp_path: Path) -> None:
    here, there = (
        [with_content(ok_row(0), "one", f"{folder}/{name}.mp4") for name in ("one", "two")] for folder in "ab"
    )
    found = compared(tmp_path, here, [{**row, "method": full_row(0)["method"]} for row in there])
    assert (found.paired_by, found.pairs, found.only_here, found.only_there) == ("content", 1, 0, 0)


def test_a_clip_whose_content_changed_is_another(tmp_path: Path) -> None:
    here = [with_content(ok_row(i), f"hash {i}") for i in range(3)]
    there = [with_content(full_row(i), f"hash {i}" if i else "changed") for i in range(3)]
    found = compared(tmp_path, here, there)
    assert (found.paired_by, found.pairs) == ("path", 2)
    there = [with_content(full_row(i), f"changed {i}") for i in range(3)]
    assert compared(tmp_path, here, there).pairs == 0


def test_file_names_that_occur_twice_are_not_paired(tmp_path: Path) -> None:
    def at(row: dict[str, Any], path: str) -> dict[str, Any]:
        return {**row, "clip": {**row["clip"], "path": path}}

    here = [at(ok_row(0), "a/1.mp4"), at(ok_row(1), "b/1.mp4"), at(ok_row(2), "b/2.mp4")]
    there = [at(full_row(0), "c/1.mp4"), at(full_row(1), "c/2.mp4")]
    found = compared(tmp_path, here, there)
    assert (found.paired_by, found.pairs) == ("file name", 1)


def test_answers_that_differ_are_shown_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Also where the contents of some clips are not known."""
    here = [with_content(ok_row(i), f"hash {i}") if i % 2 else ok_row(i) for i in range(4)]
    there = [with_content(full_row(i, answer="ring"), f"hash {i}") for i in range(4)]
    assert [example.line for example in compared(tmp_path, here, there).examples] == [1, 2, 3, 4]


def test_every_group_against_the_only_one(tmp_path: Path) -> None:
    found = against(tmp_path, [ok_row(0), full_row(0, id="x")], [full_row(0, scale=1.0)])
    assert [comparison.latency["total"].ratio for comparison in found.comparisons] == [1.0, 0.5]
    assert found.unpaired == ()


def test_groups_go_with_those_of_the_same_settings(tmp_path: Path) -> None:
    other = ok_row(0, method={"name": "random", "video": 0.1, "audio": 0.1})
    found = against(tmp_path, [ok_row(0), other], [ok_row(0, scale=2), full_row(0)])
    (comparison,) = found.comparisons
    assert comparison.label.endswith("seats (video 6%, audio 35%)")
    assert comparison.label_against == comparison.label
    assert [label.rpartition(" · ")[2] for label in found.unpaired] == ["random (video 10%, audio 10%)", "full"]


def test_failures_of_one_side(tmp_path: Path) -> None:
    here = [ok_row(0), error_row(1), error_row(2), error_row(3)]
    there = [error_row(0), full_row(1), full_row(2), error_row(3)]
    found = against(tmp_path, here, there)
    assert (found.failed_only_here, found.failed_only_there) == (2, 1)
    (comparison,) = found.comparisons
    assert comparison.pairs == 0


def test_a_question_that_another_row_of_the_file_answers_has_not_failed_there_alone(tmp_path: Path) -> None:
    found = against(tmp_path, [ok_row(0), error_row(0)], [full_row(0)])
    assert found.failed_only_here == 0


def test_a_clip_that_failed_under_another_name_is_known_by_its_content(tmp_path: Path) -> None:
    failed = error_row(1, content={"hash": "hash 1", "bytes": 1, "stat": None})
    found = against(tmp_path, [ok_row(0), failed], [with_content(full_row(1), "hash 1", "moved.mp4")])
    assert (found.failed_only_here, found.failed_only_there) == (1, 0)


def test_a_group_that_may_go_with_either_of_two_goes_with_none(tmp_path: Path) -> None:
    there = [ok_row(0, scale=2, settings="frames 8"), ok_row(0, scale=3, settings="frames 16")]
    found = against(tmp_path, [ok_row(0)], there)
    assert found.comparisons == ()
    assert len(found.unpaired) == 3


def test_files_with_nothing_in_common(tmp_path: Path) -> None:
    found = compared(tmp_path, [ok_row(0)], [full_row(1)])
    assert (found.pairs, found.latency, found.flops, found.examples) == (0, {}, None, ())
