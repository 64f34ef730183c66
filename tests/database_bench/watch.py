"""What a worker's process sends to the database, seen from outside the program: who held the claim
lock for how long, and how many statements there were.
"""

import os
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

from database_bench.adapter import Side


class Diary:
    """A file of lines ``word number ...``, each written at once: its writer may be killed."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, word: str, *times: float) -> None:
        os.write(self._file, f"{word} {' '.join(map(repr, times))}\n".encode())


class LockWatch:
    """Notes when the claim lock was asked for, answered, and given back with its transaction."""

    def __init__(self, side: Side, diary: Diary) -> None:
        self.side = side
        self.diary = diary
        self.held: set[int] = set()  # driver's connections

    def install(self) -> None:
        event.listen(Engine, "before_cursor_execute", self._before)
        event.listen(Engine, "after_cursor_execute", self._after)
        after_transactions(self._ended)

    def _before(self, connection: Connection, *_: Any) -> None:
        connection.info["sent"] = time.monotonic()

    def _after(
        self, connection: Connection, cursor: Any, statement: str, parameters: Any, *_: Any
    ) -> None:
        if self.side.takes_lock(statement, parameters):
            answered = time.monotonic()
            self.held.add(id(_driver(connection.connection)))
            self.diary.note("lock", connection.info["sent"], answered)

    def _ended(self, connection: Any) -> None:
        if id(connection) in self.held:
            self.held.remove(id(connection))
            self.diary.note("free", time.monotonic())


class Traffic:
    """Counts statements, pings of the pool among them, and transactions."""

    def __init__(self) -> None:
        self.statements = 0
        self.transactions = 0
        self._open: set[int] = set()

    def install(self) -> None:
        event.listen(Engine, "before_cursor_execute", self._count)
        after_transactions(self._ended)
        ping: Any = PGDialect_psycopg2.do_ping

        def counted(dialect: Any, connection: Any) -> bool:
            self.statements += 1
            return bool(ping(dialect, connection))

        PGDialect_psycopg2.do_ping = counted  # type: ignore[method-assign]

    def reset(self) -> None:
        self.statements = self.transactions = 0

    def _count(self, connection: Connection, *_: Any) -> None:
        self.statements += 1
        self._open.add(id(_driver(connection.connection)))

    def _ended(self, connection: Any) -> None:
        if id(connection) in self._open:
            self._open.remove(id(connection))
            self.transactions += 1


def after_transactions(call: Any) -> None:
    """Call with the driver's connection after every commit and rollback; engine events come before
    them.
    """
    for name in ("do_commit", "do_rollback"):
        _wrap(name, getattr(PGDialect_psycopg2, name), call)


def _wrap(name: str, original: Any, call: Any) -> None:
    def wrapped(dialect: Any, connection: Any) -> None:
        try:
            original(dialect, connection)
        finally:
            call(_driver(connection))

    setattr(PGDialect_psycopg2, name, wrapped)


def _driver(connection: Any) -> Any:
    return getattr(connection, "dbapi_connection", connection)
