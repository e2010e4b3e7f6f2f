"""What makes two batches the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from seats.batch.settings import AnswerSettings, Setup, digest_of, planned_ask, question_of
from seats.inference.answer import Question
from seats.inference.generate import Decoding
from seats.plan.limit import Limit
from seats.plan.plan import Ask

CHANGES: dict[str, list[dict[str, Any]]] = {
    "model": [{"dtype": "bfloat16"}, {"quantize": "4bit"}],
    "clip": [{"start_s": 1.0}, {"end_s": 1.0}, {"use_video": False}, {"use_audio": False}],
    "answer": [
        {"method": "seats+"},
        {"keep": 25.0},
        {"keep_video": 0.2},
        {"keep_audio": 0.2},
        {"kv": "drop"},
        {"system": "Be brief."},
        {"max_new_tokens": 9},
        {"temperature": 1.0},
        {"seed": 1},
        {"compare": True},
    ],
}


def test_retention_means_nothing_to_full_tokens(setup: Setup) -> None:
    def digest(**settings: Any) -> str:
        return digest_of(setup.model, setup.clip, AnswerSettings(**settings))

    assert digest(method="full") == digest(method="full", keep=35.0, keep_video=0.5, keep_audio=0.5)
    assert digest(method="seats") != digest(method="seats", keep=35.0)


def test_a_method_of_another_package_is_one_with_its_code(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = (setup.model, setup.clip, AnswerSettings(method="theirs"))
    digests = []
    for code in ("1", "2", "2"):
        monkeypatch.setattr("seats.batch.settings.code_digest", {"theirs": code}.get)
        digests.append(digest_of(*asked))
    assert digests[0] != digests[1] == digests[2]


@pytest.mark.parametrize(
    ("frames", "pixels", "expected"), [(40, 3136, (20, 1568)), (6, 3136, (2, 1568)), (2, 1568, (2, 784))]
)
def test_a_second_try_has_half_the_frames_in_pairs_and_half_the_pixels(
    setup: Setup, frames: int, pixels: int, expected: tuple[int, int]
) -> None:
    sampling = setup.clip.smaller(frames, pixels).sampling
    assert (sampling.max_frames, sampling.max_pixels) == expected


@pytest.mark.parametrize(("part", "changed"), [(part, change) for part, all_of in CHANGES.items() for change in all_of])
def test_what_changes_an_answer_makes_another_batch(setup: Setup, part: str, changed: dict[str, Any]) -> None:
    parts = {"model": setup.model, "clip": setup.clip, "answer": AnswerSettings()}
    assert digest_of(**parts) != digest_of(**parts | {part: replace(parts[part], **changed)})


def test_how_finely_a_clip_is_seen_makes_another_batch_and_where_it_runs_does_not(setup: Setup) -> None:
    model, clip, answer = setup.model, setup.clip, AnswerSettings()
    finer = [clip.sampling.changed(**change) for change in ({"fps": 3.0}, {"max_frames": 4}, {"max_pixels": 50_000})]
    clips = [clip, *(replace(clip, sampling=sampling) for sampling in finer)]
    clips += [replace(clip, limit=Limit(size, model.checkpoint)) for size in (2**30, 2**31)]
    assert len({digest_of(model, one, answer) for one in clips}) == len(clips)
    elsewhere = replace(model, device="cuda:1", threads=7), replace(clip, timeout_s=1.0, memory_bytes=2**20)
    assert digest_of(*elsewhere, answer) == digest_of(model, clip, answer)


def test_a_question_is_asked_and_planned_with_all_that_was_said(setup: Setup) -> None:
    answer = AnswerSettings("seats+", 25.0, 0.2, 0.4, "drop", "Be brief.", 9, 1.0, 1, True)
    assert question_of(answer, "what ?") == Question(
        "what ?", "seats+", 25.0, 0.2, 0.4, "drop", "Be brief.", Decoding(9, 1.0, 1), True
    )
    model = replace(setup.model, dtype="float16", quantize="4bit")
    said = Setup(model, replace(setup.clip, start_s=1.0, end_s=2.0), answer, "digest")
    assert planned_ask(said, "cuda") == Ask(
        system="Be brief.",
        method="seats+",
        keep=25.0,
        keep_video=0.2,
        keep_audio=0.4,
        kv="drop",
        answer_tokens=9,
        device="cuda",
        dtype_bytes=2,
        quantize="4bit",
        start_s=1.0,
        end_s=2.0,
        compare=True,
    )
