"""Tensors are made where they are wanted, whatever torch's default device."""

import pytest
import torch

from seats.devices import is_lost, usual_device
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


def accelerator_error(said):
    return getattr(torch, "AcceleratorError", RuntimeError)(said)  # of torch 2.9 nobody can tell


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (accelerator_error("CUDA error: an illegal memory access was encountered"), hasattr(torch, "AcceleratorError")),
        (accelerator_error("CUDA error: out of memory"), False),
        (RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"), True),
        (RuntimeError("Triton Error [CUDA]: device-side assert triggered"), True),
        (RuntimeError("Triton Error [CUDA]: out of memory"), False),
        (RuntimeError("Triton Error [CUDA]: invalid argument"), False),
        (ValueError("an illegal memory access"), False),
    ],
)
def test_a_device_is_lost_by_whoever_meets_its_error_first_but_not_for_want_of_memory(error, lost):
    assert is_lost(error) == lost
