"""A watch for what makes the host wait for a GPU, or would if the tensors were there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from seats.inference import engine
from seats.selection import budget
from seats.tokens import layout

_READS = ("cpu", "tolist", "item", "nonzero", "__bool__", "__int__", "__float__", "__index__", "__contains__")
_VALUE_DEPENDENT = ("_local_scalar_dense", "nonzero", "unique", "masked_select", "equal", "bincount", "is_nonzero")


def hide_values(monkeypatch: pytest.MonkeyPatch, hidden: type[torch.Tensor] = torch.Tensor) -> None:
    """From now on the host sees no values of tensors of this kind without waiting, as on a GPU."""
    for module in (engine, budget, layout):
        monkeypatch.setattr(module, "host_sees", lambda x: not isinstance(x, hidden))


class Waits:
    """Names of what waited, in order. Also counts indexing with a mask, whose result's size the device must tell."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._paused = 0

    def note(self, name: str) -> None:
        if not self._paused:
            self.seen.append(name)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside does not count."""
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1


@contextmanager
def watched() -> Iterator[Waits]:
    """Watch everything that torch does inside. A read is noted once by its method's name, else by its operation's."""
    waits = Waits()

    class Functions(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = getattr(func, "__name__", "")
            if name in _READS or (name == "to" and "cpu" in args[1:]):
                waits.note(name)
                with waits.paused():
                    return func(*args, **(kwargs or {}))
            return func(*args, **(kwargs or {}))

    class Operations(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = func.name().split("::")[1].split(".")[0]
            if any(word in name for word in _VALUE_DEPENDENT) and name != "nonzero_static":
                waits.note(name)
            if name.startswith(("index", "_index_put")) and len(args) > 1 and isinstance(args[1], (list, tuple)):
                masks = [x for x in args[1] if x is not None and x.dtype in (torch.bool, torch.uint8)]
                if masks:
                    waits.note(f"{name} with a mask")
            return func(*args, **(kwargs or {}))

    with Operations(), Functions():
        yield waits
