"""From a file to what is said of it, with numbers that can be worked out by hand."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from seats.evaluation.statistics import Accuracy
from seats.report import Report, ResultsError, report
from seats.report.summary import Group
from tests.report.make import error_row, full_row, ok_row, write


def only_group(made: Report) -> Group:
    (group,) = made.file.groups
    return group


@pytest.fixture
def two(tmp_path: Path) -> Group:
    """Rows of 1000 and 3000 ms."""
    return only_group(report(write(tmp_path / "r.jsonl", ok_row(0), ok_row(1, scale=3.0))))


def test_time_by_step(two: Group) -> None:
    reading = two.latency["decode_clip"]
    assert (reading.ms.count, reading.ms.median, reading.ms.total) == (2, 400.0, 800.0)
    assert reading.ms.p95 == pytest.approx(200 + 0.95 * 400)
    assert reading.share == pytest.approx(800 / 4000)
    assert (two.latency["total"].ms.median, two.latency["total"].share) == (2000.0, 1)
    assert two.latency["first_token"].share == pytest.approx(0.9)
    assert two.latency["per_output_token"].ms.median == 50.0
    assert two.latency["generation"].ms.total == pytest.approx(4 * 25 + 4 * 75)
    assert two.latency["per_output_token"].share == two.latency["generation"].share == pytest.approx(0.1)


def test_shares_of_the_parts_add_up(two: Group) -> None:
    parts = ("decode_clip", "prepare", "encode_video", "encode_audio", "selection", "prefill", "other", "generation")
    assert math.fsum(two.latency[name].share or 0 for name in parts) == pytest.approx(1)
    assert two.latency["other"].ms.total == pytest.approx((900 - 750) * 4)


def test_a_clips_later_questions_have_no_time_for_reading(tmp_path: Path) -> None:
    later = ok_row(1)
    later["latency_ms"] |= {"decode_clip": None, "encode_video": None, "encode_audio": None}
    later["latency_ms"] |= {"first_token": 300.0, "total": 400.0}
    group = only_group(report(write(tmp_path / "r.jsonl", ok_row(0), later)))
    assert group.latency["decode_clip"].ms.count == 1
    assert group.latency["decode_clip"].share == pytest.approx(200 / 1400)
    assert group.latency["other"].ms.total == pytest.approx(150 + 150)


def test_tokens_per_second(two: Group) -> None:
    prompt, output = two.rates["prompt_tokens_per_s"], two.rates["output_tokens_per_s"]
    assert prompt.overall == pytest.approx(2 * 320 / 0.4)
    assert prompt.per_row.highest == pytest.approx(320 / 0.1)
    assert output.overall == pytest.approx(8 / 0.4)
    assert output.per_row.median == pytest.approx((40 + 40 / 3) / 2)


def test_an_answer_of_one_token_has_no_rate_and_one_of_two_has(tmp_path: Path) -> None:
    short = ok_row(length=1)
    short["latency_ms"]["per_output_token"] = None
    group = only_group(report(write(tmp_path / "r.jsonl", short)))
    assert "output_tokens_per_s" not in group.rates
    assert group.latency["generation"].ms.total == 0
    group = only_group(report(write(tmp_path / "two.jsonl", ok_row(length=2))))
    assert group.rates["output_tokens_per_s"].overall == pytest.approx(1 / 0.025)


def test_an_answer_that_took_no_time_after_its_first_token_has_no_rate(tmp_path: Path) -> None:
    odd = ok_row()
    odd["latency_ms"] |= {"first_token": 1000.0, "total": 1000.0}
    assert "output_tokens_per_s" not in only_group(report(write(tmp_path / "r.jsonl", odd))).rates


def test_a_prompt_whose_tokens_are_not_all_known_has_no_rate(tmp_path: Path) -> None:
    lacking = ok_row(1, scale=3.0)
    del lacking["tokens"]["video"]
    rate = only_group(report(write(tmp_path / "r.jsonl", ok_row(0), lacking))).rates["prompt_tokens_per_s"]
    assert (rate.per_row.count, rate.overall) == (1, pytest.approx(320 / 0.1))


def test_retention_by_stage(tmp_path: Path) -> None:
    silent = ok_row(1)
    silent["tokens"]["audio"] = {"full": 0, "pre_llm": 0, "per_layer": [0, 0, 0, 0]}
    silent["retention"] = {"video": 0.1, "audio": None, "overall": 0.1}
    group = only_group(report(write(tmp_path / "r.jsonl", ok_row(0), silent)))
    video, audio = group.retention["video"], group.retention["audio"]
    assert [(stage.name, stage.tokens) for stage in video.stages] == [
        ("full", 400), ("pre_llm", 40), ("layer_1", 40), ("layer_2", 20), ("layer_3", 0), ("layer_4", 0),
    ]  # fmt: skip
    assert [stage.share for stage in audio.stages] == pytest.approx([1, 0.5, 0.5, 0.4, 0.3, 0])
    assert (video.average.count, audio.average.count) == (2, 1)  # type: ignore[union-attr]
    assert video.average.median == pytest.approx((0.0375 + 0.1) / 2)  # type: ignore[union-attr]


def test_a_layer_is_that_of_the_rows_that_have_it(tmp_path: Path) -> None:
    """Models of one name may have been cut to fewer layers."""
    short = ok_row(0)
    short["tokens"]["video"]["per_layer"] = [100, 100]
    group = only_group(report(write(tmp_path / "r.jsonl", short, ok_row(1))))
    assert [stage.share for stage in group.retention["video"].stages[2:]] == pytest.approx([0.3, 0.275, 0, 0])
    deep = ok_row(1)
    deep["tokens"]["video"]["per_layer"] = [100, 100, 50, 50]
    group = only_group(report(write(tmp_path / "deep.jsonl", short, deep)))
    assert [stage.share for stage in group.retention["video"].stages[2:]] == pytest.approx([0.5, 0.5, 0.25, 0.25])


def test_flops_by_part(two: Group) -> None:
    prefill = two.flops.parts["llm_prefill"]
    assert (prefill.full.total, prefill.run.total, prefill.reduction) == (800, 80, 10)  # type: ignore[union-attr]
    assert (prefill.full.median, prefill.run.median) == (400, 40)  # type: ignore[union-attr]
    assert two.flops.parts["selection"].reduction is None
    assert two.flops.total.reduction == pytest.approx(560 / 210)
    assert two.flops.per_row.median == pytest.approx(560 / 210)  # type: ignore[union-attr]


def test_no_reduction_where_some_rows_lack_the_full_cost(tmp_path: Path) -> None:
    """Sums over different rows must not be divided."""
    old = ok_row(1)
    del old["flops"]["parts_full"]
    group = only_group(report(write(tmp_path / "r.jsonl", ok_row(0), old)))
    assert group.flops.parts["llm_prefill"].reduction is None
    assert group.flops.total.reduction == pytest.approx(560 / 210)


def test_measured_and_estimated_stay_apart(tmp_path: Path) -> None:
    measured = {"prefill": 3.0, "first_token": 1.5, "basis": "measured", "spread": [2.9, 3.1]}
    rows = [ok_row(0), ok_row(1), ok_row(2, speedup=measured), ok_row(3, speedup={**measured, "basis": "guessed"})]
    speedup = only_group(report(write(tmp_path / "r.jsonl", *rows))).speedup
    assert {basis: found.rows for basis, found in speedup.items()} == {"measured": 1, "estimated": 2}
    assert speedup["measured"].prefill.median == 3.0  # type: ignore[union-attr]
    assert speedup["estimated"].prefill.median == 4.0  # type: ignore[union-attr]


def test_speedups_of_all_rows_weigh_each_by_its_time(tmp_path: Path) -> None:
    """Of two questions about a clip the second pays neither for reading it nor for the encoders."""
    first = ok_row(0)
    steps = {**first["latency_ms"], "decode_clip": 500.0, "selection": 20.0, "prefill": 30.0, "first_token": 900.0}
    shared = {"decode_clip": None, "encode_video": None, "encode_audio": None, "selection": 10.0, "first_token": 100.0}
    gains = ({"prefill": 2.0, "first_token": 1.1}, {"prefill": 4.0, "first_token": 3.0})
    rows = [
        ok_row(number, latency_ms={**steps, **changed}, speedup={**first["speedup"], **gain})
        for number, (changed, gain) in enumerate(zip(({}, shared), gains, strict=True))
    ]
    group = only_group(report(write(tmp_path / "r.jsonl", *rows)))
    found = group.speedup["estimated"]
    assert found.prefill_in_all == pytest.approx((2 * 50 + 4 * 40) / 90)
    assert found.first_token_in_all == pytest.approx((1.1 * 900 + 3 * 100) / 1000)
    assert group.shared == 1


def test_full_tokens_have_no_speedup_over_themselves(tmp_path: Path) -> None:
    assert only_group(report(write(tmp_path / "r.jsonl", full_row()))).speedup == {}


def test_settings_are_reported_apart(tmp_path: Path) -> None:
    """The same questions with more frames, say: counted together, each would count twice."""
    one, other = (
        [ok_row(number, settings=settings, right=True) for number in range(2)] for settings in ("a" * 64, "b" * 64)
    )
    made = report(write(tmp_path / "r.jsonl", *one, *other, ok_row(2)))
    assert [(group.short_label[-17:], group.rows) for group in made.file.groups] == [
        ("settings aaaaaaaa", 2),
        ("settings bbbbbbbb", 2),
        ("settings not said", 1),
    ]
    assert made.file.groups[0].accuracy.total == 2  # type: ignore[union-attr]
    assert only_group(report(write(tmp_path / "one.jsonl", *one))).short_label == "seats (video 6%, audio 35%)"


def test_models_and_methods_are_reported_apart(tmp_path: Path) -> None:
    drop = ok_row(2)
    drop["method"] = {**drop["method"], "kv": "drop"}
    made = report(write(tmp_path / "r.jsonl", ok_row(0), full_row(1), drop, ok_row(3), error_row(4)))
    assert [(group.short_label, group.rows) for group in made.file.groups] == [
        ("seats (video 6%, audio 35%) · kv keep", 2),
        ("full", 1),
        ("seats (video 6%, audio 35%) · kv drop", 1),
    ]
    assert (made.file.ok, made.file.failed) == (4, 1)


def test_a_file_cannot_have_a_group_for_every_row(tmp_path: Path) -> None:
    rows = [ok_row(i, model={"name": f"model {i}"}) for i in range(100)]
    groups = report(write(tmp_path / "r.jsonl", *rows)).file.groups
    assert len(groups) == 41
    assert (groups[-1].label, groups[-1].rows) == ("various models · various methods", 60)


def test_slowest_rows(tmp_path: Path) -> None:
    rows = [ok_row(i, scale=scale) for i, scale in enumerate((3, 9, 1, 9, 5))]
    path = write(tmp_path / "r.jsonl", *rows)
    slowest = only_group(report(path, slowest=3)).slowest
    assert [(slow.line, slow.total_ms) for slow in slowest] == [(2, 9000.0), (4, 9000.0), (5, 5000.0)]
    assert slowest[0].clip == "clips/1.mp4"
    assert sum(slowest[0].steps.values()) == pytest.approx(9000.0)
    assert only_group(report(path, slowest=0)).slowest == ()


def test_right_answers_retries_and_cut_answers(tmp_path: Path) -> None:
    retry = {"reason": "out of memory", "max_frames": 8, "max_pixels": 100}
    rows = [ok_row(0, right=True), ok_row(1, right=False, retry=retry), ok_row(2, finish_reason="length")]
    group = only_group(report(write(tmp_path / "r.jsonl", *rows)))
    assert (group.accuracy.right, group.accuracy.total) == (1, 2)  # type: ignore[union-attr]
    assert group.accuracy.clips == 2  # type: ignore[union-attr]
    assert group.retried == 1
    assert group.finish_reasons == {"stop": 2, "length": 1}


def test_questions_of_one_clip_widen_the_interval_of_accuracy(tmp_path: Path) -> None:
    """Three clips all right, three all wrong: 6 observations of 24 answers."""
    right = [clip < 3 for clip in range(6) for _ in range(4)]
    clips = [{"path": f"clips/{clip}.mp4"} for clip in range(6) for _ in range(4)]
    rows = [ok_row(i, right=r, clip=clip) for i, (r, clip) in enumerate(zip(right, clips, strict=True))]
    accuracy = only_group(report(write(tmp_path / "r.jsonl", *rows))).accuracy
    expected = Accuracy.of(right, [clip["path"] for clip in clips])
    assert expected.design_effect > 4
    assert accuracy is not None
    assert (accuracy.interval_95, accuracy.clips) == (expected.interval(), 6)
    assert accuracy.caution == "with 6 clips, intervals are too narrow"

    # The same files under other names: what they hold says which clip it is.
    rows = [
        row | {"clip": {"path": f"{i}.mp4"}, "content": {"hash": row["clip"]["path"]}} for i, row in enumerate(rows)
    ]
    accuracy = only_group(report(write(tmp_path / "c.jsonl", *rows))).accuracy
    assert accuracy is not None
    assert (accuracy.interval_95, accuracy.clips) == (expected.interval(), 6)


def test_missing_fields_notes_and_repeated_ids(tmp_path: Path) -> None:
    lacking = ok_row(1, notes=["no sound track in the file"])
    del lacking["latency_ms"]["prefill"]
    file = report(write(tmp_path / "r.jsonl", ok_row(0), lacking, lacking, error_row(1))).file
    assert [(missing.field, missing.rows, missing.first_line) for missing in file.missing] == [
        ("latency_ms.prefill", 2, 2)
    ]
    assert file.notes == {"no sound track in the file": 2}
    assert file.repeated == 2


def test_a_file_cannot_have_a_note_for_every_row(tmp_path: Path) -> None:
    rows = [ok_row(i, notes=["cut off", f"note {i}"]) for i in range(30)]
    notes = report(write(tmp_path / "r.jsonl", *rows)).file.notes
    assert (notes["cut off"], notes["other notes"], len(notes)) == (30, 11, 21)


def test_another_question_under_the_same_id_is_no_repetition(tmp_path: Path) -> None:
    file = report(write(tmp_path / "r.jsonl", ok_row(0, question="one ?"), ok_row(0, question="another ?"))).file
    assert file.repeated == 0


def test_the_same_id_with_other_settings_is_no_repetition(tmp_path: Path) -> None:
    file = report(write(tmp_path / "r.jsonl", ok_row(0, settings="a"), ok_row(0, settings="b"))).file
    assert file.repeated == 0


def test_only_failures(tmp_path: Path) -> None:
    file = report(write(tmp_path / "r.jsonl", error_row(1), error_row(2))).file
    assert (file.ok, file.failed, file.groups) == (0, 2, ())
    assert file.failures[0].count == 2


def test_document_is_plain_json(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", ok_row(0, answer="\udcff"), error_row(1, "\udcff \ud800 bad"))
    document = report(path, path).document()
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    text.encode()
    again = json.loads(text)
    assert again["schema"] == "seats.report/1"
    assert again["file"]["groups"][0]["latency"]["total"]["ms"]["median"] == 1000.0
    assert again["against"]["comparisons"][0]["pairs"] == 1


def test_pipes_cannot_be_compared(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ResultsError, match="a comparison needs a file"):
        report(write(tmp_path / "r.jsonl", ok_row()), tmp_path / "pipe")


@pytest.mark.slow
def test_memory_is_a_few_hundred_bytes_a_row(tmp_path: Path) -> None:
    """Rows of two kilobytes; the file is never in memory as a whole."""
    path = tmp_path / "r.jsonl"
    code = (
        "import resource, sys; from pathlib import Path; from seats.report import report\n"
        "assert report(Path(sys.argv[1])).file.ok == int(sys.argv[2])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peak = {}
    for rows in (100, 20_000):
        with path.open("w") as file:
            for number in range(rows):
                file.write(json.dumps(ok_row(number, scale=1 + number % 7)) + "\n")
        ran = subprocess.run([sys.executable, "-c", code, path, str(rows)], capture_output=True, text=True, check=True)
        peak[rows] = 1024 * int(ran.stdout)
    assert path.stat().st_size > 25_000_000
    assert (peak[20_000] - peak[100]) / 19_900 < 800
