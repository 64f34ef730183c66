"""A GPU without memory for what could be done on a CPU, too."""

import pytest
import torch

from objectives.device.fallback import gpu_or_cpu
from objectives.device.memory import DoesNotFitError
from objectives.device.shortage import MemoryTakenError

GPU = torch.device("cuda", 0)


def failing(error: Exception, tried: list[str]) -> torch.device:
    """Work that fails on every GPU."""

    def work(device: torch.device) -> torch.device:
        tried.append(device.type)
        if device.type == "cuda":
            raise error
        return device

    return gpu_or_cpu(GPU, work)


@pytest.mark.parametrize(
    "error",
    [
        DoesNotFitError("a single frame does not fit"),
        MemoryTakenError("others hold the memory of cuda:0"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_the_cpu_does_what_a_gpu_has_no_memory_for_and_that_is_said(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = list[str]()
    assert failing(error, tried).type == "cpu"
    assert tried == ["cuda", "cpu"]
    assert "cuda:0 has no memory for it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA error: an illegal memory access"), ValueError("no")]
)
def test_other_errors_are_not_tried_again(error: Exception) -> None:
    tried = list[str]()
    with pytest.raises(type(error)):
        failing(error, tried)
    assert tried == ["cuda"]


def test_a_cpu_has_nothing_to_fall_back_to() -> None:
    def work(device: torch.device) -> None:
        raise DoesNotFitError("too little")

    with pytest.raises(DoesNotFitError):
        gpu_or_cpu(torch.device("cpu"), work)
