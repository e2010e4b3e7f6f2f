"""The nearest settings that fit into a memory limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seats.errors import OutOfMemoryError, SeatsError, SettingsError
from seats.plan.clip import ClipFacts
from seats.plan.model import PlannedModel
from seats.plan.plan import Ask, Plan, make_plan
from seats.plan.weights import count_weights
from seats.units import clock, size

CUDA_RESERVE = 2**29
"""Bytes left free on a GPU for its context, kernels' workspaces and what the allocator rounds up."""
_KEEPS = (35.0, 25.0, 15.0, 10.0, 5.0)


@dataclass(frozen=True)
class Suggestion:
    """Settings that fit. flags: as on the command line, "" for none; plan: with them. without: flags that must go from
    it."""

    flags: str
    plan: Plan
    without: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What to do, in words."""
        without = f"without {' and '.join(self.without)}" if self.without else ""
        return ", ".join(filter(None, (self.flags, without)))


def reserve_for(device: str) -> int:
    """Bytes of a device that a plan leaves free, for CUDA's own use."""
    return CUDA_RESERVE if device.startswith("cuda") else 0


def fits(plan: Plan, limit: int) -> bool:
    """Whether a plan's run stays within `limit` bytes, `reserve_for` left free."""
    return plan.needed_bytes + reserve_for(plan.ask.device) <= limit


def suggestions(plan: Plan, clip: ClipFacts, limit: int, others: Sequence[PlannedModel] = ()) -> list[Suggestion]:
    """What to change, each alone, so that a plan that is too large fits into `limit` bytes; nearest settings first.

    others: models that could run instead. Empty where no single change is enough.
    """
    model, ask = plan.model, plan.ask
    found: list[Suggestion] = []

    def add(flags: str, changed: Ask, which: PlannedModel = model, without: tuple[str, ...] = ()) -> bool:
        made = _try(which, clip, changed)
        if made is None or not fits(made, limit):
            return False
        found.append(Suggestion(flags, made, without))
        return True

    if ask.compare:
        add("", replace(ask, compare=False), without=("--compare",))
    frames = _most_frames(plan, clip, limit)
    if frames:
        add(f"--max-frames {frames}", replace(ask, max_frames=frames))
    pixels = _most_pixels(plan, clip, limit)
    if pixels:
        add(f"--max-pixels {pixels}", replace(ask, max_pixels=pixels))
    end = _latest_end(plan, clip, limit)
    if end:
        add(f"--end {_time(end)}", replace(ask, end_s=float(end)))
    if ask.method == "full":
        add("--method seats --keep 10%", replace(ask, method="seats", keep=10.0))
    else:
        own = (("--keep-video", ask.keep_video), ("--keep-audio", ask.keep_audio))
        without = tuple(flag for flag, share in own if share is not None)
        for keep in (keep for keep in _KEEPS if keep <= ask.keep):
            if add(f"--keep {keep:g}%", replace(ask, keep=keep, keep_video=None, keep_audio=None), without=without):
                break
    if ask.dtype_bytes > 2:
        add("--dtype bfloat16", replace(ask, dtype_bytes=2))
    if ask.device.startswith("cuda"):
        for bits in {None: ("8bit", "4bit"), "8bit": ("4bit",)}.get(ask.quantize, ()):
            add(f"--quantize {bits}", replace(ask, quantize=bits))
    for other in others:
        if other.name != model.name:
            add(f"--model {other.name}", ask, other)
    return found


