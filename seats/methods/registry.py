"""Methods by the name the command line uses, and the meaning of `--keep`."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

from seats.checks import check_kind, check_text
from seats.devices import is_lost
from seats.errors import SeatsError, SettingsError
from seats.keep import added_methods, check_method, shares
from seats.methods.base import Method, ModelShape, Retention, check_layers
from seats.methods.divprune import DivPrune, DivPruneOm
from seats.methods.dycoke import DyCoke
from seats.methods.fastv import FastV, FastVOm
from seats.methods.fastvid import FastVID
from seats.methods.full import Full
from seats.methods.omnizip import OmniZip
from seats.methods.random import Random
from seats.methods.saliency import Saliency
from seats.methods.seats import Seats
from seats.methods.seats_plus import SeatsPlus
from seats.methods.visionzip import VisionZip, VisionZipOm
from seats.models.signals import EncoderWants
from seats.shortage import lacks_memory
from seats.text import error_line

BUILT_IN: tuple[type[Method], ...] = (
    Seats,
    SeatsPlus,
    Full,
    Random,
    Saliency,
    FastV,
    FastVOm,
    VisionZip,
    VisionZipOm,
    DivPrune,
    DivPruneOm,
    DyCoke,
    FastVID,
    OmniZip,
)
_BUILT_IN: dict[str, type[Method]] = {cls.name: cls for cls in BUILT_IN}


def method_class(name: str) -> type[Method]:
    """The method called `name`. Raises SettingsError that lists the valid names, or says why it cannot be imported.

    Other packages' methods than the one asked for are not imported: a broken one is to stop only who asks for it.
    """
    check_text("the method", name)
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    check_method(name)
    return _imported(added_methods()[name])


def set_up(name: str, shape: ModelShape, retention: Retention, seed: int) -> Method:
    """The method called `name`, set up for a model and a target. Raises SettingsError where there is none, or it can't
    reach the target, and a plain SeatsError where another package's raises anything else, or says of itself what it
    must not: that is no wrong setting."""
    cls = method_class(name)
    made = _had(name, "for_model", lambda: cls.for_model(shape, retention, seed))
    try:
        check_kind(f"what {cls.__name__}.for_model returns", made, Method, "a seats.Method")
        wants = _had(name, "wants", lambda: made.wants)
        check_kind(f"{cls.__name__}.wants", wants, EncoderWants, "a seats.methods.EncoderWants")
        _had(name, "layers", lambda: check_layers(made, shape.num_layers))
        _check_settings(_had(name, "settings()", made.settings), name)
    except SettingsError as error:
        if name in _BUILT_IN:
            raise
        raise SeatsError(f"method {name!r} cannot be set up: {error}") from error
    return made


def _had(name: str, what: str, ask: Callable[[], Any]) -> Any:
    """What a method gives. Raises plain SeatsError where another package's raises what nobody foresaw.

    what: of the method, for the message.
    """
    try:
        return ask()
    except SeatsError:
        raise
    except (Exception, SystemExit) as error:
        if name in _BUILT_IN or lacks_memory(error) or is_lost(error):
            raise
        raise SeatsError(f"method {name!r} cannot be set up: its {what} raises {error_line(error)}") from error


def _check_settings(said: Any, name: str) -> None:
    """Raise SettingsError for settings that no report can hold, or those of another method than `name`."""
    try:
        json.dumps(said, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"its settings() must be of plain values, for reports (finite numbers, texts, lists): {error}"
        ) from error
    if not isinstance(said, dict) or said.get("name") != name:
        raise SettingsError(f"its settings() must have its name: {{'name': {name!r}, ...}}")


def _imported(entry: EntryPoint) -> type[Method]:
    try:
        found = entry.load()
    except (Exception, SystemExit) as error:  # a foreign module can raise anything
        why = f"cannot be imported ({type(error).__name__}: {' '.join(str(error).split())})"
    else:
        if not (isinstance(found, type) and issubclass(found, Method)):
            why = "is no seats.Method"
        elif getattr(found, "name", None) != entry.name:  # results would be told as another method's, or taken for them
            why = f"does not have that name in its class (name = {getattr(found, 'name', None)!r})"
        else:
            return found
    package = f" of the package {entry.dist.name}" if entry.dist is not None else ""
    raise SettingsError(
        f"method {entry.name!r} ({entry.value}{package}) {why}: repair or uninstall that package, or choose another "
        "method"
    )


def retention_for(
    family: str, keep_percent: float, video: float | None = None, audio: float | None = None
) -> Retention:
    """The (video, audio) pair that `--keep` stands for, as `seats.keep.shares` has it.

    keep_percent: in (0, 100]. video, audio: shares in (0, 1] that overrule it. Raises SettingsError outside the range.
    """
    return Retention(*shares(family, keep_percent, video, audio))
