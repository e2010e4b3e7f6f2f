"""What `--keep` stands for and which methods there are, without torch: both methods and plan need it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from seats.errors import SettingsError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

METHODS = (
    "seats",
    "seats+",
    "full",
    "random",
    "saliency",
    "fastv",
    "fastv-om",
    "visionzip",
    "visionzip-om",
    "divprune",
    "divprune-om",
    "dycoke",
    "fastvid",
    "omnizip",
)
"""Names of the built-in methods."""
ENTRY_POINT_GROUP = "seats.methods"
"""Where other packages offer their methods."""
# (video, audio) retention in percent for each published operating point (arXiv 2605.20035).
PAIRS = {
    "qwen2.5-omni": {10: (6, 35), 15: (10, 45), 25: (20, 55), 35: (30, 65)},
    "qwen3-omni": {10: (7, 45), 15: (12, 50), 25: (22, 60), 35: (32, 70)},
}


@dataclass(frozen=True)
class Setting:
    """One of the ways of answering that are compared: a method at a retention.

    keep: percent as `--keep`, None for those that keep all. keep_video, keep_audio: shares that overrule what it stands
    for.
    """

    method: str
    keep: float | None = None
    keep_video: float | None = None
    keep_audio: float | None = None

    @property
    def label(self) -> str:
        if self.keep is None:
            return self.method
        return method_label(self.method, self.keep, self.keep_video, self.keep_audio)


FULL = Setting("full")


def settings_of(
    methods: Iterable[str], keeps: Sequence[float], keep_video: float | None = None, keep_audio: float | None = None
) -> list[Setting]:
    """Every method at every retention (percent), none twice; `full` has none.

    keep_video, keep_audio: shares that overrule what the retentions stand for; where both do, one retention is all
    there is.
    """
    if keep_video is not None and keep_audio is not None:
        keeps = keeps[:1]
    named = dict.fromkeys(methods)
    made = [FULL if name == FULL.method else Setting(name, k, keep_video, keep_audio) for name in named for k in keeps]
    return list(dict.fromkeys(made))


def added_methods() -> dict[str, EntryPoint]:
    """What other packages offer, by name, of which nothing is imported; the first of a name counts."""
    from importlib.metadata import entry_points  # seldom needed, and slower than all else here

    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        found.setdefault(entry.name, entry)
    return found


def code_digest(method: str) -> str | None:
    """SHA-256, hexadecimal, of the module that another package offers a method from, which may be edited between two
    runs; None for a built-in method, and where no file has it. Executes at most the packages that the module is in."""
    if method in METHODS or (entry := added_methods().get(method)) is None:
        return None
    try:
        found = find_spec(entry.module)
        return None if found is None else hashlib.sha256(Path(str(found.origin)).read_bytes()).hexdigest()
    except Exception:  # a foreign package can raise anything; that it is broken is told where it is imported
        return None


def method_names() -> list[str]:
    """All methods' names, the built-in ones first; imports nothing of the packages that add some."""
    return list(dict.fromkeys([*METHODS, *added_methods()]))


def check_method(name: str) -> None:
    """Raise SettingsError that lists the valid names where no method is called `name`."""
    if name not in METHODS and name not in (known := method_names()):
        raise SettingsError(f"unknown method {name!r}: choose one of {', '.join(sorted(known))}")


def operating_points(family: str) -> dict[int, tuple[int, int]]:
    """`PAIRS` of a family with the ends of the scale, between which other values are interpolated."""
    return {0: (0, 0), **PAIRS[family], 100: (100, 100)}


def shares(
    family: str, keep: float, keep_video: float | None = None, keep_audio: float | None = None
) -> tuple[float, float]:
    """The (video, audio) shares in (0, 1] that `--keep` stands for.

    keep: percent, in (0, 100]. Published operating points give the published pair of the model family; values between
    them are interpolated, ending at (0, 0) for 0 % and (100, 100) for 100 %. keep_video, keep_audio: shares that
    overrule it. Raises SettingsError for a percentage outside the range.
    """
    if not 0 < keep <= 100:
        raise SettingsError(f"--keep {keep:g}% is out of range: choose more than 0% and at most 100%")
    points = sorted(operating_points(family).items())
    (low, start), (high, end) = max(pair for pair in pairwise(points) if pair[0][0] <= keep)
    video, audio = ((b - a) / (high - low) * (keep - low) + a for a, b in zip(start, end, strict=True))
    return (
        video / 100 if keep_video is None else keep_video,
        audio / 100 if keep_audio is None else keep_audio,
    )


def most_keep(family: str, share: float) -> int:
    """The largest whole percentage for `--keep` whose pair has no modality above `share`, in (0, 1]."""
    points = [(label, max(pair)) for label, pair in operating_points(family).items()]
    most = 100 * share + 1e-9
    low, high = max(pair for pair in pairwise(points) if pair[0][1] <= most)
    return math.floor(low[0] + (high[0] - low[0]) * min(1.0, (most - low[1]) / (high[1] - low[1])))


def method_label(method: str, keep: float, video: float | None, audio: float | None) -> str:
    """A method with its target: "full", "seats 10%", "seats 10% video 20%", "seats video 20% audio 40%".

    keep: percent; video, audio: shares in [0, 1] that override it, None where they don't.
    """
    if method == "full":
        return method
    own = [f"{what} {100 * share:g}%" for what, share in (("video", video), ("audio", audio)) if share is not None]
    return " ".join([method, *([f"{keep:g}%", *own] if len(own) < 2 else own)])


def off_target(method: str, kept: float, video: int, audio: int, pair: tuple[float, float]) -> tuple[str, ...]:
    """That a method keeps clearly more or less than was asked for, in words; empty where it does not.

    Some published methods meet a target only approximately, in short clips least. kept: video and audio tokens alive,
    averaged over the decoder layers; video, audio: those of the clip; pair: target shares of each, in (0, 1]. A tenth
    of the target, and two tokens, are taken for the rounding of counts.
    """
    wanted = pair[0] * video + pair[1] * audio
    if method == "full" or abs(kept - wanted) <= max(0.1 * wanted, 2):
        return ()
    had, asked = (f"{100 * tokens / (video + audio):.0f} %" for tokens in (kept, wanted))
    return (f"{method} keeps {had} of this clip's video and audio tokens, {asked} were asked for",)


def check_reach(method: str, family: str, video: float, audio: float, most: float) -> None:
    """Raise SettingsError where a modality is to keep a larger share than `most`, and say what can be asked for."""
    for what, share in (("video", video), ("audio", audio)):
        if share > most + 1e-9:
            limit = f"{math.floor(1000 * most + 1e-9) / 10:g}"  # down, so that what is named can be had
            raise SettingsError(
                f"{method} cannot keep {100 * share:.4g} % of the {what} tokens, {limit} % is the most here: choose at "
                f"most --keep {most_keep(family, most)}%, or --keep-{what} {limit}% where you give that, or "
                "--method full for all"
            )
