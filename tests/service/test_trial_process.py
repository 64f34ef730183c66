"""A trial's process as its worker hears it: whatever it does in the middle of a message, the worker
goes on.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from objectives.config import Config
from objectives.data.dataset import Dataset
from search.process import parent as process
from search.process.messages import Finished, Noted
from search.process.on_gpu import NO_PIPES, PIPES
from search.process.parent import (
    ChildDiedError,
    ChildHungError,
    InterruptedTrialError,
    TrialProcess,
)
from tests.support import broken_trials, told_environments
from tests.support.on_device import job_on_device

Start = Callable[..., TrialProcess]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Start a process that does something else than train; a job is nothing to it."""

    def start(body: Any, hang_s: float = 60.0) -> TrialProcess:
        monkeypatch.setattr(process, "_enter", body)
        return TrialProcess(None, hang_s=hang_s)  # type: ignore[arg-type]

    return start


def never() -> bool:
    return False


@pytest.mark.parametrize("body", [broken_trials.dies, broken_trials.leaves_an_heir])
def test_a_process_that_dies_in_the_middle_of_a_message_has_died(body: Any, start: Start) -> None:
    with start(body) as trial, pytest.raises(ChildDiedError, match="code 7"):
        assert [message.text for message in trial.messages(never)] == ["is about to break"]  # type: ignore[union-attr]


def test_a_process_that_freezes_in_the_middle_of_a_message_hangs(start: Start) -> None:
    with start(broken_trials.freezes, hang_s=1.0) as trial, pytest.raises(ChildHungError):
        list(trial.messages(never))
    assert not trial.process.is_alive()


def test_a_worker_is_interrupted_while_a_message_is_half_told(start: Start) -> None:
    with start(broken_trials.freezes) as trial:
        messages = trial.messages(lambda: told)
        told = False
        next(messages)
        told = True
        with pytest.raises(InterruptedTrialError):
            next(messages)


def test_a_process_is_heard_while_nobody_reads(start: Start) -> None:
    """As while the worker waits for its database."""
    with start(broken_trials.talks) as trial:
        trial.process.join(30.0)
        assert trial.process.exitcode == 0
        messages = trial.messages(never)
        for number in range(broken_trials.MANY):
            assert next(messages).text.startswith(f"{number} ")  # type: ignore[union-attr]
        with pytest.raises(ChildDiedError, match="code 0"):
            next(messages)


@pytest.mark.parametrize(
    ("alone", "pipes"), [(False, told_environments.PIPES_HERE), (True, NO_PIPES)]
)
def test_a_process_sees_its_gpu_alone_and_where_it_must_no_daemon(
    alone: bool, pipes: str, terrain: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_enter", told_environments.tells_environment)
    job = replace(job_on_device(Config(), terrain, tmp_path), gpu="GPU-0", alone=alone)
    with TrialProcess(job, hang_s=60.0) as trial:
        told, ended = islice(trial.messages(never), 2)
    assert isinstance(told, Noted)
    assert json.loads(told.text) == {
        "CUDA_VISIBLE_DEVICES": "GPU-0",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        PIPES: pipes,
    }
    assert isinstance(ended, Finished)
