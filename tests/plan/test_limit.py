"""Frames and pixels chosen for a memory limit, and what stands for questions and methods."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from seats.errors import MediaError, OutOfMemoryError
from seats.media import FrameSampling
from seats.models.checkpoint import find_checkpoint
from seats.plan.clip import clip_facts
from seats.plan.limit import Limit, foreseeable, longest
from seats.plan.model import of_checkpoint
from seats.plan.plan import Ask, make_plan

CLIP = Path(__file__).parents[2] / "samples" / "ten-seconds.mp4"
NANO = find_checkpoint("seats-nano")
ASK = Ask("Which shape is orange?")


def needed(sampling: FrameSampling | None = None) -> int:
    """Bytes that the question takes, with a rule for frames and pixels or the model's own."""
    model = of_checkpoint(NANO)
    chosen = sampling or model.sampling
    ask = Ask(ASK.question, fps=chosen.fps, max_frames=chosen.max_frames, max_pixels=chosen.max_pixels)
    return make_plan(model, clip_facts(CLIP), ask).needed_bytes


def test_what_fits_is_left_alone() -> None:
    own = of_checkpoint(NANO).sampling
    assert Limit(needed(), NANO, ASK).sampling(CLIP, own) == own


def test_where_nothing_is_asked_all_fits() -> None:
    own = of_checkpoint(NANO).sampling
    assert Limit(1, NANO).sampling(CLIP, own) == own


def test_the_rule_that_was_asked_for_is_the_one_that_must_fit() -> None:
    sparse = replace(of_checkpoint(NANO).sampling, fps=0.5)
    full = replace(ASK, method="full")
    limit = make_plan(of_checkpoint(NANO), clip_facts(CLIP), replace(full, fps=0.5)).needed_bytes
    assert Limit(limit, NANO, full).sampling(CLIP, sparse) == sparse


def test_what_does_not_is_lowered_as_little_as_will_do() -> None:
    own = of_checkpoint(NANO).sampling
    limit = needed() - 2**20
    lowered = Limit(limit, NANO, ASK).sampling(CLIP, own)
    assert lowered != own
    assert limit - 2**22 < needed(lowered) <= limit
    assert (lowered.fps, lowered.factor) == (own.fps, own.factor)


def test_what_is_compared_with_counts_and_streams_left_out_do_not() -> None:
    own = of_checkpoint(NANO).sampling
    full = Ask(ASK.question, method="full")
    limit = make_plan(of_checkpoint(NANO), clip_facts(CLIP), full).needed_bytes - 2**21
    assert Limit(limit, NANO, replace(ASK, compare=True)).sampling(CLIP, own) != own
    assert Limit(limit, NANO, ASK).sampling(CLIP, own, video=False) == own
    silent = make_plan(of_checkpoint(NANO), clip_facts(CLIP, use_audio=False), full).needed_bytes
    assert Limit(silent, NANO, full).sampling(CLIP, own, audio=False) == own
    assert Limit(silent, NANO, full).sampling(CLIP, own) != own


def test_a_clip_is_not_looked_into_for_longer_than_is_allowed() -> None:
    with pytest.raises(MediaError, match="longer than"):
        Limit(needed(), NANO, ASK).sampling(CLIP, of_checkpoint(NANO).sampling, timeout_s=1e-6)


def test_weights_that_are_too_large_are_one_line() -> None:
    limit = Limit(2**20, NANO, ASK)
    with pytest.raises(OutOfMemoryError, match="weights of seats-nano alone"):
        limit.check_weights(ASK)
    with pytest.raises(OutOfMemoryError, match="weights of seats-nano alone"):
        limit.sampling(CLIP, of_checkpoint(NANO).sampling)


def test_the_longest_question_is_the_one_with_most_tokens() -> None:
    assert longest(["Which?"], NANO, None) == "Which?"
    few, many = "Which shape is seen?", "a b c d e f g h i j"
    assert longest([few, many], NANO, None) == many


def test_a_method_of_another_package_counts_as_full_tokens() -> None:
    assert foreseeable("fastv") == "fastv"
    assert foreseeable("strided") == "full"
