"""Connections to the one database: ours to our own tables, and Optuna's, whose every commit checks
the fence.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InternalError,
    OperationalError,
    PendingRollbackError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from objectives.errors import UserError, WorldError, first_line
from search.database.errors import explained
from search.database.passwords import redacted
from search.database.schema import bring_up
from search.database.sessions import engine_options
from search.database.several_hosts import spread_hosts

SETUP_LOCK = 7_215_001  # advisory lock of whoever creates tables or studies
UNDEFINED_TABLE = "42P01"  # the server's code


class LeaseLostError(WorldError):
    """This worker's right to a trial has passed to another; nothing more may be written for it."""


class NoStudyError(UserError):
    """The database has no such study, or no tables yet: it may be there soon."""


class Fence:
    """What Optuna's next commits depend on: the lease of the trial at hand."""

    def __init__(self) -> None:
        self._trial_id: int | None = None
        self._number = 0

    def guard(self, storage: RDBStorage) -> None:
        """Let every commit of a storage pass this fence."""
        event.listen(storage.scoped_session.session_factory, "before_commit", self._check)

    @contextmanager
    def holding(self, trial_id: int, number: int) -> Iterator[None]:
        """Let every commit meanwhile depend on the lease of this trial that has this
        fence number.
        """
        self._trial_id = trial_id
        self._number = number
        try:
            yield
        finally:
            self._trial_id = None

    def _check(self, session: Session) -> None:
        """Lock the lease's row until the commit is over, or refuse the commit.

        Raises:
            LeaseLostError: Another worker has taken the trial.
        """
        if self._trial_id is None:
            return
        row = session.execute(
            text(
                "SELECT 1 FROM search_lease WHERE trial_id = :trial_id AND fence = :fence FOR SHARE"
            ),
            {"trial_id": self._trial_id, "fence": self._number},
        ).first()
        if row is None:
            raise LeaseLostError(f"the lease on trial id {self._trial_id} was lost")


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


def open_optuna(url: str, fence: Fence, *, connections: int = 2) -> RDBStorage:
    """Optuna's storage on a database that ``create_tables`` has prepared; every commit passes the
    fence. Its engine is for our own tables, too: so nobody needs a second pool.
    """
    storage = optuna_storage(url, connections, skip_table_creation=True)
    fence.guard(storage)
    return storage


def optuna_storage(url: str, connections: int, *, skip_table_creation: bool) -> RDBStorage:
    """Return Optuna's storage, whose connections are ours in all but name.

    Raises:
        UserError: The tables are of another version of Optuna.
    """
    options = engine_options(1, connections - 1)
    try:
        return RDBStorage(
            database_url(url), engine_kwargs=options, skip_table_creation=skip_table_creation
        )
    except RuntimeError as error:
        if "compatible" not in str(error):
            raise
        match = re.search(r"set up by (optuna [^)]*)\)", str(error))
        made_by = match[1] if match else "another version of optuna"
        behind = "storage upgrade" in str(error)  # what Optuna would have people do
        remedy = ", or run `search upgrade` if nothing else uses them" if behind else ""
        raise UserError(
            f"the tables in {redacted(url)} were made by {made_by}, which optuna "
            f"{optuna.__version__} cannot use: give this program a database of its own{remedy}"
        ) from error


def create_tables(engine: Engine, url: str) -> None:
    """Make Optuna's tables and ours, or bring ours up to this program's version; one process does
    while the others wait.

    Raises:
        OutdatedError: The tables ask for a later program.
    """
    with setup_lock(engine) as connection:
        optuna_storage(url, 2, skip_table_creation=False).engine.dispose()
        bring_up(connection)


@contextmanager
def setting_up(engine: Engine, url: str) -> Iterator[Connection]:
    """Yield a transaction with the lock of whoever creates tables or studies; every table is there.

    Raises:
        OutdatedError: The tables ask for a later program.
    """
    create_tables(engine, url)
    with setup_lock(engine) as connection:
        yield connection


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
    except (DBAPIError, optuna.exceptions.StorageInternalError) as error:
        cause = _cause(error)
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
    if isinstance(error, optuna.exceptions.StorageInternalError):
        cause = error.__cause__ or error
    if isinstance(cause, PendingRollbackError):
        cause = cause.__context__ or cause
    return cause
