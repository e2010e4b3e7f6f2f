from __future__ import annotations

import time

import pytest

from seats.report.failures import FailureCollector, cause_of
from seats.report.rows import Failed, Row


def failed(number: int, kind: str, message: str) -> tuple[Row, Failed]:
    outcome = Failed(kind, message)
    return Row(number, 0, f"id {number}", f"clips/{number}.mp4", "what ?", "", "", outcome), outcome


def test_causes_with_counts_shares_and_examples() -> None:
    collector = FailureCollector()
    for number in range(6):
        collector.add(*failed(number, "MediaError", f"clips/{number}.mp4: gave up after {number}.5 s"))
    collector.add(*failed(6, "ModelError", "clips/6.mp4: gave up after 1 s"))
    first, second = collector.causes()
    assert (first.type, first.message, first.count) == ("MediaError", "<clip>: gave up after <n> s", 6)
    assert first.share == pytest.approx(6 / 7)
    assert [example.line for example in first.examples] == [0, 1, 2]
    assert first.examples[1].message == "clips/1.mp4: gave up after 1.5 s"
    assert (second.type, second.count) == ("ModelError", 1)


@pytest.mark.parametrize(
    ("message", "clip", "cause"),
    [
        ("/data/a b/clip 12.mp4: no pictures", "/data/a b/clip 12.mp4", "<clip>: no pictures"),
        ("clip 12.mp4: no pictures", "/data/a b/clip 12.mp4", "<clip>: no pictures"),
        ("needs 12.5 GiB of 1,024 on cuda:0 at 0x7fab", "a.mp4", "needs <n> GiB of <n> on cuda:<n> at <n>"),
        ("no stream 'foo 3' in \"bar baz\"", "", "no stream <name> in <name>"),
        ("cannot open /tmp/x/y.bin, ./z.bin or other.MKV.", "", "cannot open <path>, <path> or <path>."),
        ("convert it to mp4 and/or it's gone", "", "convert it to mp4 and/or it's gone"),
        ("", "a.mp4", "no message"),
    ],
)
def test_names_paths_and_numbers_are_taken_out(message: str, clip: str, cause: str) -> None:
    assert cause_of(message, clip) == cause


@pytest.mark.parametrize("text", ["/", "a/", "'", "' ", '"a ', "1.", "1:", "a-", "\ufffd", "\x00", "x" * 99 + " "])
def test_no_message_takes_long(text: str) -> None:
    start = time.process_time()
    for _ in range(20):
        cause_of(text * 100_000, "clip.mp4")
    assert time.process_time() - start < 2


def test_a_file_cannot_have_a_cause_for_every_row() -> None:
    collector = FailureCollector()
    for number in range(1000):
        letters = "".join(chr(97 + int(digit)) for digit in str(number))
        collector.add(*failed(number, "MediaError", f"reason {letters}"))
    causes = collector.causes()
    assert len(causes) == 201
    assert (causes[0].type, causes[0].count) == ("various", 800)
    assert sum(cause.count for cause in causes) == 1000
