"""What is compared: methods at retentions, set up for one model, or the reason why they can't be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from seats.errors import SettingsError
from seats.inference.answer import Question
from seats.inference.engine import KvPolicy
from seats.inference.generate import Decoding
from seats.keep import Setting
from seats.methods import Method, ModelShape, method_class, method_classes

FULL = "full"


@dataclass(frozen=True)
class Asking:
    """How every question of an evaluation is asked. All as in `Question`."""

    kv: KvPolicy = "keep"
    system: str | None = None
    decoding: Decoding = field(default_factory=Decoding)

    def method_for(self, setting: Setting, shape: ModelShape) -> Method:
        """Raises SettingsError where the method can't reach the retention."""
        keep = 100.0 if setting.keep is None else setting.keep
        own = (setting.keep_video, setting.keep_audio)
        return Question("", setting.method, keep, *own, decoding=self.decoding).method_for(shape)


@dataclass(frozen=True)
class Compared:
    """All settings of an evaluation, in order: methods that are set up, and why others can't be."""

    settings: tuple[Setting, ...]
    methods: dict[Setting, Method]
    unreachable: dict[Setting, str]


def settings_of(
    methods: Sequence[str], keeps: Sequence[float], keep_video: float | None = None, keep_audio: float | None = None
) -> list[Setting]:
    """Every method at every retention (percent), `full` once; the name "all" stands for all methods, full first.

    keep_video, keep_audio: shares that overrule what the retentions stand for; where both do, one retention is all
    there is. Raises SettingsError for an unknown method.
    """
    if keep_video is not None and keep_audio is not None:
        keeps = keeps[:1]
    names = dict.fromkeys(methods)
    if "all" in names:
        names = dict.fromkeys([FULL, *(name for name in method_classes() if name != FULL)])
    settings = []
    for name in names:
        method_class(name)
        if name == FULL:
            settings.append(Setting(FULL, None))
        else:
            settings += [Setting(name, keep, keep_video, keep_audio) for keep in dict.fromkeys(keeps)]
    return settings


def set_up(settings: Sequence[Setting], asking: Asking, shape: ModelShape) -> Compared:
    """Set every method up for a model. Raises SettingsError if none of them can be."""
    methods: dict[Setting, Method] = {}
    unreachable: dict[Setting, str] = {}
    for setting in settings:
        try:
            methods[setting] = asking.method_for(setting, shape)
        except SettingsError as error:
            unreachable[setting] = str(error)
    if not methods:
        raise SettingsError(next(iter(unreachable.values())))
    return Compared(tuple(settings), methods, unreachable)
