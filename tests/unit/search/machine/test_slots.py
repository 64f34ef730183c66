"""Into how many slots a GPU is divided by what a trial needs of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.device.shortage import GIB, LIBRARIES, MEMORY_SHARE, share_of
from search.machine.driver import Gpu
from search.machine.slots import MOST_FITTING, Fitting, Into, slots_of


def gpu(memory_gib: float) -> Gpu:
    return Gpu("GPU-0", "Stand-in", int(memory_gib * GIB), bf16=True)


@pytest.mark.parametrize("slots", [0, 1, 4, 9])
def test_a_number_is_a_number(slots: int) -> None:
    assert slots_of(gpu(8), Into(slots)) == slots


@pytest.mark.parametrize(
    ("memory_gib", "need_gib", "most", "slots"),
    [
        (80, 1, 8, 8),  # 10 each, of which 9
        (80, 9, 8, 8),
        (80, 9.1, 8, 7),
        (80, 20, 8, 3),  # of 26.7 there are 24; of 20 only 18
        (80, 70, 8, 1),
        (80, 100, 8, 1),  # whoever fits nowhere is refused by the trial's own estimate
        (80, 1, 3, 3),  # cores for three
        (8, 1, 8, 4),  # 2 each, of which a GiB is the libraries'
        (0, 1, 8, 1),  # the driver does not say
    ],
)
def test_as_many_as_have_room(memory_gib: float, need_gib: float, most: int, slots: int) -> None:
    assert slots_of(gpu(memory_gib), Fitting(int(need_gib * GIB), most)) == slots


@given(st.integers(GIB, 200 * GIB), st.integers(1, MOST_FITTING))
def test_the_shares_of_all_slots_leave_what_each_process_needs_besides(
    total: int, slots: int
) -> None:
    share = share_of(total, slots)
    part = total // slots
    assert slots * share <= total
    assert share == share_of(part)
    assert share <= MEMORY_SHARE * part or part < 2 * LIBRARIES
