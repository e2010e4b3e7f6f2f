"""Tensors are made where they are wanted, whatever torch's default device."""

import pytest
import torch

from seats.devices import usual_device
from tests.defaults import defaults


@usual_device()
def made():
    return torch.ones(1).device.type


@pytest.mark.parametrize("kind", ["device", "context"])
def test_the_usual_device_is_the_cpu(kind):
    with defaults(kind):
        assert torch.ones(1).is_meta
        assert [made(), made()] == ["cpu", "cpu"]
        with usual_device(), usual_device():
            assert made() == "cpu"
            assert torch.ones(1, device="meta").is_meta
        with pytest.raises(KeyError), usual_device():
            raise KeyError
        assert torch.ones(1).is_meta
    assert made() == torch.ones(1).device.type == "cpu"
