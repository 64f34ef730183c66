"""Whether MPS runs here, with a stand-in for its daemon: a socket of the kind on which that listens."""

import os
import socket
from pathlib import Path

import pytest

from search.machine.mps import mps_runs, mps_words
from search.process.on_gpu import NO_PIPES, PIPES, use_gpu


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The socket of the folder in which CUDA would look."""
    monkeypatch.setenv(PIPES, str(tmp_path))
    return tmp_path / "control"


def listen(control: Path) -> socket.socket:
    daemon = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    daemon.bind(str(control))
    daemon.listen()
    return daemon


def test_a_daemon_that_listens_is_found_and_hears_nothing_of_it(control: Path) -> None:
    assert mps_words() == "MPS does not run"
    with listen(control) as daemon:
        daemon.settimeout(0.0)
        assert mps_words() == "MPS runs"
        with pytest.raises(BlockingIOError):
            daemon.accept()


def test_what_a_killed_daemon_has_left_is_none(control: Path) -> None:
    listen(control).close()
    assert control.is_socket()
    assert not mps_runs()


def test_a_file_in_its_place_is_none(control: Path) -> None:
    control.touch()
    assert not mps_runs()


def test_a_process_that_stays_alone_finds_no_daemon(
    control: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with listen(control):
        use_gpu("GPU-0", alone=False)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-0"
        assert mps_runs()
        use_gpu("GPU-0", alone=True)
        assert os.environ[PIPES] == NO_PIPES
        assert not mps_runs()
