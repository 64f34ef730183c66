"""What `search run` says of more workers than its GPUs have slots."""

import pytest

from search.terminal.local import too_many


@pytest.mark.parametrize(
    ("workers", "per_gpu", "gpus", "said"),
    [
        (9, "4", 2, "2 GPU(s) have 8 slot(s): 1 of 9 workers stand by"),
        (8, "4", 2, ""),
        (9, "auto", 2, ""),  # each finds out by itself
        (9, "", 2, ""),
        (9, "4", 0, ""),  # on the CPU
    ],
)
def test_who_stands_by_is_counted(workers: int, per_gpu: str, gpus: int, said: str) -> None:
    assert too_many(workers, per_gpu, gpus=gpus) == said
