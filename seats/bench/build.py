"""A thinker with random weights, made where it will run."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import torch

from seats.costs.memory import available_bytes
from seats.errors import OutOfMemoryError
from seats.models.fused import use_fused_blocks
from seats.models.omni import DTYPES
from seats.models.presets import Preset
from seats.models.thinker import Thinker
from seats.models.window_attention import use_window_attention
from seats.shortage import shortage


def random_thinker(preset: Preset, device: torch.device, dtype: torch.dtype, seed: int = 0) -> Thinker:
    """The model that `preset` describes with random weights, in eval mode, prepared as `load_model` does it.

    Every weight is created on `device` in `dtype`; the host holds none of them. Raises OutOfMemoryError, before
    anything is created where the weights alone are larger than what is free.
    """
    import transformers

    config = preset.config()
    needed, free = weight_bytes(preset, dtype), available_bytes(device)
    message = (
        f"{preset.name} needs {needed / 2**30:.1f} GiB for its weights, {device} has {free / 2**30:.1f} GiB free: "
        "choose a smaller --model"
    )
    if needed > free:
        raise OutOfMemoryError(message)
    torch.manual_seed(seed)
    with shortage(message), _quiet(), torch.device(device):
        module = getattr(transformers, preset.family.thinker_class)._from_config(config, dtype=dtype)
    thinker = Thinker(module.eval().requires_grad_(False))
    use_window_attention(thinker.vision, thinker.audio)
    with shortage(message):
        use_fused_blocks(thinker)
    return thinker


def dtype_for(preset: Preset, name: str) -> torch.dtype:
    """What a preset runs in. name: as for `load_model`; "auto" is float32 for the small ones, else bfloat16."""
    return DTYPES.get(name) or (torch.float32 if preset.small else torch.bfloat16)


def weight_bytes(preset: Preset, dtype: torch.dtype) -> int:
    """Bytes of all weights of the thinker, counted without making them."""
    return parameters(preset) * dtype.itemsize


def parameters(preset: Preset) -> int:
    """Number of weights of the thinker."""
    import transformers

    with _quiet(), torch.device("meta"):
        module = getattr(transformers, preset.family.thinker_class)(preset.config())
    return sum(parameter.numel() for parameter in module.parameters())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the remarks of the stock code about what a config leaves at its default."""
    import transformers

    verbosity = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            transformers.utils.logging.set_verbosity(verbosity)
