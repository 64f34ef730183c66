"""Connections to the one database, locks in it, and what it means that it does not answer. Imports no
Optuna: a look at a study does not wait for that.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InternalError,
    OperationalError,
    PendingRollbackError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from objectives.errors import UserError, WorldError, first_line
from search.database.errors import explained
from search.database.passwords import redacted
from search.database.sessions import engine_options
from search.database.several_hosts import spread_hosts

SETUP_LOCK = 7_215_001  # advisory lock of whoever creates tables or studies
UNDEFINED_TABLE = "42P01"  # the server's code


class LeaseLostError(WorldError):
    """This worker's right to a trial has passed to another; nothing more may be written for it."""


class NoStudyError(UserError):
    """The database has no such study, or no tables yet: it may be there soon."""


def database_url(url: str) -> str:
    """Return the URL with its driver named: ``postgresql://`` becomes ``postgresql+psycopg2://``;
    several hosts are written as SQLAlchemy reads them.

    Raises:
        UserError: For anything but Postgres.
    """
    named = re.sub(r"^postgres(ql)?(\+psycopg2)?://", "postgresql+psycopg2://", url)
    plain = spread_hosts(named)
    try:
        parsed = make_url(plain)
    except (ArgumentError, ValueError) as error:
        raise UserError(
            f"--storage must be a URL like postgresql://user:password@host:5432/name, got "
            f"{redacted(url)!r}"
        ) from error
    if parsed.drivername != "postgresql+psycopg2":
        raise UserError(
            f"--storage must be a Postgres URL (postgresql://...), got {redacted(url)!r}"
        )
    if "@" in (parsed.host or ""):
        raise UserError(f"--storage: write an @ in the password as %40, got {redacted(url)!r}")
    try:
        parsed.get_dialect()().create_connect_args(parsed)  # several hosts with one port, say
    except ArgumentError as error:
        raise UserError(f"--storage: {redacted(str(error))}, got {redacted(url)!r}") from error
    return plain


def open_engine(url: str) -> Engine:
    """Return a small pool of connections to our own tables; a dead connection is replaced, not
    used.
    """
    return create_engine(database_url(url), **engine_options(2, 2))


@contextmanager
def setup_lock(engine: Engine) -> Iterator[Connection]:
    """Yield a transaction with the lock of whoever creates tables or studies. Says so when it has
    to wait.
    """
    with engine.begin() as connection:
        key = {"key": SETUP_LOCK}
        if not connection.execute(
            text("SELECT pg_try_advisory_xact_lock(:key, 0)"), key
        ).scalar_one():
            print(
                "search: another process writes a study into this database; waiting for it",
                file=sys.stderr,
                flush=True,
            )
            connection.execute(text("SELECT pg_advisory_xact_lock(:key, 0)"), key)
        yield connection


@contextmanager
def locked(engine: Engine, key: int, of: int = 0) -> Iterator[Connection]:
    """Yield a transaction that holds a lock which all processes of this database share.

    It ends with the transaction: at commit, when this process dies, or when the server ends a
    transaction whose process is frozen.
    """
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key, :of)"), {"key": key, "of": of})
        yield connection


def no_tables(url: str) -> NoStudyError:
    """Return the error of a database without our tables."""
    return NoStudyError(f"no study in {redacted(url)} yet: run `search init` first")


@contextmanager
def reachable(url: str) -> Iterator[None]:
    """Turn a database that cannot be reached, lacks our tables, or refuses what a study needs, into
    one clear line.
    """
    try:
        yield
    except Exception as error:
        cause = _cause(error)
        if not isinstance(cause, DBAPIError) and cause is error:
            raise
        if (
            isinstance(cause, ProgrammingError)
            and getattr(cause.orig, "pgcode", None) == UNDEFINED_TABLE
        ):
            raise no_tables(url) from error
        if isinstance(cause, ProgrammingError) and "invalid dsn" in str(cause.orig):
            raise UserError(
                f"--storage: {first_line(cause.orig or cause)} in {redacted(url)!r}"
            ) from error
        if isinstance(cause, DBAPIError) and (explanation := explained(cause, url)):
            raise explanation from error
        if isinstance(cause, OperationalError):
            raise WorldError(
                f"the database {redacted(url)} cannot be used: {first_line(cause.orig or cause)}"
            ) from error
        raise


def outage(error: BaseException) -> bool:
    """Return whether an error means that the database is away for now, so that the same call may
    work later.
    """
    cause = _cause(error)
    # InternalError: read-only after a fail-over, or a transaction that was ended for us
    if isinstance(cause, DBAPIError):
        return cause.connection_invalidated or isinstance(cause, OperationalError | InternalError)
    return isinstance(cause, PoolTimeoutError)


def reason(error: BaseException) -> str:
    """Return why the database does not answer, in its driver's first line."""
    cause = _cause(error)
    words = str(getattr(cause, "orig", cause)).strip().splitlines()
    return words[0] if words else type(cause).__name__


def _cause(error: BaseException) -> BaseException:
    """Return what has happened to the database: Optuna wraps it, and where it asks at once again on
    a connection that is lost, SQLAlchemy's refusal hides it.
    """
    cause = error
    # where Optuna is not imported, the error is not Optuna's
    optunas = sys.modules.get("optuna.exceptions")
    if optunas is not None and isinstance(error, optunas.StorageInternalError):
        cause = error.__cause__ or error
    if isinstance(cause, PendingRollbackError):
        cause = cause.__context__ or cause
    return cause
