"""Values of a kind that a setting cannot have, told by the setting's name."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from seats.errors import SettingsError


def check_number(what: str, value: Any) -> None:
    """Raise SettingsError where `value` is no real number. what: the setting's name."""
    check_kind(what, value, Real, "a number")


def check_whole(what: str, value: Any) -> None:
    """Raise SettingsError where `value` is no whole number. what: the setting's name."""
    check_kind(what, value, Integral, "a whole number")


def check_text(what: str, value: Any) -> None:
    """Raise SettingsError where `value` is no text. what: the setting's name."""
    check_kind(what, value, str, "text")


def check_kind(what: str, value: Any, kinds: type | tuple[type, ...], wanted: str) -> None:
    """Raise SettingsError where `value` is none of `kinds`; True and False are no numbers.

    what: the setting's name. wanted: what it must be, in words that follow "it must be".
    """
    if isinstance(value, kinds) and not isinstance(value, bool):
        return
    plain = value is None or isinstance(value, (str, bytes, Real))
    said = repr(value) if plain else f"of type {type(value).__name__}"
    raise SettingsError(f"{what} is {said}; it must be {wanted}")
