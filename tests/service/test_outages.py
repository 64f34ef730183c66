"""A connection that is lost in the midst of a transaction is an outage, wherever Optuna hears of
it.
"""

from contextlib import closing
from typing import Any

import optuna
import psycopg2
import pytest
from sqlalchemy import event

from objectives.errors import WorldError
from search.database.connections import (
    outage,
    reachable,
    reason,
)
from search.database.optuna_storage import (
    Fence,
    open_optuna,
)


@pytest.mark.parametrize("part", ["FROM studies", "FROM trials"])
def test_a_connection_lost_while_trials_are_read_is_an_outage(database: str, part: str) -> None:
    storage = open_optuna(database, Fence())
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")

    @event.listens_for(storage.engine, "before_cursor_execute")
    def end(_: Any, cursor: Any, statement: str, *__: Any) -> None:
        if part in statement:
            pid = cursor.connection.info.backend_pid
            with closing(psycopg2.connect(database)) as other, other.cursor() as ended:
                ended.execute(f"SELECT pg_terminate_backend({pid}, 5000)")

    with pytest.raises(optuna.exceptions.StorageInternalError) as caught:
        study.get_trials()
    assert outage(caught.value)
    assert "connection" in reason(caught.value)
    with pytest.raises(WorldError, match=r"cannot be used: .*connection"), reachable(database):
        study.get_trials()
    event.remove(storage.engine, "before_cursor_execute", end)
    assert study.get_trials() == []
    storage.engine.dispose()


def test_a_mistake_of_ours_is_no_outage() -> None:
    mistake = optuna.exceptions.StorageInternalError("odd")
    assert not outage(mistake)
    assert reason(mistake) == "odd"
