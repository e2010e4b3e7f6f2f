"""Rows of one model and method gathered into what the report says of them."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter, defaultdict

from seats.costs.flops import PARTS
from seats.evaluation.statistics import Accuracy
from seats.report.compare import digest
from seats.report.configuration import Configuration, Label
from seats.report.rows import MODALITIES, Answered, Row
from seats.report.spread import Values, histogram
from seats.report.summary import (
    PARTS_OF_TOTAL,
    Cost,
    Flops,
    Group,
    Rate,
    Retention,
    Share,
    SlowRow,
    Speedup,
    Stage,
    Step,
)
from seats.text import quoted

_BEFORE_FIRST_TOKEN = PARTS_OF_TOTAL[:6]
_MOST_REASONS = 8


class GroupCollector:
    """Takes rows one at a time; keeps numbers, and the texts of the `slowest` rows only."""

    def __init__(self, configuration: Configuration, slowest: int) -> None:
        self.configuration = configuration
        self.rows = 0
        self._finish: Counter[str] = Counter()
        self._retried = self._shared = 0
        self._right, self._clips = bytearray(), array("Q")
        self._steps = {name: Values() for name in (*PARTS_OF_TOTAL, "first_token", "per_output_token", "total")}
        self._step_sums: defaultdict[str, float] = defaultdict(float)
        self._time = 0.0
        self._retention = {name: Values() for name in (*MODALITIES, "overall")}
        self._tokens = {name: _StageSums() for name in MODALITIES}
        self._flops = _CostValues()
        self._flops_per_row = Values()
        self._parts = {name: _CostValues() for name in PARTS}
        self._rates = {name: _RateSums() for name in ("prompt_tokens_per_s", "output_tokens_per_s")}
        self._speedup = {basis: (_RatioSums(), _RatioSums()) for basis in ("measured", "estimated")}
        self._peak = Values()
        self._most_slow = slowest
        self._slowest: list[tuple[float, int, SlowRow]] = []

    def add(self, row: Row, answered: Answered) -> None:
        """Count a row."""
        self.rows += 1
        reason = quoted(answered.finish_reason, 40) or "not said"
        self._finish[reason if reason in self._finish or len(self._finish) < _MOST_REASONS else "other"] += 1
        self._retried += answered.retried
        self._shared += not any(answered.latency[name] for name in ("decode_clip", "encode_video", "encode_audio"))
        if answered.right is not None:
            self._right.append(answered.right)
            # A clip is what its file holds, wherever it lies.
            self._clips.append(digest(row.content or row.clip))
        self._add_times(row, answered)
        self._add_tokens(answered)
        self._add_costs(answered)
        self._peak.add(answered.peak_bytes)

    def _add_times(self, row: Row, answered: Answered) -> None:
        latency = answered.latency
        steps = steps_of(answered)
        for name in ("first_token", "per_output_token", "total"):
            self._steps[name].add(latency[name])
        for name, ms in steps.items():
            self._steps[name].add(ms)
        total = latency["total"]
        if not total:
            return
        self._time += total
        for name, ms in steps.items():
            self._step_sums[name] += ms
        if latency["first_token"] is not None:
            self._step_sums["first_token"] += latency["first_token"]
        place = (total, -row.line)
        if self._most_slow and (len(self._slowest) < self._most_slow or place > self._slowest[0][:2]):
            texts = (quoted(row.id, 120), quoted(row.clip), quoted(row.question))
            heapq.heappush(self._slowest, (*place, SlowRow(row.line, *texts, total, steps)))
            if len(self._slowest) > self._most_slow:
                heapq.heappop(self._slowest)

    def _add_tokens(self, answered: Answered) -> None:
        for name, share in answered.retention.items():
            self._retention[name].add(share)
        full = answered.text_tokens
        for name, counts in answered.tokens.items():
            if counts is None:
                full = None
                continue
            if full is not None:
                full += counts.full
            if counts.full:
                self._tokens[name].add(counts.full, counts.pre_llm, counts.per_layer)
        latency = answered.latency
        if full and latency["prefill"]:
            self._rates["prompt_tokens_per_s"].add(full, latency["prefill"] + (latency["selection"] or 0.0))
        tokens, ms = output_tokens(answered), latency["per_output_token"]
        if tokens is not None and tokens > 1 and ms:
            # The first token comes with the prefill, so its time is not in the time per token.
            self._rates["output_tokens_per_s"].add(tokens - 1, ms * (tokens - 1))

    def _add_costs(self, answered: Answered) -> None:
        full, run = answered.flops_full, answered.flops_run
        self._flops.add(full, run)
        if full and run:
            self._flops_per_row.add(full / run)
        for name, values in self._parts.items():
            values.add(answered.parts_full[name], answered.parts_run[name])
        # Full tokens against themselves say nothing.
        if answered.speedup_basis is not None and answered.method.get("name") != "full":
            prefill, first_token = self._speedup[answered.speedup_basis]
            latency = answered.latency
            ours = None if latency["prefill"] is None else latency["prefill"] + (latency["selection"] or 0.0)
            prefill.add(answered.prefill_speedup, ours)
            first_token.add(answered.first_token_speedup, latency["first_token"])

    def group(self, label: Label) -> Group:
        """What was gathered."""
        return Group(
            label=label.full,
            short_label=label.short,
            model=self.configuration.model,
            method=self.configuration.method,
            rows=self.rows,
            retried=self._retried,
            shared=self._shared,
            accuracy=self._accuracy(),
            finish_reasons=dict(self._finish.most_common()),
            latency=self._latency(),
            histogram=histogram(self._steps["total"].numbers),
            retention={
                name: Retention(values.spread(), self._tokens[name].stages() if name in self._tokens else ())
                for name, values in self._retention.items()
            },
            flops=Flops(
                total=self._flops.cost(),
                parts={name: values.cost() for name, values in self._parts.items()},
                per_row=self._flops_per_row.spread(),
            ),
            rates={name: rate for name, sums in self._rates.items() if (rate := sums.rate()) is not None},
            speedup={
                basis: Speedup(
                    rows=max(len(prefill.each.numbers), len(first.each.numbers)),
                    prefill=prefill.each.spread(),
                    first_token=first.each.spread(),
                    prefill_in_all=prefill.in_all(),
                    first_token_in_all=first.in_all(),
                )
                for basis, (prefill, first) in self._speedup.items()
                if prefill.each.numbers or first.each.numbers
            },
            peak_bytes=self._peak.spread(),
            slowest=tuple(slow for *_, slow in sorted(self._slowest, key=lambda item: item[:2], reverse=True)),
        )

    def _accuracy(self) -> Share | None:
        if not self._right:
            return None
        found = Accuracy.of([bool(right) for right in self._right], self._clips)
        return Share(found.right, found.total, found.share, found.interval(), len(set(self._clips)))

    def _latency(self) -> dict[str, Step]:
        sums = dict(self._step_sums)
        sums["per_output_token"], sums["total"] = sums.get("generation", 0.0), self._time
        found = {}
        for name, values in self._steps.items():
            if (spread := values.spread()) is not None:
                found[name] = Step(spread, sums.get(name, 0.0) / self._time if self._time else None)
        return found


def steps_of(answered: Answered) -> dict[str, float]:
    """Milliseconds of the steps `PARTS_OF_TOTAL`, those that the row has."""
    latency = answered.latency
    steps = {name: ms for name in _BEFORE_FIRST_TOKEN if (ms := latency[name]) is not None}
    first, total = latency["first_token"], latency["total"]
    if first is not None:
        # The device's clock and the host's differ a little, so that the steps may come to more than the whole.
        steps["other"] = max(0.0, first - sum(steps.values()))
        if total is not None:
            steps["generation"] = max(0.0, total - first)
    return steps


def output_tokens(answered: Answered) -> int | None:
    """Tokens of the answer, from its times: total = first token + (tokens - 1) x time per token."""
    first, each, total = (answered.latency[name] for name in ("first_token", "per_output_token", "total"))
    if first is None or total is None:
        return None
    return 1 + round(max(0.0, total - first) / each) if each else 1


class _StageSums:
    """Tokens summed over the rows that have the modality. Rows may differ in their number of layers."""

    def __init__(self) -> None:
        self.full = self.pre_llm = 0
        self.layers: list[int] = []
        self.layers_full: list[int] = []

    def add(self, full: int, pre_llm: int, per_layer: tuple[int, ...]) -> None:
        self.full += full
        self.pre_llm += pre_llm
        more = len(per_layer) - len(self.layers)
        self.layers += [0] * more
        self.layers_full += [0] * more
        for layer, count in enumerate(per_layer):
            self.layers[layer] += count
            self.layers_full[layer] += full

    def stages(self) -> tuple[Stage, ...]:
        if not self.full:
            return ()
        layers = zip(self.layers, self.layers_full, strict=True)
        return (
            Stage("full", self.full, 1.0),
            Stage("pre_llm", self.pre_llm, self.pre_llm / self.full),
            *(Stage(f"layer_{i}", count, count / full) for i, (count, full) in enumerate(layers, 1)),
        )


class _CostValues:
    def __init__(self) -> None:
        self.full, self.run = Values(), Values()

    def add(self, full: float | None, run: float | None) -> None:
        self.full.add(full)
        self.run.add(run)

    def cost(self) -> Cost:
        full, run = self.full.spread(), self.run.spread()
        comparable = full is not None and run is not None and full.count == run.count and run.total and full.total
        return Cost(full, run, full.total / run.total if comparable else None)  # type: ignore[union-attr]


class _RatioSums:
    """How many times as long full tokens take as a method: row by row, and all rows together."""

    def __init__(self) -> None:
        self.each = Values()
        self._full_ms = self._ms = 0.0

    def add(self, ratio: float | None, ms: float | None) -> None:
        self.each.add(ratio)
        if ratio is not None and ms is not None:
            self._full_ms += ratio * ms
            self._ms += ms

    def in_all(self) -> float | None:
        return self._full_ms / self._ms if self._ms else None


class _RateSums:
    def __init__(self) -> None:
        self.amount = self.ms = 0.0
        self.each = Values()

    def add(self, amount: float, ms: float) -> None:
        self.amount += amount
        self.ms += ms
        self.each.add(1e3 * amount / ms)

    def rate(self) -> Rate | None:
        spread = self.each.spread()
        return None if spread is None else Rate(1e3 * self.amount / self.ms, spread)
