"""A score measured again: how far it may move, and by how many threads."""

import torch

from objectives.device.computing import processor_of, threads_of
from objectives.device.precision import exact
from objectives.device.processor import ACROSS, SAME, Processor, allowed_difference

CPU = torch.device("cpu")


def test_only_the_same_kind_of_processor_must_give_the_same_score() -> None:
    one, other = (
        Processor("cpu", "A 1/2 AVX512, torch 2", 1),
        Processor("cpu", "A 1/2 AVX2, torch 2", 1),
    )
    assert (
        allowed_difference(one, one)
        == allowed_difference(Processor("cpu", one.name, 4), one)
        == SAME
        == 1e-6
    )
    assert (
        allowed_difference(one, other)
        == allowed_difference(Processor("cuda", "B"), one)
        == ACROSS
        == 2e-3
    )
    assert allowed_difference(Processor("cuda", "B"), Processor("cuda", "C")) == ACROSS
    assert allowed_difference(Processor("cuda", "B"), Processor("cuda", "B")) == SAME
    assert allowed_difference(one, Processor("cpu", "")) == ACROSS


def test_this_processor_has_a_name_of_its_own() -> None:
    here = processor_of(CPU)
    assert here.type == "cpu"
    assert torch.__version__ in here.name
    assert torch.backends.cpu.get_cpu_capability() in here.name
    assert here.threads == torch.get_num_threads()


def test_threads_are_those_of_then_on_such_a_processor_and_afterwards_those_of_before() -> None:
    before, here = torch.get_num_threads(), processor_of(CPU).name
    with threads_of(Processor("cpu", here, before + 1)):
        assert torch.get_num_threads() == before + 1
        for other in (Processor("cuda", "B"), Processor("cpu", "another", 64)):
            with threads_of(other):
                assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_scoring_asks_a_gpu_for_float32_proper_and_a_fixed_algorithm() -> None:
    flags = torch.backends.cudnn
    before = flags.benchmark, flags.deterministic, flags.allow_tf32
    flags.benchmark = True
    try:
        with exact():
            assert (flags.benchmark, flags.deterministic, flags.allow_tf32) == (False, True, False)
        assert (flags.benchmark, flags.deterministic, flags.allow_tf32) == (True, *before[1:])
    finally:
        flags.benchmark = before[0]
