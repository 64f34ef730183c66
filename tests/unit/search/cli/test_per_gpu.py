"""``--per-gpu``, as it is written and as a worker takes it."""

from typing import Any

import pytest

from objectives.errors import UserError
from search.cli.actions import worker as action
from search.cli.commands.worker import WorkerOptions
from search.cli.options import check_per_gpu
from search.worker.context import BY_NEED, WorkerSettings


@pytest.mark.parametrize("text", ["", "auto", "1", "4", "32"])
def test_numbers_of_slots_and_auto_are_taken(text: str) -> None:
    assert check_per_gpu(text) == text


@pytest.mark.parametrize("text", ["0", "-1", "33", "04", "1.5", "all", " 4", "4\n", "\u0664"])
def test_anything_else_is_refused_in_a_line(text: str) -> None:
    with pytest.raises(
        UserError, match="--per-gpu must be auto or a number from 1 to 32"
    ) as refused:
        check_per_gpu(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("text", "slots"), [("", 0), ("auto", BY_NEED), ("4", 4)])
def test_a_worker_is_told_so(
    text: str, slots: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    told = list[WorkerSettings]()

    class NoStudy:
        def close(self) -> None: ...

    monkeypatch.setattr(action, "wait_for_study", lambda *_: NoStudy())
    monkeypatch.setattr(action, "run_worker", lambda _, settings, *__: told.append(settings))
    monkeypatch.setattr(action.Orders, "from_signals", lambda **_: action.Orders())
    action.work(
        WorkerOptions(
            storage="postgresql://nowhere/db",
            artifacts=str(tmp_path),
            cache=tmp_path,
            device="cpu",
            per_gpu=text,
        )
    )
    assert [settings.per_gpu for settings in told] == [slots]
