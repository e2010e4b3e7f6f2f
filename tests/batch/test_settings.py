"""What makes two batches the same."""

from __future__ import annotations

from typing import Any

from seats.batch.settings import AnswerSettings, Setup, digest_of


def test_retention_means_nothing_to_full_tokens(setup: Setup) -> None:
    def digest(**settings: Any) -> str:
        return digest_of(setup.model, setup.clip, AnswerSettings(**settings))

    assert digest(method="full") == digest(method="full", keep=35.0, keep_video=0.5, keep_audio=0.5)
    assert digest(method="seats") != digest(method="seats", keep=35.0)
