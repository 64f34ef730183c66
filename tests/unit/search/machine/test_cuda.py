"""Looks at a device by processes of their own: what is a fault of it, and what is only a lack of
memory.
"""

import pytest
import torch

from search.machine import cuda
from search.machine.cuda import FULL_BYTES, device_fault, is_taken, multiplies
from search.process.parent import preload
from tests.support import stand_in_cuda

NONE_HERE = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


def test_the_cpu_always_passes() -> None:
    assert device_fault("") == ""


@NONE_HERE
def test_a_gpu_on_which_nothing_can_be_computed_is_faulty_and_the_reason_is_said() -> None:
    preload()
    assert "NVIDIA" in device_fault("GPU-0") or "CUDA" in device_fault("GPU-0")


def test_a_look_that_dies_or_never_ends_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_multiply", stand_in_cuda.die)
    assert device_fault("GPU-0") == "the process that tried it has died"
    monkeypatch.setattr(cuda, "_multiply", stand_in_cuda.hang)
    monkeypatch.setattr(cuda, "LONGEST_S", 0.5)
    assert device_fault("GPU-0") == "no word in 0.5 s"


def test_the_product_is_compared_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert multiplies(torch.device("cpu"))
    equal = torch.equal
    monkeypatch.setattr(
        torch, "equal", lambda ours, theirs: equal(ours + torch.eye(len(ours)) * 1e-3, theirs)
    )
    assert not multiplies(torch.device("cpu"))


@pytest.mark.parametrize(
    ("words", "free", "full"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 MiB", 0, True),
        ("CUDA error: out of memory", 0, True),
        (
            "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
            FULL_BYTES - 1,
            True,
        ),
        (
            "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
            FULL_BYTES,
            False,
        ),
        ("CUDA error: CUDA-capable device(s) is/are busy or unavailable", FULL_BYTES, True),
        ("CUDA error: uncorrectable ECC error encountered", 0, False),
        ("CUDA error: an illegal memory access was encountered", 0, False),
    ],
)
def test_a_full_device_is_told_from_a_broken_one(words: str, free: int, full: bool) -> None:
    assert is_taken(RuntimeError(words), lambda: free) is full


def test_a_device_that_cannot_tell_what_is_free_is_broken() -> None:
    def raises() -> int:
        raise RuntimeError("CUDA error: unspecified launch failure")

    assert not is_taken(RuntimeError("CUBLAS_STATUS_NOT_INITIALIZED"), raises)
