"""Which weights are quantised: the decoder's linear maps, in every version of transformers."""

import pytest
import torch
from transformers.quantizers.quantizers_utils import should_convert_module

from seats.models.quantization import STAY_WIDE
from tests.tiny import FAMILIES, tiny_thinker


@pytest.mark.parametrize("family", FAMILIES)
def test_encoders_and_head_stay_wide(family):
    linear = [name for name, module in tiny_thinker(family).named_modules() if isinstance(module, torch.nn.Linear)]
    for name in linear:
        stays = any(part in name for part in ("visual", "audio_tower", "lm_head"))
        assert should_convert_module(name, STAY_WIDE) != stays, name
    assert sum("self_attn" in name and should_convert_module(name, STAY_WIDE) for name in linear) >= 4
