"""What holds in every transaction, ours and Optuna's, straight to the server and through a pooler
alike.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.dialects import plugins
from sqlalchemy.engine import CreateEnginePlugin

# no startup options and nothing that outlives a transaction: PgBouncer in transaction mode refuses
# the first, and hands the server's session to somebody else after each transaction
CONNECT_ARGS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # ms: without it a cut link blocks for many minutes
    "application_name": "search",
}

IDLE_S = 60  # a frozen worker's locks are freed by the server after so long

SETTINGS = (
    # whoever waited for a lock must see what was written before it, or trials get equal numbers
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; "
    f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_S}s'; "
    "SET LOCAL timezone = 'UTC'"  # times are one zone's everywhere
)

PLUGIN = "search_sessions"
AT_ONCE = "search_at_once"  # option of a connection


class Sessions(CreateEnginePlugin):
    """Begins every transaction of an engine with our settings, also of one that Optuna makes from
    its arguments.
    """

    def update_url(self, url: URL) -> URL:
        """Leave the address as it is."""
        return url

    def engine_created(self, engine: Engine) -> None:
        """Listen to the engine's transactions."""
        event.listen(engine, "begin", _begin)


def engine_options(pool_size: int, max_overflow: int) -> dict[str, Any]:
    """Return the arguments of an engine: a small pool whose dead connections are replaced, not
    used.
    """
    pool = {"pool_size": pool_size, "max_overflow": max_overflow, "pool_pre_ping": True}
    return {**pool, "connect_args": CONNECT_ARGS, "plugins": [PLUGIN]}


@contextmanager
def at_once(engine: Engine) -> Iterator[Connection]:
    """Yield a connection on which what is executed in one call is one transaction, which begins and
    ends in the server: no lock waits for this process.
    """
    with engine.connect().execution_options(**{AT_ONCE: True}) as connection:
        # not by SQLAlchemy's isolation level: the driver would set the default anew for ever after
        driver: Any = connection.connection.dbapi_connection
        driver.autocommit = True
        try:
            yield connection
        finally:
            if not driver.closed:
                driver.autocommit = False


def _begin(connection: Connection) -> None:
    # statements that the server commits by itself leave no transaction idle
    if not connection.get_execution_options().get(AT_ONCE):
        connection.exec_driver_sql(SETTINGS)


plugins.register(PLUGIN, __name__, Sessions.__name__)
