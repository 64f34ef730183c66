"""For how many workers a server has connections."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from search.database.connections import open_engine, reachable
from search.database.predicates import ALIVE_WORKER

WORKER_CONNECTIONS = 2  # of a worker at most: one for its trial, one for its pulse

# what other users do is not shown, but that they are there, and the names that they go by
READ = text("""
    SELECT current_setting('max_connections')::int AS most,
        current_setting('superuser_reserved_connections')::int
            + coalesce(current_setting('reserved_connections', true)::int, 0) AS reserved,
        count(*) FILTER (WHERE pid <> pg_backend_pid()) AS held,
        count(*) FILTER (WHERE pid <> pg_backend_pid() AND datname = current_database()
            AND application_name = 'search') AS ours,
        pg_backend_pid() AS process, to_regclass('search_worker') IS NOT NULL AS joined
    FROM pg_stat_activity WHERE datid IS NOT NULL AND usesysid IS NOT NULL
""")

ALIVE = text(f"SELECT count(*) FROM search_worker WHERE {ALIVE_WORKER}")


@dataclass(frozen=True)
class Capacity:
    """The connections of a server, and the workers of this database that need them."""

    most: int  # max_connections
    reserved: int  # for superusers, and for roles that may use the reserve
    others: int  # held now by others than these workers: by commands and dashboards, too
    alive: int  # workers at work, of all studies
    pooled: bool  # a pooler stands before the server: its limits count

    @property
    def workers(self) -> int:
        """How many workers there may be at a time, those included that are at work."""
        return max(0, self.most - self.reserved - self.others) // WORKER_CONNECTIONS

    def __str__(self) -> str:
        if self.pooled:
            return (
                f"connections: a pooler shares out the server's {self.most}, and must take "
                f"{WORKER_CONNECTIONS} of each worker"
            )
        return (
            f"connections: enough for {self.workers} workers with {WORKER_CONNECTIONS} each "
            f"({self.most} in all, {self.reserved} reserved, {self.others} held by others)"
        )

    def warning(self, starting: int = 0) -> str:
        """Return what to do where the workers at work and those that are to start are too many;
        empty where they are not.
        """
        wanted = self.alive + starting
        if self.pooled or wanted <= self.workers:
            return ""
        return (
            f"warning: {wanted} workers take up to {wanted * WORKER_CONNECTIONS} connections, and "
            f"the server has enough for {self.workers}: raise max_connections, or put PgBouncer "
            f"before it"
        )


def read_capacity(connection: Connection) -> Capacity:
    """Return what the server has, and who needs it now."""
    row = connection.execute(READ).one()
    alive = connection.execute(ALIVE).scalar_one() if row.joined else 0
    others = row.held - min(row.ours, alive * WORKER_CONNECTIONS)
    driver: Any = connection.connection.dbapi_connection
    # a pooler numbers its clients' sessions by itself
    pooled = driver.info.backend_pid != row.process
    return Capacity(row.most, row.reserved, others, alive, pooled)


def ask_capacity(url: str) -> Capacity:
    """Return what the server at a URL has, as `read_capacity`.

    Raises:
        WorldError: It does not answer.
    """
    engine = open_engine(url)
    with reachable(url), engine.connect() as connection:
        capacity = read_capacity(connection)
    engine.dispose()
    return capacity
