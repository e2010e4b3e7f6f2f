"""Results of an evaluation as a JSON document (schema `seats.eval/1`)."""

from __future__ import annotations

from typing import Any

from seats.evaluation.identity import asking_identity
from seats.evaluation.results import Results, SettingResult, Wrong
from seats.evaluation.statistics import METHODS, Accuracy, Comparison
from seats.text import printable

SCHEMA = "seats.eval/1"


def document(results: Results, *, list_wrong: bool = False) -> dict[str, Any]:
    """Plain values: shares in [0, 1], times in ms, FLOPs as 2 x multiply-adds; null where there is nothing to say.

    Per setting `status` is "answered" (all questions), "partial" (all figures are of `questions.answered` only) or
    "unreachable" or "failed" (of none). settings: of the method, such as the seed of its draws. keep_percent is null
    for `full`, and where keep_video and keep_audio leave it nothing to say. list_wrong: also list what was answered
    wrong.
    """
    return {
        "schema": SCHEMA,
        "benchmark": results.benchmark,
        "model": results.model,
        "asking": {**asking_identity(results.asking), **_own_shares(results)},
        "questions": results.questions,
        "clips": results.clips,
        "types": results.types,
        "intervals_95": METHODS,
        "results": [_setting(result, list_wrong) for result in results.settings],
    }


def _own_shares(results: Results) -> dict[str, float | None]:
    """What overrules the retentions, which is the same for every method that drops tokens."""
    settings = [result.setting for result in results.settings if result.setting.keep is not None]
    return {name: getattr(settings[0], name) if settings else None for name in ("keep_video", "keep_audio")}


def _setting(result: SettingResult, list_wrong: bool) -> dict[str, Any]:
    setting = result.setting
    return {
        "method": setting.method,
        "keep_percent": setting.keep if None in (setting.keep_video, setting.keep_audio) else None,
        "label": setting.label,
        "settings": {name: value for name, value in result.method.items() if name != "name"},
        "status": _status(result),
        "reason": result.reason or None,
        "questions": {
            "asked": result.asked,
            "answered": result.answered,
            "unreachable": result.unserved,
            "failed": result.failed,
        },
        "unreachable_clips": result.unserved_clips,
        "accuracy": {name: _accuracy(accuracy) for name, accuracy in result.accuracy.items()},
        "versus_full": result.versus_full and _comparison(result.versus_full),
        "llm_flops_median": result.llm_flops,
        "llm_flops_share_of_full": result.llm_flops_share,
        "prefill_ms_median": result.prefill_ms,
        "retention": {"video": result.video, "audio": result.audio, "overall": result.overall},
        **({"wrong": [_wrong(wrong) for wrong in result.wrong]} if list_wrong else {}),
    }


def _status(result: SettingResult) -> str:
    if result.reached:
        return "partial" if result.partial else "answered"
    return "unreachable" if result.unreachable else "failed"


def _accuracy(accuracy: Accuracy) -> dict[str, Any]:
    return {
        "right": accuracy.right,
        "total": accuracy.total,
        "share": accuracy.share,
        "interval_95": accuracy.interval(),
        "design_effect": accuracy.design_effect,
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "questions": comparison.total,
        "clips": comparison.clips,
        "full_accuracy": _accuracy(comparison.full),
        "difference": comparison.difference,
        "difference_interval_95": comparison.difference_interval,
        "share_of_full": comparison.share_of_full,
        "share_of_full_interval_95": comparison.share_of_full_interval,
    }


def _wrong(wrong: Wrong) -> dict[str, Any]:
    item = wrong.item
    right = item.answers[0] if len(item.answers) == 1 else list(item.answers)
    return {
        "id": item.id,
        "clip": printable(str(item.clip)),
        "question": item.question,
        "answer": right,
        "given": wrong.given,
    }