def fit(model: PlannedModel, clip: ClipFacts, asks: Sequence[Ask], limit: int) -> tuple[Ask, list[Plan]]:
    """Frames and pixels for which every one of `asks` fits into `limit` bytes (`fits`), and the plans with them.

    asks: at least one. Pixels go first, down to the fewest of the model's own rule; then frames. Returns the first ask
    with what was chosen (the same ask where nothing need be lowered). Raises OutOfMemoryError where even that is too
    much, and SettingsError where it is too little video for the target of a method.
    """

    def plans(**changed: Any) -> list[Plan]:
        try:
            return [make_plan(model, clip, replace(ask, **changed)) for ask in asks]
        except SettingsError as error:
            if not changed:
                raise
            raise SettingsError(f"with the pictures that fit into {_size(limit)}, {error}") from None

    def none_too_large(**changed: Any) -> bool:
        return all(_not_too_large(plan, clip, limit, **changed) for plan in asked)

    asked = plans()
    if all(fits(plan, limit) for plan in asked):
        return asks[0], asked
    changed: dict[str, Any] = {}
    if asked[0].grid is None:
        raise _impossible(asked, clip, limit)
    area = model.sampling.factor**2
    most = _most_tokens(asked[0])
    fewest = max(1, min(int(model.sampling.min_pixels // area), most))
    tokens = _largest(fewest, most, lambda n: none_too_large(max_pixels=n * area))
    if tokens or fewest < most:
        changed["max_pixels"] = (tokens or fewest) * area
    if tokens is None:
        pairs = _largest(1, asked[0].part.frames // 2, lambda n: none_too_large(max_frames=2 * n, **changed))
        changed["max_frames"] = 2 * (pairs or 1)
        if pairs is None:
            raise _impossible(plans(**changed), clip, limit)
    return replace(asks[0], **changed), plans(**changed)


def check_weights(model: PlannedModel, ask: Ask, limit: int) -> None:
    """Raises OutOfMemoryError where a model's weights leave nothing of `limit` bytes, less `reserve_for`, to run with.

    ask: device and type.
    """
    weights, reserve = count_weights(model), reserve_for(ask.device)
    needed = weights.bytes(ask.dtype_bytes, ask.quantize)
    if needed + reserve >= limit:
        ways = ["choose a smaller --model"]
        small = weights.bytes(ask.dtype_bytes, "4bit") + reserve
        if ask.device.startswith("cuda") and ask.quantize != "4bit" and small < limit:
            ways.append("--quantize 4bit")
        with_reserve = f" and CUDA {_size(reserve)}" if reserve else ""
        raise OutOfMemoryError(
            f"the weights of {model.name} alone take {_size(needed)}{with_reserve}, the limit is {_size(limit)}: "
            f"{' or '.join(ways)}, or raise --max-vram"
        )


def _impossible(plans: Sequence[Plan], clip: ClipFacts, limit: int) -> OutOfMemoryError:
    """plans: as small as they may become without the user's leave."""
    plan = max(plans, key=lambda plan: plan.needed_bytes)
    try:
        check_weights(plan.model, plan.ask, limit)
    except OutOfMemoryError as error:
        return error
    needed = plan.needed_bytes + reserve_for(plan.ask.device)
    seen = "with two small frames" if plan.grid else "without pictures"
    ways = [one.text for one in suggestions(plan, clip, limit) if _helps_all(one, plan, plans, clip, limit)]
    return OutOfMemoryError(
        f"the limit of {_size(limit)} is too small: even {seen} it takes {_size(needed)}: "
        f"{''.join(f'{way}, or ' for way in ways)}raise --max-vram to {math.ceil(needed / 2**20)}M"
    )


def _helps_all(one: Suggestion, of: Plan, plans: Sequence[Plan], clip: ClipFacts, limit: int) -> bool:
    """Whether what a suggestion changes of a plan makes the plans of other questions and methods fit, too."""
    changed = {key: value for key, value in vars(one.plan.ask).items() if value != getattr(of.ask, key)}
    made = [_try(plan.model, clip, replace(plan.ask, **changed)) for plan in plans]
    return all(plan is not None and fits(plan, limit) for plan in made)


def _size(count: int) -> str:
    """Two decimals, in which settings that just fit can be told from those that just do not."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else size(count)


def _most_frames(plan: Plan, clip: ClipFacts, limit: int) -> int | None:
    """The largest --max-frames below what is taken that fits; None without one."""
    half = plan.part.frames // 2
    pairs = _largest(1, half - 1, lambda n: _not_too_large(plan, clip, limit, max_frames=2 * n))
    return None if pairs is None else 2 * pairs


def _most_pixels(plan: Plan, clip: ClipFacts, limit: int) -> int | None:
    if plan.grid is None:
        return None
    area = plan.model.sampling.factor**2
    tokens = _largest(4, _most_tokens(plan), lambda n: _not_too_large(plan, clip, limit, max_pixels=n * area))
    return None if tokens is None else tokens * area


def _most_tokens(plan: Plan) -> int:
    """Tokens of the largest frame that may be, which sides cut to whole tokens leave a part of."""
    return int(plan.ask.sampling(plan.model.sampling).max_pixels // plan.model.sampling.factor**2)


def _latest_end(plan: Plan, clip: ClipFacts, limit: int) -> int | None:
    """The last whole second to end at; None if not even the first one after the start fits."""
    first, last = math.floor(plan.part.start_s) + 1, math.ceil(plan.part.end_s) - 1
    return _largest(first, last, lambda second: _not_too_large(plan, clip, limit, end_s=float(second)))


def _largest(low: int, high: int, good: Callable[[int], bool]) -> int | None:
    """The largest number from low to high that is good, where all below a good one are; None if none is."""
    if low > high or not good(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if good(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _not_too_large(plan: Plan, clip: ClipFacts, limit: int, **changed: Any) -> bool:
    """Whether a changed plan fits, or cannot be had: then too little is left of the clip for it, and more may fit."""
    made = _try(plan.model, clip, replace(plan.ask, **changed))
    return made is None or fits(made, limit)


def _try(model: PlannedModel, clip: ClipFacts, ask: Ask) -> Plan | None:
    """A plan, None where it cannot be had: too low a target, or nothing left of the clip."""
    try:
        return make_plan(model, clip, ask)
    except SeatsError:
        return None


def _time(seconds: int) -> str:
    """Seconds as --end takes them."""
    return clock(seconds) if seconds >= 60 else str(seconds)
