"""A worker's look at CUDA before it joins, on a real GPU."""

import pytest
import torch

from search.machine.cuda import check_cuda, device_fault, multiplies
from search.machine.gpus import list_gpus
from search.process.parent import preload

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


def test_every_gpu_that_the_driver_lists_can_be_used() -> None:
    preload()
    gpus = list_gpus()
    assert gpus
    for gpu in gpus:
        assert check_cuda(gpu) == gpu


def test_every_gpu_computes_as_the_cpu_does() -> None:
    preload()
    assert multiplies(torch.device("cuda"))
    assert [device_fault(gpu.uuid) for gpu in list_gpus()] == [""] * len(list_gpus())


def test_a_gpu_whose_memory_is_taken_is_not_faulty() -> None:
    preload()
    (gpu, *_) = list_gpus()
    free, _ = torch.cuda.mem_get_info(0)
    taken = torch.empty(free - 2**20, dtype=torch.uint8, device="cuda")
    assert device_fault(gpu.uuid) == ""
    del taken
    torch.cuda.empty_cache()
