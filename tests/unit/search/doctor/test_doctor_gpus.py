"""What the doctor says of GPUs, over a stand-in driver; what CUDA does in its own process is a
stand-in too.
"""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest

from search.doctor import gpus as doctor_gpus
from search.doctor.finding import Finding
from search.doctor.gpus import SHARED_NEED_BYTES, examine_gpus
from search.machine import cuda
from tests.support import stand_in_cuda
from tests.support.stand_in_driver import ABSENT, GIB, LOST, MIG, MISMATCH, TWO, Chip, use_driver


@pytest.fixture(autouse=True)
def _a_good_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cuda, "_start", stand_in_cuda.start)
    monkeypatch.setattr(cuda, "_multiply", stand_in_cuda.multiply)
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))


def look(
    monkeypatch: pytest.MonkeyPatch, locks: Path, *chips: Chip, init: int = 0
) -> dict[str, Finding]:
    use_driver(monkeypatch, locks, *chips, init=init)
    return {finding.what: finding for finding in examine_gpus()}


def test_each_card_is_named_with_its_modes_and_must_compute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exclusive = replace(TWO[0], compute_mode=pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS, used=GIB)
    found = look(monkeypatch, tmp_path, exclusive, TWO[1])
    assert found["gpu driver"].found == "580.65.06; MPS does not run"
    assert found["gpus"] == Finding("gpus", True, "2 for --device auto")
    good = (
        "Stand-in, GPU-aaaa-0; 7.0 of 8.0 GiB free; MIG off; compute mode exclusive: one "
        "process at a time; persistence on"
    )
    assert found["gpu 0"] == Finding("gpu 0", True, f"{good}; computes")
    assert not found["gpu 1"].good
    assert found["gpu 1"].found.endswith(
        "compute mode default; persistence on; CUDA error: uncorrectable ECC error encountered"
    )
    monkeypatch.setattr(cuda, "_start", stand_in_cuda.start_not)
    assert (
        "CUDA does not start on GPU-aaaa-0: CUDA driver version is"
        in look(monkeypatch, tmp_path, TWO[0])["gpu 0"].found
    )


def test_a_lost_card_is_a_lack_and_a_hidden_one_is_let_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_driver(monkeypatch, tmp_path, LOST, MIG)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1222")
    found = {finding.what: finding for finding in examine_gpus()}
    assert found["gpu 0"] == Finding("gpu 0", False, "GPU is lost")
    assert "GPU 0 cannot be used" in found["gpus"].found
    assert found["gpu 1.0"].good
    assert found["gpu 1.0"].found.endswith("hidden by CUDA_VISIBLE_DEVICES")
    assert found["gpu 1.1"].found.startswith(
        "Stand-in MIG 1g.10gb, MIG-1222; 10.0 of 10.0 GiB free; MIG on"
    )
    assert found["gpu 1.1"].found.endswith("computes")


def test_a_driver_that_does_not_answer_is_a_lack_and_none_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert {
        what: finding.good for what, finding in look(monkeypatch, tmp_path, init=MISMATCH).items()
    } == {
        "gpu driver": False,
        "gpus": False,
        "shared memory": True,
    }
    assert all(finding.good for finding in look(monkeypatch, tmp_path, init=ABSENT).values())


@pytest.mark.parametrize("chips", [TWO[:1], ()])
@pytest.mark.parametrize("size", [64 * 2**20, SHARED_NEED_BYTES])
def test_too_little_shared_memory_is_a_lack_where_there_is_a_gpu(
    chips: tuple[Chip, ...], size: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(
        "search.doctor.gpus.shutil.disk_usage", lambda path: SimpleNamespace(total=size)
    )
    found = look(monkeypatch, tmp_path, *chips)["shared memory"]
    assert found.good == (size == SHARED_NEED_BYTES or not chips)
    assert ("--shm-size=2g" in found.found) != found.good


def test_without_shared_memory_it_is_a_lack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor_gpus, "SHARED_MEMORY", tmp_path / "absent")
    assert not look(monkeypatch, tmp_path, TWO[0])["shared memory"].good


@pytest.fixture
def mps(tmp_path: Path) -> Iterator[None]:
    """A daemon that listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as daemon:
        daemon.bind(str(tmp_path / "control"))
        daemon.listen()
        yield


def test_mps_is_seen_by_its_daemon(
    mps: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert look(monkeypatch, tmp_path, *TWO)["gpu driver"].found == "580.65.06; MPS runs"


EXCLUSIVE = replace(TWO[0], compute_mode=pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS)


def slots(
    monkeypatch: pytest.MonkeyPatch, locks: Path, per_gpu: str, *chips: Chip
) -> Finding | None:
    use_driver(monkeypatch, locks, *chips)
    found = {finding.what: finding for finding in examine_gpus(per_gpu)}
    return found.get("slots")


def test_who_divides_gpus_is_told_how_trials_go_on_without_mps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    turns = slots(monkeypatch, tmp_path, "4", TWO[0])
    assert turns
    assert turns.good
    assert "--per-gpu 4: trials take turns" in turns.found
    assert "nvidia-cuda-mps-control -d" in turns.found
    refused = slots(monkeypatch, tmp_path, "auto", EXCLUSIVE)
    assert refused
    assert not refused.good
    assert "a GPU in exclusive mode takes one process: start it by" in refused.found
    assert slots(monkeypatch, tmp_path, "1", EXCLUSIVE) is None
    assert slots(monkeypatch, tmp_path, "4") is None


def test_under_mps_trials_go_on_side_by_side(
    mps: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = slots(monkeypatch, tmp_path, "4", TWO[0])
    assert found == Finding("slots", True, "--per-gpu 4, and MPS runs: trials compute side by side")
    found = slots(monkeypatch, tmp_path, "4", EXCLUSIVE)
    assert found
    assert "a trial that has died cannot be kept apart" in found.found
