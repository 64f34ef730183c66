"""A worker's look at CUDA before it joins, on a real GPU."""

import pytest
import torch

from search.cuda import check_cuda
from search.process import preload

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:0"])
def test_cuda_that_starts_lets_a_worker_join(device: str) -> None:
    preload()
    check_cuda(device)
