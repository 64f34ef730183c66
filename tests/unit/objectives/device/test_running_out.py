"""Memory that ran out: which errors say so, and who is to blame, by the numbers of a device that is
asked.
"""

import resource
from collections.abc import Callable

import numpy as np
import pytest
import torch

from objectives.device.memory import TooLarge, attempt, limit_memory
from objectives.device.running_out import shortage_in
from objectives.device.shortage import GIB, MemoryTakenError, Shortage, host_memory, share_of
from objectives.errors import WorldError
from search.process.causes import cause_of, dies_of
from search.process.messages import Cause

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
TOTAL = 80 * GIB
Holding = Callable[[float, float], None]
ASKED = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.10 GiB "
    "of which 7.00 GiB is free."
)
UNSAID = [
    "CUDA error: out of memory",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
    "GET was unable to find an engine to execute this computation",
]


@pytest.fixture
def holding(monkeypatch: pytest.MonkeyPatch) -> Holding:
    """Stand in for a driver: this process holds so many GiB of 80, others so many."""

    def hold(ours: float, others: float, allowed: float = 1.0) -> None:
        monkeypatch.setattr(
            torch.cuda, "mem_get_info", lambda _: (int(TOTAL - (ours + others) * GIB), TOTAL)
        )
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: int(ours * GIB))
        monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda _: allowed)

    return hold


def raising(error: Exception) -> Callable[..., None]:
    def work(*_: object) -> None:
        raise error

    return work


def verdict(error: Exception, device: torch.device = GPU) -> Cause | str:
    """What becomes of a trial that an error ends."""
    short = shortage_in(error, device)
    return "crash" if short is None and dies_of(error) else cause_of(error, short)


@pytest.mark.parametrize(
    ("ours", "others", "cause"),
    [
        (2, 76, Cause.SURROUNDINGS),  # a neighbour's, that leaves nothing
        (50, 28, Cause.SURROUNDINGS),
        (51, 1, Cause.SURROUNDINGS),  # within the share of 72: whoever had the rest has gone since
        (60, 1, Cause.INFEASIBLE),  # 80 of a share of 72
        (60, 19, Cause.INFEASIBLE),  # likewise, whoever else is there
    ],
)
def test_a_trial_is_to_blame_for_what_it_takes_beyond_its_share(
    ours: float, others: float, cause: Cause, holding: Holding
) -> None:
    holding(ours, others)
    assert verdict(torch.OutOfMemoryError(ASKED)) == cause


@pytest.mark.parametrize("said", UNSAID)
def test_what_does_not_say_how_much_is_judged_by_who_holds_the_memory(
    said: str, holding: Holding
) -> None:
    error = (
        torch.AcceleratorError(said) if said.startswith("CUDA error: out") else RuntimeError(said)
    )
    holding(2, 77.5)
    assert verdict(error) is Cause.SURROUNDINGS
    holding(78.8, 0.6)
    assert verdict(error) is Cause.INFEASIBLE
    assert isinstance(attempt(GPU, raising(error)), TooLarge)


@pytest.mark.parametrize("said", [words for words in UNSAID if "ALLOC" not in words])
def test_what_has_other_reasons_too_is_no_shortage_on_a_device_with_room(
    said: str, holding: Holding
) -> None:
    holding(10, 5)
    with pytest.raises(RuntimeError, match=said[-20:].replace("(", r"\(").replace(")", r"\)")):
        attempt(GPU, raising(RuntimeError(said)))
    assert verdict(RuntimeError(said)) in ("crash", Cause.ERROR)


def test_a_device_without_memory_to_be_asked_in_is_full_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        torch.cuda, "mem_get_info", raising(RuntimeError("CUDA error: out of memory"))
    )
    assert verdict(torch.AcceleratorError("CUDA error: out of memory")) is Cause.SURROUNDINGS
    assert verdict(RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED")) is Cause.ERROR, (
        "it may be broken"
    )


def test_a_process_with_a_limit_of_its_own_has_no_larger_share(
    holding: Callable[..., None],
) -> None:
    holding(10, 0.5, allowed=0.25)
    assert verdict(torch.OutOfMemoryError(ASKED)) is Cause.INFEASIBLE


QUARTER = 18 / 80  # of 80 GiB, a slot of four


