"""The GPUs that a process may use, over a stand-in driver: lost cards, slices, and every way to set
CUDA_VISIBLE_DEVICES.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pynvml
import pytest
from typer.testing import CliRunner

from objectives.errors import UserError, WorldError
from search.machine import cuda, driver
from search.machine.cuda import check_cuda
from search.machine.driver import Gpu
from search.machine.gpus import list_gpus, offer
from tests.support import stand_in_cuda, stand_in_driver
from tests.support.stand_in_driver import (
    ABSENT,
    GIB,
    LOST,
    MIG,
    MIG_IN_CONTAINER,
    MISMATCH,
    MIXED,
    NOT_LOADED,
    TWO,
    Chip,
    Slice,
    use_driver,
)

Cards = Callable[..., None]


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cards:
    """Makes the driver list these cards, with ``CUDA_VISIBLE_DEVICES`` as given."""

    def lists(*chips: Chip, init: int = 0, setting: str | None = None) -> None:
        use_driver(monkeypatch, tmp_path, *chips, init=init)
        if setting is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", setting)

    return lists


def uuids() -> list[str]:
    return [gpu.uuid for gpu in list_gpus()]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("1", [1]),
        ("1,0", [1, 0]),
        (" 1 , 0 ", [1, 0]),
        ("0,7,1", [0]),  # as CUDA: nothing behind what is not there
        ("0,-1,1", [0]),
        ("1,,0", [1]),
        ("GPU-bbbb", [1]),
        ("GPU-bbbb-1,GPU-aaaa-0", [1, 0]),
        ("GPU-aaaa-0,GPU-", [0]),  # a beginning of two
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(
    setting: str, expected: list[int], cards: Cards
) -> None:
    cards(*TWO, setting=setting)
    assert uuids() == [TWO[index].uuid for index in expected]


@pytest.mark.parametrize("setting", ["", " ", "-1", "-1,0", "NoDevFiles"])
@pytest.mark.parametrize("init", [0, ABSENT, MISMATCH])
def test_cards_hidden_on_purpose_make_auto_the_cpu_and_cuda_an_error(
    setting: str, init: int, cards: Cards
) -> None:
    cards(*TWO, init=init, setting=setting)
    assert offer("auto").gpus == offer("auto").remarks == ()
    with pytest.raises(UserError, match=r"no GPU here, since CUDA_VISIBLE_DEVICES='.*' hides all"):
        offer("cuda")


@pytest.mark.parametrize(
    "setting", ["7", "GPU-cccc", "MIG-1111", "MIG-GPU-aaaa-0/1/0", "all", ",0", "0,0", "GPU-", "²"]
)
@pytest.mark.parametrize("chips", [TWO, ()])
def test_a_setting_that_matches_nothing_is_an_error_and_never_the_cpu(
    setting: str, chips: tuple[Chip, ...], cards: Cards
) -> None:
    cards(*chips, setting=setting)
    for device in ("auto", "cuda"):
        with pytest.raises(
            UserError, match=f"CUDA_VISIBLE_DEVICES='{setting}' names no GPU here"
        ) as refused:
            offer(device)
        assert ("GPU-aaaa-0, GPU-bbbb-1" if chips else "lists none") in str(refused.value)
    assert offer("cpu").gpus == ()


@pytest.mark.parametrize(
    "command", [["worker"], ["run"], ["recipes", "run"], ["confirm"], ["demo"]]
)
def test_commands_refuse_it_before_any_work(
    command: list[str], cards: Cards, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from search.cli.app import app

    monkeypatch.chdir(tmp_path)  # where no demo has left its bundle
    cards(*TWO, setting="MIG-1111")
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, UserError)
    assert done.exception.exit_code == 2
    assert "names no GPU here" in str(done.exception)


def test_without_a_driver_auto_is_the_cpu_and_a_driver_without_cards_is_said(cards: Cards) -> None:
    cards(init=ABSENT)
    assert offer("auto") == offer("cpu")
    for init in (0, NOT_LOADED):
        cards(init=init)
        assert offer("auto").gpus == ()
        assert offer("auto").remarks == (
            "the GPU driver is installed and lists no GPU: trials train on the CPU",
        )
        with pytest.raises(UserError, match="lists no GPU here"):
            offer("cuda")


def test_what_was_read_stands_though_the_driver_fails_at_the_end(
    cards: Cards, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards(*TWO)
    monkeypatch.setattr(
        driver.pynvml,
        "nvmlShutdown",
        lambda: stand_in_driver.fail(pynvml.NVML_ERROR_UNKNOWN),
        raising=False,
    )
    assert uuids() == [chip.uuid for chip in TWO]


def test_a_driver_that_does_not_answer_is_an_error(cards: Cards) -> None:
    cards(*TWO, init=MISMATCH)
    with pytest.raises(
        WorldError,
        match=r"the GPU driver does not answer \(RM has detected an NVML/RM version mismatch\.\)",
    ):
        offer("auto")


def test_a_lost_card_is_left_out_and_keeps_its_number(cards: Cards) -> None:
    cards(LOST, TWO[1])
    assert uuids() == [TWO[1].uuid]
    assert offer("cuda:1").gpus[0].uuid == TWO[1].uuid
    assert offer("auto").remarks == ("GPU 0 cannot be used (GPU is lost)",)
    cards(LOST, TWO[1], setting="0,1")
    assert uuids() == [TWO[1].uuid]


def test_a_card_that_a_control_group_shuts_out_is_not_lost_and_not_counted(cards: Cards) -> None:
    """As Slurm gives one of two cards, which CUDA then numbers 0."""
    shut = replace(TWO[0], error=pynvml.NVML_ERROR_NO_PERMISSION)
    for setting in (None, "0"):
        cards(shut, TWO[1], setting=setting)
        assert uuids() == [TWO[1].uuid]
        assert offer("cuda:0").remarks == ()


@pytest.mark.parametrize("setting", [None, "0", "GPU-aaaa"])
def test_when_every_card_is_lost_or_the_one_asked_for_may_be_it_is_the_surroundings_fault(
    setting: str | None, cards: Cards
) -> None:
    cards(LOST, setting=setting)
    with pytest.raises(WorldError, match=r"GPU 0 cannot be used \(GPU is lost\)"):
        offer("auto")


@pytest.mark.parametrize(
    "asked",
    [
        "nvmlDeviceGetMemoryInfo",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetComputeMode",
    ],
)
def test_a_card_that_is_lost_at_any_question_is_left_out(
    asked: str, cards: Cards, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards(*TWO)
    answers = getattr(driver.pynvml, asked)

    def lose(handle: Chip) -> object:
        if handle.uuid == TWO[0].uuid:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return answers(handle)

    monkeypatch.setattr(driver.pynvml, asked, lose)
    assert uuids() == [TWO[1].uuid]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, ["MIG-1111", "MIG-1222"]),
        ("0", ["MIG-1111", "MIG-1222"]),  # a card stands for its slices
        ("GPU-cccc", ["MIG-1111", "MIG-1222"]),
        ("MIG-1222", ["MIG-1222"]),
        ("MIG-12", ["MIG-1222"]),
        ("MIG-1222,MIG-1111", ["MIG-1222", "MIG-1111"]),
        ("MIG-GPU-cccc-2/2/0", ["MIG-1222"]),
    ],
)
def test_slices_are_listed_in_place_of_their_card(
    setting: str | None, expected: list[str], cards: Cards
) -> None:
    cards(MIG, setting=setting)
    assert uuids() == expected
    assert {gpu.memory_bytes for gpu in list_gpus()} == {10 * GIB}
    assert all(gpu.bf16 for gpu in list_gpus())  # as its card


def test_a_driver_that_names_slices_the_old_way_is_understood(cards: Cards) -> None:
    cards(replace(MIG, slices=(Slice("MIG-GPU-cccc-2/2/0", (2, 0)),)), setting="MIG-GPU-cccc-2/2/0")
    assert uuids() == ["MIG-GPU-cccc-2/2/0"]


def test_a_container_with_one_slice_has_its_memory_without_its_cards(cards: Cards) -> None:
    cards(MIG_IN_CONTAINER)
    (gpu,) = list_gpus()
    assert (gpu.uuid, gpu.memory_bytes) == ("MIG-1222", 10 * GIB)
    cards(
        replace(MIG_IN_CONTAINER, slices=(Slice("MIG-1222", (2, 0), memory=None, attributes=9728),))
    )
    assert [gpu.memory_bytes for gpu in list_gpus()] == [9728 * 2**20]


def test_a_card_under_mig_without_a_slice_is_no_gpu(cards: Cards) -> None:
    cards(replace(MIG, slices=()), TWO[1])
    assert uuids() == [TWO[1].uuid]
    assert "MIG is on and no slice is here" in offer("auto").remarks[0]


def test_what_the_driver_withholds_cuda_is_asked(
    cards: Cards, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where neither says it, the device is refused: a trial must know what it may count on."""
    cards(replace(TWO[1], withheld=pynvml.NVML_ERROR_NOT_SUPPORTED))
    (gpu,) = list_gpus()
    assert gpu.memory_bytes == 0
    monkeypatch.setattr(cuda, "_start", stand_in_cuda.start)  # CUDA's part, in its process
    assert check_cuda(gpu) == replace(gpu, memory_bytes=stand_in_cuda.MEMORY_BYTES, bf16=True)
    known = Gpu("GPU-0", "known", 2 * GIB, bf16=False)
    assert check_cuda(known) == known
    monkeypatch.setattr(cuda, "_start", stand_in_cuda.start_and_say_nothing)
    with pytest.raises(
        WorldError, match="neither the driver nor CUDA says how much memory GPU-bbbb-1 has"
    ):
        check_cuda(gpu)


def test_numbers_on_a_box_with_unlike_cards_are_said_to_count_by_pci_order(
    cards: Cards, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards(*MIXED, setting="1")
    assert offer("auto").remarks == (
        "CUDA_VISIBLE_DEVICES=1 counts by PCI order here, not fastest first: Stand-in large "
        "(GPU-eeee-1)",
    )
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert offer("auto").remarks == ()
    cards(*TWO, setting="1")  # like cards: nobody can tell
    assert offer("auto").remarks == ()


def test_a_setting_that_is_read_in_part_is_said(cards: Cards) -> None:
    cards(*TWO, setting="0,7")
    assert offer("auto").remarks == (
        "CUDA_VISIBLE_DEVICES='0,7' is read up to '7', which names no GPU here",
    )
