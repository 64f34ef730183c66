"""A real GPU whose memory another process holds: whose fault it is when it runs out."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from objectives.config import Config, Train, UNet
from objectives.data.dataset import Dataset
from objectives.device.memory import TooLarge, attempt, limit_memory
from objectives.device.running_out import shortage_in
from objectives.device.shortage import MemoryTakenError, share_of
from search.process.messages import Cause, Failed, Finished, Message, Saved
from search.process.parent import TrialProcess, preload
from tests.support import held_memory
from tests.support.on_device import DEVICE, job_on_device, on_gpu

pytestmark = on_gpu

MIB = 2**20
LEFT = 300 * MIB  # less than a context and the libraries take


@contextmanager
def another_holds_all_but(left_bytes: int) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=held_memory.hold, args=(theirs, left_bytes))
    process.start()
    try:
        assert ours.poll(120.0), "the other process has not said that it holds the memory"
        ours.recv()
        yield
    finally:
        process.kill()
        process.join()


@pytest.fixture(autouse=True)
def _no_limit() -> Iterator[None]:
    """This process holds nothing before, and has no limit after a test."""
    torch.cuda.empty_cache()
    yield
    torch.cuda.set_per_process_memory_fraction(1.0, DEVICE)
    torch.cuda.empty_cache()


def last_word(data: Dataset, folder: Path) -> Message:
    config = Config(
        model=UNet(depth=2, base_filters=8), train=Train(epochs=1, batch_size=8, steps_per_epoch=2)
    )
    _, total = torch.cuda.mem_get_info(DEVICE)
    job = job_on_device(config, data, folder, memory_bytes=share_of(total, 4))
    preload()
    with TrialProcess(job, hang_s=120.0) as process:
        for message in process.messages(lambda: False):
            if isinstance(message, Saved):
                process.reply(message.number, stop=False)
            if isinstance(message, Failed | Finished):
                return message
    raise AssertionError("it has said no last word")


def test_a_trial_whose_share_others_hold_waits_and_trains_once_they_are_gone(
    terrain: Dataset, tmp_path: Path
) -> None:
    with another_holds_all_but(LEFT):
        failed = last_word(terrain, tmp_path / "held")
        assert isinstance(failed, Failed), failed
        assert failed.cause is Cause.SURROUNDINGS, failed.message
    assert isinstance(last_word(terrain, tmp_path / "free"), Finished)


def test_in_a_slot_a_process_is_to_blame_for_what_goes_beyond_it_on_a_card_with_room() -> None:
    limit_memory(DEVICE, 512 * MIB)
    work = attempt(DEVICE, torch.empty, 513 * MIB, dtype=torch.uint8, device=DEVICE)
    assert isinstance(work, TooLarge)
    part = torch.empty(400 * MIB, dtype=torch.uint8, device=DEVICE)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        torch.empty(113 * MIB, dtype=torch.uint8, device=DEVICE)
    short = shortage_in(caught.value, DEVICE)
    assert short
    assert short.beyond_share
    assert short.ours >= part.nbytes


def test_in_a_slot_a_neighbour_is_to_blame_for_what_is_lacking_within_it() -> None:
    limit_memory(DEVICE, 2048 * MIB)
    with another_holds_all_but(1024 * MIB), pytest.raises(MemoryTakenError):
        attempt(DEVICE, torch.empty, 1500 * MIB, dtype=torch.uint8, device=DEVICE)
