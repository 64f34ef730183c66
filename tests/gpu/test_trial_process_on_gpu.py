"""A trial in its own process on a real GPU: with prefetchers and pinned memory, held to the share of a
slot, and killed.
"""

import math
from pathlib import Path

import psutil
import pytest
import torch

from objectives.config import Config, Train, UNet
from objectives.data.dataset import Dataset
from objectives.training.resources import estimate
from search.process.messages import Checked, Failed, Finished, Message, Noted, Saved, Timed
from search.process.parent import TrialProcess, preload
from tests.support.on_device import DEVICE, HAS_CUDA, job_on_device, on_device, on_gpu
from tests.support.waiting import wait_for

pytestmark = on_device

HANG_S = 120.0
PREFETCHERS = 2
GONE_S = 10.0
MIB = 2**20
SLACK = 64 * MIB  # of a GPU: what the driver keeps a little longer


def never() -> bool:
    return False


def config(
    epochs: int = 2, base_filters: int = 8, batch_size: int = 8, *, bf16: bool = True
) -> Config:
    return Config(
        model=UNet(depth=2, base_filters=base_filters),
        train=Train(epochs=epochs, batch_size=batch_size, steps_per_epoch=3, bf16=bf16),
    )


def told(
    config: Config, data: Dataset, folder: Path, *, memory_bytes: int = 0, prefetchers: int = 0
) -> list[Message]:
    """What a trial says to its end."""
    job = job_on_device(config, data, folder, prefetchers=prefetchers, memory_bytes=memory_bytes)
    preload()
    messages = list[Message]()
    with TrialProcess(job, hang_s=HANG_S) as process:
        for message in process.messages(never):
            messages.append(message)
            if isinstance(message, Saved):
                process.reply(message.number, stop=False)
            if isinstance(message, Failed | Finished):
                break
    return messages


@pytest.mark.parametrize("prefetchers", [0, PREFETCHERS])
def test_a_trial_trains_to_its_end_on_the_device(
    prefetchers: int, terrain: Dataset, tmp_path: Path
) -> None:
    messages = told(config(), terrain, tmp_path, prefetchers=prefetchers)
    assert isinstance(messages[-1], Finished), messages[-1]
    (checked,) = [each for each in messages if isinstance(each, Checked)]
    assert checked.memory_bytes > 0
    *_, saved = [each for each in messages if isinstance(each, Saved)]
    assert [result.number for result in saved.results] == [1, 2]
    for result in saved.results:
        assert math.isfinite(result.loss)
        assert 0.0 <= result.score <= 1.0
        assert result.scored_on.type == DEVICE.type
    assert any(isinstance(each, Timed) and each.latency_s > 0 for each in messages)


@on_gpu
def test_a_trial_in_a_slot_trains_within_its_share(terrain: Dataset, tmp_path: Path) -> None:
    messages = told(config(), terrain, tmp_path, prefetchers=PREFETCHERS, memory_bytes=2**30)
    assert isinstance(messages[-1], Finished), messages[-1]


@on_gpu
def test_a_trial_is_held_to_its_share_on_a_card_with_room(terrain: Dataset, tmp_path: Path) -> None:
    """So its batch is divided, though the whole card would do."""
    wide = config(base_filters=64, batch_size=32, bf16=False)
    needs = estimate(wide, terrain.spec, bf16=False)
    share = needs.state_bytes + 12 * needs.frame_bytes
    assert share < needs.memory_bytes / 2
    messages = told(wide, terrain, tmp_path, memory_bytes=share)
    assert isinstance(messages[-1], Finished), messages[-1]
    notes = [each.text for each in messages if isinstance(each, Noted)]
    assert any("has too little memory for 32 frames" in note for note in notes), notes


def test_nothing_is_left_of_a_trial_that_is_killed(terrain: Dataset, tmp_path: Path) -> None:
    before = free_bytes()
    job = job_on_device(config(epochs=500), terrain, tmp_path, prefetchers=PREFETCHERS)
    preload()
    with TrialProcess(job, hang_s=HANG_S) as process:
        for message in process.messages(never):
            assert not isinstance(message, Failed), message
            if isinstance(message, Saved):
                break
        assert process.process.pid
        above = psutil.Process(process.process.pid)
        below = above.children(recursive=True)
        assert len(below) >= PREFETCHERS
        assert not HAS_CUDA or free_bytes() < before - SLACK
        above.kill()
        _, alive = psutil.wait_procs(below, timeout=GONE_S)
        assert not alive
    wait_for(lambda: free_bytes() >= before - SLACK, GONE_S, told=free_bytes)


def free_bytes() -> int:
    """Bytes of the GPU that nobody has; of the CPU none is looked at."""
    return int(torch.cuda.mem_get_info(DEVICE)[0]) if HAS_CUDA else 0
