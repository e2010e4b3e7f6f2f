"""The nearest settings that fit into a memory limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seats.errors import OutOfMemoryError, SeatsError
from seats.plan.clip import ClipFacts
from seats.plan.model import PlannedModel
from seats.plan.plan import Ask, Plan, make_plan
from seats.plan.weights import count_weights

CUDA_RESERVE = 2**29
"""Bytes left free on a GPU for its context, kernels' workspaces and what the allocator rounds up."""
_KEEPS = (35.0, 25.0, 15.0, 10.0, 5.0)
_FEWEST = 2


@dataclass(frozen=True)
class Suggestion:
    """Settings that fit. flags: as on the command line; plan: with them. without: flags that must go from it."""

    flags: str
    plan: Plan
    without: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What to do, in words."""
        return self.flags + (f", without {' and '.join(self.without)}" if self.without else "")


def reserve_for(device: str) -> int:
    """Bytes of a device that a plan leaves free."""
    return CUDA_RESERVE if device.startswith("cuda") else 0


def fits(plan: Plan, limit: int) -> bool:
    """Whether a plan's run stays within `limit` bytes."""
    return plan.needed_bytes + reserve_for(plan.ask.device) <= limit


def suggestions(plan: Plan, clip: ClipFacts, limit: int, others: Sequence[PlannedModel] = ()) -> list[Suggestion]:
    """What to change, each alone, so that a plan that is too large fits into `limit` bytes; nearest settings first.

    others: models that could run instead. Empty where no single change is enough.
    """
    model, ask = plan.model, plan.ask
    found: list[Suggestion] = []

    def add(flags: str, changed: Ask, which: PlannedModel = model, without: tuple[str, ...] = ()) -> None:
        made = _try(which, clip, changed)
        if made is not None and fits(made, limit):
            found.append(Suggestion(flags, made, without))

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
            before = len(found)
            add(f"--keep {keep:g}%", replace(ask, keep=keep, keep_video=None, keep_audio=None), without=without)
            if len(found) > before:
                break
    if ask.dtype_bytes > 2:
        add("--dtype bfloat16", replace(ask, dtype_bytes=2))
    if ask.quantize is None and ask.device.startswith("cuda"):
        add("--quantize 8bit", replace(ask, quantize="8bit"))
        add("--quantize 4bit", replace(ask, quantize="4bit"))
    for other in others:
        if other.name != model.name:
            add(f"--model {other.name}", ask, other)
    return found


def fit(model: PlannedModel, clip: ClipFacts, asks: Sequence[Ask], limit: int) -> tuple[Ask, list[Plan]]:
    """Frames and pixels for which every one of `asks` stays within `limit` bytes, and the plans with them.

    Pixels go first, down to the fewest of the model's own rule; then frames. Returns the first ask with what was
    chosen (the same ask where nothing need be lowered). Raises OutOfMemoryError where even that is too much.
    """

    def plans(**changed: Any) -> list[Plan]:
        return [make_plan(model, clip, replace(ask, **changed)) for ask in asks]

    def all_fit(**changed: Any) -> bool:
        return all(fits(plan, limit) for plan in plans(**changed))

    asked = plans()
    if all(fits(plan, limit) for plan in asked):
        return asks[0], asked
    changed: dict[str, Any] = {}
    if asked[0].grid is not None:
        part = asked[0].part
        area = model.sampling.factor**2
        fewest = max(1, min(model.sampling.min_pixels, part.height * part.width) // area)
        most = part.height * part.width // area
        tokens = _largest(fewest, most, lambda n: all_fit(max_pixels=n * area))
        changed = {"max_pixels": (tokens or fewest) * area}
        if tokens is None:
            pairs = _largest(1, part.frames // 2, lambda n: all_fit(max_frames=2 * n, **changed))
            if pairs is None:
                changed["max_frames"] = _FEWEST
                raise _impossible(max(plans(**changed), key=lambda plan: plan.needed_bytes), limit)
            changed["max_frames"] = 2 * pairs
        made = plans(**changed)
        return replace(asks[0], **changed), made
    raise _impossible(max(asked, key=lambda plan: plan.needed_bytes), limit)


def check_weights(model: PlannedModel, ask: Ask, limit: int) -> None:
    """Raises OutOfMemoryError where a model's weights alone take more than `limit` bytes. ask: device and type."""
    needed = count_weights(model).bytes(ask.dtype_bytes, ask.quantize) + reserve_for(ask.device)
    if needed >= limit:
        choose = "choose a smaller --model" + (" or --quantize 4bit" if ask.device.startswith("cuda") else "")
        raise OutOfMemoryError(
            f"the weights of {model.name} alone take {_size(needed)}, the limit is {_size(limit)}: {choose}, or raise "
            "--max-vram"
        )


def _impossible(plan: Plan, limit: int) -> OutOfMemoryError:
    try:
        check_weights(plan.model, plan.ask, limit)
    except OutOfMemoryError as error:
        return error
    needed = plan.needed_bytes + reserve_for(plan.ask.device)
    seen = "with two small frames" if plan.grid else "without pictures"
    return OutOfMemoryError(
        f"the limit of {_size(limit)} is too small: even {seen} it takes {_size(needed)}: shorten the part with --end, "
        f"lower --keep, or raise --max-vram to {math.ceil(needed / 2**20)}M"
    )


def _size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _most_frames(plan: Plan, clip: ClipFacts, limit: int) -> int | None:
    """The largest --max-frames below what is taken that fits; None without one."""
    half = plan.part.frames // 2
    pairs = _largest(1, half - 1, lambda n: _ok(plan.model, clip, replace(plan.ask, max_frames=2 * n), limit))
    return None if pairs is None else 2 * pairs


def _most_pixels(plan: Plan, clip: ClipFacts, limit: int) -> int | None:
    if plan.grid is None:
        return None
    area = plan.model.sampling.factor**2
    most = plan.part.height * plan.part.width // area
    tokens = _largest(4, most - 1, lambda n: _ok(plan.model, clip, replace(plan.ask, max_pixels=n * area), limit))
    return None if tokens is None else tokens * area


def _latest_end(plan: Plan, clip: ClipFacts, limit: int) -> int | None:
    """The last whole second to end at; None if not even the first one after the start fits."""
    first, last = math.floor(plan.part.start_s) + 1, math.ceil(plan.part.end_s) - 1
    return _largest(first, last, lambda second: _ok(plan.model, clip, replace(plan.ask, end_s=float(second)), limit))


def _largest(low: int, high: int, good: Callable[[int], bool]) -> int | None:
    """The largest number from low to high that is good, where small ones are if any is; None if none is."""
    if low > high or not good(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if good(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _ok(model: PlannedModel, clip: ClipFacts, ask: Ask, limit: int) -> bool:
    made = _try(model, clip, ask)
    return made is not None and fits(made, limit)


def _try(model: PlannedModel, clip: ClipFacts, ask: Ask) -> Plan | None:
    """A plan, None where it cannot be had: too low a target, or nothing left of the clip."""
    try:
        return make_plan(model, clip, ask)
    except SeatsError:
        return None


def _time(seconds: int) -> str:
    """Seconds as --end takes them."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}" if minutes else str(rest)
