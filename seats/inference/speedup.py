"""Full tokens against a run: measured side by side, or estimated from the run alone."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any, Literal

from seats.costs.flops import FlopsReport
from seats.costs.timers import StepTimer
from seats.inference.encode import Prompt, encode_clip
from seats.inference.engine import KvPolicy
from seats.inference.generate import Decoding, generate
from seats.media import Clip
from seats.methods import Full, Method
from seats.models.omni import OmniModel

COMPARE_ROUNDS = 3


@dataclass(frozen=True)
class Speedup:
    """Full tokens over this run, for selection + prefill and for the time to the first token. spread: lowest and
    highest ratio of the prefill over the rounds measured, None for an estimate (full tokens at this prefill's rate)."""

    prefill: float
    first_token: float
    basis: Literal["measured", "estimated"]
    spread: tuple[float, float] | None = None


def estimated_speedup(flops: FlopsReport, latency: dict[str, float | None]) -> Speedup:
    """As if full tokens were computed at the rate of this prefill; they need no selection."""
    prefill, selection = latency["prefill"] or 0.0, latency["selection"] or 0.0
    full = prefill * (flops.full.prefill / flops.run.prefill)
    ours = prefill + selection
    first = latency["first_token"] or ours
    return Speedup(full / ours, (first - ours + full) / first, "estimated")


def warm_saliency_ms(model: OmniModel, clip: Clip, method: Method) -> float:
    """What reading the saliency takes, once more: what it took for the answer was not warmed up."""
    if not (method.wants.of_video or method.wants.of_audio):
        return 0.0
    timer = StepTimer(model.thinker.device)
    encode_clip(model, clip, [method.wants], timer)
    return timer.ms().get("saliency", 0.0)


def measured_speedup(
    model: OmniModel,
    prompt: Prompt,
    method: Method,
    kv: KvPolicy,
    latency: dict[str, Any],
    saliency_ms: float,
) -> Speedup:
    """Prefill with full tokens and with the method in alternation, after a warm-up of both. saliency_ms: counts as the
    method's."""
    one_token = Decoding(max_new_tokens=1)

    def prefill_ms(which: Method) -> float:
        timer = StepTimer(model.thinker.device)
        generate(model, prompt, which, one_token, timer, kv)
        steps = timer.ms()
        return steps["prefill"] + steps.get("selection", 0.0)

    rounds = [(prefill_ms(Full()), saliency_ms + prefill_ms(method)) for _ in range(COMPARE_ROUNDS + 1)][1:]
    ratios = [full / ours for full, ours in rounds]
    others = latency["first_token"] - latency["prefill"] - latency["selection"]
    full, ours = (statistics.median(column) for column in zip(*rounds, strict=True))
    return Speedup(
        prefill=statistics.median(ratios),
        first_token=(others + full) / (others + ours),
        basis="measured",
        spread=(min(ratios), max(ratios)),
    )
