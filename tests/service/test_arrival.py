"""Workers that start before the database or the study is there wait for it, and say what for."""

import threading
import time
from collections.abc import Callable

import pytest

from objectives.errors import WorldError
from search.database.connections import NoStudyError
from search.study.stored import Study
from search.worker.arrival import wait_for_study

Maker = Callable[..., None]


def test_a_study_written_later_is_joined(database: str, make_study: Maker) -> None:
    said: list[str] = []
    found: list[Study] = []
    waiting = threading.Thread(
        target=lambda: found.append(wait_for_study(database, "small", 60.0, said.append))
    )
    waiting.start()
    deadline = time.monotonic() + 30.0
    while not said:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    make_study(database, trials=4)
    waiting.join(60.0)
    assert "no study 'small'" in said[0]
    assert "trying again in 0.5 s" in said[0]
    assert found[0].spec.name == "small"
    found[0].close()


def test_a_study_that_never_comes_is_an_error_after_the_wait(database: str) -> None:
    said: list[str] = []
    start = time.monotonic()
    with pytest.raises(NoStudyError, match="no study 'small'"):
        wait_for_study(database, "small", 1.2, said.append)
    assert 1.2 <= time.monotonic() - start < 30.0
    assert len(said) >= 2


def test_a_database_that_never_answers_is_an_error_after_the_wait() -> None:
    said: list[str] = []
    with pytest.raises(WorldError, match="cannot be used"):
        wait_for_study("postgresql://nobody@127.0.0.1:9/none", "small", 0.6, said.append)
    assert "cannot be used" in said[0]
