"""Which weights are quantised, the decoder's linear maps in every version of transformers, and how."""

import pytest
import torch
from transformers.quantizers.quantizers_utils import should_convert_module

from seats.errors import SettingsError
from seats.models.quantization import STAY_WIDE, quantization
from tests.tiny import FAMILIES, tiny_thinker


@pytest.mark.parametrize("family", FAMILIES)
def test_encoders_and_head_stay_wide(family):
    linear = [name for name, module in tiny_thinker(family).named_modules() if isinstance(module, torch.nn.Linear)]
    for name in linear:
        stays = any(part in name for part in ("visual", "audio_tower", "lm_head"))
        assert should_convert_module(name, STAY_WIDE) != stays, name
    assert sum("self_attn" in name and should_convert_module(name, STAY_WIDE) for name in linear) >= 4


@pytest.fixture
def installed(monkeypatch):
    """Libraries that are taken to be there; making the settings uses none."""
    found = {"bitsandbytes", "accelerate"}
    monkeypatch.setattr("seats.models.quantization.find_spec", lambda name: name if name in found else None)
    return found


def test_the_stock_loader_gets_what_was_asked_for(installed):
    four, eight = (quantization(kind, torch.device("cuda"), torch.bfloat16) for kind in ("4bit", "8bit"))
    assert (four.load_in_4bit, four.load_in_8bit) == (True, False)
    assert (four.bnb_4bit_quant_type, four.bnb_4bit_compute_dtype) == ("nf4", torch.bfloat16)
    assert (eight.load_in_4bit, eight.load_in_8bit) == (False, True)
    assert four.llm_int8_skip_modules == eight.llm_int8_skip_modules == STAY_WIDE


@pytest.mark.parametrize("library", ["bitsandbytes", "accelerate"])
def test_each_library_is_needed(installed, library):
    installed.remove(library)
    with pytest.raises(SettingsError, match="pip install bitsandbytes accelerate"):
        quantization("4bit", torch.device("cuda"), torch.bfloat16)
