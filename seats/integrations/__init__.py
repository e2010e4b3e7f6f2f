"""What other programs load of this package by an entry point. Imports nothing of theirs before they do."""

from __future__ import annotations

from typing import Any


def lmms_eval_manifest() -> Any:
    """Register `--model seats` with lmms-eval, as its entry-point group `lmms_eval.models` asks: a `ModelManifest`."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="seats", simple_class_path="seats.integrations.lmms_eval.Seats")
