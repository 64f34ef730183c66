"""What is said of a server's connections: enough for so many workers, or what to do."""

import inspect
from importlib import import_module

import pytest

from search.database.capacity import WORKER_CONNECTIONS, Capacity
from search.database.embedded import CONNECTIONS

SERVER = Capacity(most=100, reserved=3, others=2, alive=40, pooled=False)
LOOKING_ON = 60  # a dashboard's threads, commands, the reserve


def test_a_worker_more_than_the_server_has_connections_for_is_one_too_many() -> None:
    assert SERVER.workers == 47
    assert "enough for 47 workers with 2 each (100 in all, 3 reserved, 2 held" in str(SERVER)
    assert SERVER.warning() == SERVER.warning(7) == ""
    warning = SERVER.warning(8)
    assert "48 workers take up to 96 connections, and the server has enough for 47" in warning
    assert "raise max_connections, or put PgBouncer before it" in warning
    assert "\n" not in warning


def test_of_a_server_behind_a_pooler_nothing_is_counted() -> None:
    pooled = Capacity(most=100, reserved=3, others=98, alive=400, pooled=True)
    assert pooled.warning(400) == ""
    assert "a pooler shares out the server's 100" in str(pooled)


def test_a_server_that_is_full_has_room_for_none() -> None:
    assert Capacity(most=20, reserved=3, others=20, alive=0, pooled=False).workers == 0


@pytest.mark.parametrize("command", ["run", "demo"])
def test_the_embedded_database_has_enough_for_as_many_workers_as_are_accepted(command: str) -> None:
    told = inspect.signature(import_module(f"search.cli.commands.{command}").command).parameters
    most = told["workers"].annotation.__metadata__[0].max
    assert most * WORKER_CONNECTIONS + LOOKING_ON <= CONNECTIONS
