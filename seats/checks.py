"""Values of a kind that a setting cannot have, told by the setting's name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from seats.errors import SettingsError


def plain(value: Any) -> Any:
    """A number of whatever library, such as numpy's, or a list of some, as Python's own; anything else as it is."""
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def check_number(what: str, value: Any) -> int | float:
    """`value` as one of Python's numbers. Raises SettingsError where it is no real number. what: the setting's name."""
    check_kind(what, value, Real, "a number")
    return plain(value)


def check_whole(what: str, value: Any) -> int:
    """`value` as a whole number of Python's. Raises SettingsError where it is none. what: the setting's name."""
    check_kind(what, value, Integral, "a whole number")
    return plain(value)


def set_checked(made: Any, check: Callable[[str, Any], Any], *names: str) -> None:
    """Put what `check` gives for each of these fields in its place, in a dataclass that may be frozen. Raises as it
    does."""
    for name in names:
        object.__setattr__(made, name, check(name, getattr(made, name)))


def check_text(what: str, value: Any) -> None:
    """Raise SettingsError where `value` is no text. what: the setting's name."""
    check_kind(what, value, str, "text")


def check_flag(what: str, value: Any) -> None:
    """Raise SettingsError where `value` is neither true nor false; 1 and 0 are. what: the setting's name."""
    flag = isinstance(value, Integral) or type(value).__name__ in ("bool", "bool_")  # NumPy's is no Integral
    if not flag or value not in (True, False):
        raise SettingsError(f"{what} is {_shown(value)}; it must be True or False")


def check_kind(what: str, value: Any, kinds: type | tuple[type, ...], wanted: str) -> None:
    """Raise SettingsError where `value` is none of `kinds`; True and False are no numbers.

    what: the setting's name. wanted: what it must be, in words that follow "it must be".
    """
    if isinstance(value, kinds) and not isinstance(value, bool):
        return
    raise SettingsError(f"{what} is {_shown(value)}; it must be {wanted}")


def _shown(value: Any) -> str:
    short = value is None or isinstance(value, (str, bytes, Real))
    return repr(plain(value)) if short else f"of type {type(value).__name__}"


def is_finite(value: Any) -> bool:
    """Whether a value read from JSON is a number that fits a float."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # True is an int to isinstance


def is_positive(value: Any) -> bool:
    """Whether a value read from JSON is a number above 0 that fits a float."""
    return is_finite(value) and value > 0
