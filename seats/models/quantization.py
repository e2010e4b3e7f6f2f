"""4- and 8-bit weights by bitsandbytes, whose checks need neither torch nor a checkpoint."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from seats.errors import SettingsError

if TYPE_CHECKING:
    import torch

# Patterns of transformers' `should_convert_module`: from the start of a module's name, which begins with "model." since
# 5.20 and with the encoder before.
STAY_WIDE = [r"(model\.)?visual", r"(model\.)?audio_tower", "lm_head"]


def check_libraries() -> None:
    """Raises SettingsError where a library is missing that quantised weights need."""
    if find_spec("bitsandbytes") is None or find_spec("accelerate") is None:
        raise SettingsError("--quantize needs bitsandbytes and accelerate: pip install bitsandbytes accelerate")


def quantization(kind: str, device: torch.device, dtype: torch.dtype) -> Any:
    """Settings for the stock loader. kind: "4bit" or "8bit", of the decoder's linear maps.

    Raises SettingsError for another kind, a device that is no CUDA GPU, or a missing library.
    """
    from transformers import BitsAndBytesConfig

    if kind not in ("4bit", "8bit"):
        raise SettingsError(f"unknown quantisation {kind!r}: choose 4bit or 8bit")
    if device.type != "cuda":
        raise SettingsError(f"--quantize works on a CUDA GPU, not on {device.type}: leave it out")
    check_libraries()
    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=STAY_WIDE)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=STAY_WIDE,
    )
