"""A worker's look at CUDA before it joins, on a real GPU."""

import pytest
import torch

from search.cuda import check_cuda
from search.gpus import list_gpus
from search.process import preload

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


def test_every_gpu_that_the_driver_lists_can_be_used() -> None:
    preload()
    gpus = list_gpus()
    assert gpus
    for gpu in gpus:
        check_cuda(gpu.uuid)
