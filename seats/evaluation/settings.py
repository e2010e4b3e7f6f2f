"""What is compared: methods at retentions, set up for one model, or the reason why they can't be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from seats.errors import SeatsError, SettingsError
from seats.inference.answer import Question
from seats.inference.engine import KvPolicy
from seats.inference.generate import Decoding
from seats.keep import FULL, Setting, method_names, settings_of
from seats.methods import Method, ModelShape, method_class


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
    """All settings of an evaluation, in order: methods that are set up, why others can't reach their retention, and
    what is wrong with those that can't be set up at all."""

    settings: tuple[Setting, ...]
    methods: dict[Setting, Method]
    unreachable: dict[Setting, str]
    broken: dict[Setting, str] = field(default_factory=dict)


def named_settings(
    methods: Sequence[str], keeps: Sequence[float], keep_video: float | None = None, keep_audio: float | None = None
) -> list[Setting]:
    """As `settings_of`, where the name "all" stands for all methods, full first. Raises SettingsError for a method that
    there is not."""
    if "all" in methods:
        methods = [FULL.method, *method_names()]  # another package's that is broken is unreachable, no one's mistake
    else:
        for name in methods:
            method_class(name)
    return settings_of(methods, keeps, keep_video, keep_audio)


def set_up(settings: Sequence[Setting], asking: Asking, shape: ModelShape) -> Compared:
    """Set every method up for a model; at least one. Raises what the first of them raises if none can be."""
    methods: dict[Setting, Method] = {}
    errors: dict[Setting, SeatsError] = {}
    for setting in settings:
        try:
            methods[setting] = asking.method_for(setting, shape)
        except SeatsError as error:
            errors[setting] = error
    if not methods:
        raise next(iter(errors.values()))
    unreachable = {setting: str(error) for setting, error in errors.items() if isinstance(error, SettingsError)}
    broken = {setting: str(error) for setting, error in errors.items() if setting not in unreachable}
    return Compared(tuple(settings), methods, unreachable, broken)
