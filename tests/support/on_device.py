"""Where the tests of ``tests/gpu`` compute: on the first GPU. ``GPU_TESTS_ON=cpu`` tries on the CPU what
of them needs no GPU.
"""

import os
from pathlib import Path

import pytest
import torch

from objectives.config import Config
from objectives.data.dataset import Dataset
from search.artifacts import open_objects
from search.artifacts.marker import MARKERS
from search.machine.gpus import list_gpus
from search.process.messages import Job, Run

HAS_CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda", 0) if HAS_CUDA else torch.device("cpu")
WANTED = HAS_CUDA or os.environ.get("GPU_TESTS_ON") == "cpu"
REASON = "torch sees no CUDA device"
on_device = pytest.mark.skipif(not WANTED, reason=REASON)
on_gpu = pytest.mark.skipif(not HAS_CUDA, reason=REASON)
MARKER = "ab" * 32


def gpu_uuid() -> str:
    """The uuid of that GPU; empty on the CPU."""
    return list_gpus()[0].uuid if HAS_CUDA else ""


def job_on_device(
    config: Config, data: Dataset, folder: Path, *, prefetchers: int = 0, memory_bytes: int = 0
) -> Job:
    """A trial on that device, held to so many bytes of it; 0: to none."""
    open_objects(str(folder), MARKERS).write(MARKER, b"")
    return Job(
        number=0,
        config=config.model_dump_json(),
        dataset=data.directory,
        blobs=str(folder),
        cache=folder,
        marker=MARKER,
        run=Run(1),
        gpu=gpu_uuid(),
        threads=1,
        prefetchers=prefetchers,
        rungs=(),
        checkpoints=(),
        memory_bytes=memory_bytes,
        limited=HAS_CUDA and memory_bytes > 0,
        alone=False,
        gpu_bf16=HAS_CUDA and torch.cuda.is_bf16_supported(including_emulation=False),
        verbose=False,
    )