@pytest.mark.parametrize(
    ("asked", "ours", "others", "cause"),
    [
        # torch refuses what goes beyond the limit, also on a card with room
        ("2.00 GiB", 16.5, 0.5, Cause.INFEASIBLE),
        ("2.00 GiB", 16.5, 55, Cause.INFEASIBLE),
        # it rounds what was asked for: here from 1.504 to 1.50
        ("1.50 GiB", 16.497, 0.5, Cause.INFEASIBLE),
        # neighbours that hold more than theirs, or a stranger
        ("2.00 GiB", 10, 69, Cause.SURROUNDINGS),
        ("512.00 MiB", 17, 62.8, Cause.SURROUNDINGS),
        # whoever held it has gone since
        ("2.00 GiB", 10, 3, Cause.SURROUNDINGS),
    ],
)
def test_in_a_slot_a_trial_is_to_blame_for_what_it_takes_beyond_that(
    asked: str, ours: float, others: float, cause: Cause, holding: Callable[..., None]
) -> None:
    holding(ours, others, allowed=QUARTER)
    said = f"CUDA out of memory. Tried to allocate {asked}. GPU 0 has a total capacity of 79.10 GiB"
    assert verdict(torch.OutOfMemoryError(said)) == cause


@pytest.mark.parametrize("said", UNSAID)
def test_in_a_slot_what_does_not_say_how_much_is_judged_by_the_slots_share(
    said: str, holding: Callable[..., None]
) -> None:
    error = (
        torch.AcceleratorError(said) if said.startswith("CUDA error: out") else RuntimeError(said)
    )
    holding(17.5, 20, allowed=QUARTER)  # cuDNN finds no room for a workspace within the limit
    assert verdict(error) is Cause.INFEASIBLE
    holding(10, 69.5, allowed=QUARTER)
    assert verdict(error) is Cause.SURROUNDINGS
    holding(10, 20, allowed=QUARTER)
    if "ALLOC" not in said:
        assert verdict(error) in ("crash", Cause.ERROR), "there was room, of both"


@pytest.mark.parametrize(("most_gib", "fraction"), [(18, QUARTER), (80, 1.0), (90, 1.0)])
def test_a_limit_is_a_share_of_what_the_device_has(
    most_gib: int, fraction: float, holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding(0, 1)
    given = list[tuple[float, torch.device]]()
    monkeypatch.setattr(
        torch.cuda,
        "set_per_process_memory_fraction",
        lambda share, device: given.append((share, device)),
    )
    limit_memory(GPU, most_gib * GIB)
    assert given == [(fraction, GPU)]


def test_parts_are_not_made_smaller_for_a_neighbour(holding: Holding) -> None:
    holding(2, 77)
    with pytest.raises(
        MemoryTakenError, match=r"others hold the memory of cuda:0: 20\.00 GiB more were asked for"
    ) as caught:
        attempt(GPU, raising(torch.OutOfMemoryError(ASKED)))
    assert caught.value.__context__ is None, (
        "an exception that hangs on to another keeps its tensors"
    )
    assert isinstance(caught.value, WorldError)
    assert (
        "this process held 2.00 GiB, others 77.00 GiB of 80.00 GiB, a trial's share is 72.00 GiB"
        in str(caught.value)
    )


def test_memory_of_the_host_is_judged_by_the_hosts() -> None:
    with pytest.raises(MemoryError) as numpys:
        np.empty(2**60, np.uint8)
    assert verdict(numpys.value) is Cause.INFEASIBLE
    assert verdict(numpys.value, GPU) is Cause.INFEASIBLE, "also where a GPU trains"
    little = RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried "
        "to allocate 8 bytes"
    )
    assert verdict(little) is Cause.SURROUNDINGS


def test_a_limit_of_the_process_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (GIB, GIB))
    for said in (
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes",
        "could not create a primitive",
    ):
        assert verdict(RuntimeError(said), CPU) is Cause.INFEASIBLE


@pytest.mark.parametrize(("total", "share"), [(80, 72.0), (10, 9.0), (6, 5.0), (1, 0.5)])
def test_a_share_leaves_room_for_the_libraries(total: int, share: float) -> None:
    assert share_of(total * GIB) == share * GIB


def test_numbers_that_cannot_be_had_are_not_made_up() -> None:
    unknown = Shortage(of="cuda:0", asked=0, ours=0, others=0, total=0, share=0)
    assert not unknown.beyond_share
    assert "GiB" not in str(unknown)
    assert host_memory() > 0
