"""Holding a worker at one exact step, from outside: a lock on a table lets it come as far as its
first write there.

Between that step and the one before it a worker spends microseconds, which no random kill would
ever hit.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import psycopg2
from scene import Scene, Worker

HELD = """
    SELECT client_port FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE NOT granted AND relation = '{table}'::regclass AND query ILIKE '{words}'
"""


@contextmanager
def gate(scene: Scene, table: str) -> Iterator[None]:
    """Nobody writes into a table while the block lasts; whoever tries waits. Reading goes on."""
    connection = psycopg2.connect(scene.server.url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN SHARE MODE")
        yield
    finally:
        connection.close()  # its transaction ends with it


def held(scene: Scene, table: str, words: str) -> Worker | None:
    """A worker that waits at the gate of a table with a statement like these words."""
    ports = {port for (port,) in scene.query(HELD.format(table=table, words=words))}
    return next(
        (worker for worker in scene.workers if worker.alive and ports & ports_of(worker.pid)), None
    )


def ports_of(pid: int) -> set[int]:
    """The local ports of a process's connections."""
    try:
        return {
            connection.laddr.port
            for connection in psutil.Process(pid).net_connections("tcp")
            if connection.laddr
        }
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return set()
