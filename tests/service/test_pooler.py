"""Settings that hold in every transaction and leave nothing behind, so that a pooler may stand
before the server.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from search.database import sessions
from search.database.capacity import ask_capacity
from search.database.connections import (
    locked,
    open_engine,
)
from search.database.optuna_storage import (
    Fence,
    open_optuna,
)
from search.study.status import read_status
from search.study.stored import open_study
from search.trials import leases
from search.trials.claims import Claimed, claim
from search.trials.drawing import draw

PGBOUNCER = shutil.which("pgbouncer")
CURRENT = text(
    "SELECT current_setting('idle_in_transaction_session_timeout'), current_setting('timezone')"
)
OURS = ("1min", "UTC")


@pytest.fixture
def engines(database: str) -> Iterator[tuple[Engine, Engine]]:
    """Ours and Optuna's."""
    ours, storage = open_engine(database), open_optuna(database, Fence())
    yield ours, storage.engine
    ours.dispose()
    storage.engine.dispose()


def test_every_transaction_has_the_settings_and_no_session_keeps_them(
    engines: tuple[Engine, Engine],
) -> None:
    for engine in engines:
        with engine.connect() as connection:
            driver: Any = connection.connection.dbapi_connection
            assert not driver.get_dsn_parameters().get("options")
            for _ in range(2):
                assert tuple(connection.execute(CURRENT).one()) == OURS
                connection.commit()
            # another transaction, which SQLAlchemy knows nothing of
            with driver.cursor() as cursor:
                cursor.execute(CURRENT.text)
                assert cursor.fetchone()[0] == "0"
            driver.rollback()
        with engine.begin() as connection:
            assert tuple(connection.execute(CURRENT).one()) == OURS


def test_optunas_own_sessions_and_our_locks_have_the_settings(database: str) -> None:
    storage, engine = open_optuna(database, Fence()), open_engine(database)
    with storage.scoped_session() as session:
        assert tuple(session.execute(CURRENT).one()) == OURS
    with locked(engine, 1) as connection:
        assert tuple(connection.execute(CURRENT).one()) == OURS
    storage.engine.dispose()
    engine.dispose()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_every_transaction_reads_what_is_committed_whatever_the_database_prefers(
    level: str, database: str
) -> None:
    """In others, whoever waited for a lock counts trials as they were before."""
    name = make_url(database).database
    setting = f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{level}'"
    first = open_engine(database)
    with first.begin() as connection:
        connection.execute(text(setting))
    first.dispose()
    storage, engine = open_optuna(database, Fence()), open_engine(database)
    asked = text(
        "SELECT current_setting('transaction_isolation'), "
        "current_setting('default_transaction_isolation')"
    )
    with storage.scoped_session() as session:
        assert tuple(session.execute(asked).one()) == ("read committed", level)
    with engine.begin() as connection:
        assert tuple(connection.execute(asked).one()) == ("read committed", level)
    storage.engine.dispose()
    engine.dispose()


def test_the_lock_of_a_frozen_transaction_is_freed(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen, other = open_engine(database), open_engine(database)
    with monkeypatch.context() as patch:
        patch.setattr(sessions, "SETTINGS", sessions.SETTINGS.replace("60s", "200ms"))
        holder = locked(frozen, 7)
        connection = holder.__enter__()
    started = time.monotonic()
    with locked(other, 7):
        assert time.monotonic() - started < 5
    with pytest.raises(DBAPIError):
        connection.execute(text("SELECT 1"))
    with suppress(SQLAlchemyError):
        holder.__exit__(None, None, None)
    frozen.dispose()
    other.dispose()


@pytest.fixture
def pooled(empty_database: str) -> Iterator[str]:
    """The URL of an empty database behind a PgBouncer in transaction mode with few connections."""
    url = make_url(empty_database)
    with tempfile.TemporaryDirectory() as folder, socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
        settings = f"""
            [databases]
            pooled = host={url.query["host"]} dbname={url.database} user={url.username}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {port}
            auth_type = any
            pool_mode = transaction
            default_pool_size = 4
            unix_socket_dir =
        """
        file = Path(folder) / "pgbouncer.ini"
        file.write_text("\n".join(line.strip() for line in settings.splitlines()))
        Path(folder).chmod(0o755)
        chosen.close()
        # it does not run as root, and reaches the server's socket as the server's own user
        user = ["-u", Path(str(url.query["host"])).owner()] if os.geteuid() == 0 else []
        with subprocess.Popen(
            [str(PGBOUNCER), *user, str(file)], stderr=subprocess.DEVNULL
        ) as pooler:
            try:
                yield _answering(f"postgresql://postgres@127.0.0.1:{port}/pooled")
            finally:
                pooler.terminate()


def _answering(url: str) -> str:
    for _ in range(20):
        try:
            psycopg2.connect(url, connect_timeout=5).close()
        except psycopg2.OperationalError:
            time.sleep(0.1)
        else:
            return url
    raise AssertionError("PgBouncer does not answer")


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
def test_a_study_lives_behind_a_pooler_in_transaction_mode(
    pooled: str, make_study: Callable[..., None]
) -> None:
    make_study(pooled, trials=3, source="synthetic:24")
    assert ask_capacity(pooled).pooled
    study = open_study(pooled, "small")
    with locked(study.engine, 1) as one, locked(study.engine, 2) as two:
        assert tuple(one.execute(CURRENT).one()) == tuple(two.execute(CURRENT).one()) == OURS
    numbers = []
    for owner in "abc":
        claimed = claim(study, owner, threads=1)
        assert isinstance(claimed, Claimed)
        with study.fence.holding(claimed.lease.trial_id, claimed.lease.fence):
            draw(study, claimed.lease)
            trial = study.trial(claimed.lease.trial_id)
            trial.report(0.5, 1)
            with study.engine.begin() as connection:
                leases.renew(connection, claimed.lease, 60.0)
            study.optuna.tell(trial, 0.5)
        numbers.append(trial.number)
    assert numbers == [0, 1, 2]
    assert read_status(study).trials["complete"] == 3
    study.close()
