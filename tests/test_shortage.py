"""Memory that runs out, in the words of whoever finds none."""

import pytest
import torch

from seats.errors import OutOfMemoryError
from seats.shortage import lacks_memory, shortage_told


def test_torch_on_a_cpu_says_so_in_words():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert lacks_memory(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError(
            "MPS backend out of memory (MPS allocated: 8.00 GiB, other allocations: 2.00 GiB, max allowed: ..."
        ),
        RuntimeError("Invalid buffer size: 12.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    ],
)
def test_a_lack_is_told_with_what_to_lower(error):
    told = pytest.raises(OutOfMemoryError, match="the clip does not fit into cpu: lower --max-frames")
    with told as caught, shortage_told("the clip does", torch.device("cpu")):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: an illegal memory access"), ValueError("memory")])
def test_what_else_goes_wrong_stays_what_it_is(error):
    assert not lacks_memory(error)
    with pytest.raises(type(error)), shortage_told("the clip does", torch.device("cpu")):
        raise error
