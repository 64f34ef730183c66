"""When cuDNN looks for its fastest ways."""

from collections.abc import Iterator

import pytest
import torch

from objectives.device.convolutions import PAYS_FROM_STEPS, search_for


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = torch.backends.cudnn.benchmark
    yield
    torch.backends.cudnn.benchmark = before


@pytest.mark.parametrize("before", [False, True])
def test_it_searches_in_long_trainings_only(before: bool) -> None:
    for steps, searches in ((PAYS_FROM_STEPS - 1, False), (PAYS_FROM_STEPS, True)):
        torch.backends.cudnn.benchmark = before
        search_for(steps)
        assert torch.backends.cudnn.benchmark is searches
