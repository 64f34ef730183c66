"""Optuna's storage in the one database, whose every commit checks the fence, and the making of all
tables.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.orm import Session

from objectives.errors import UserError
from search.database.connections import LeaseLostError, database_url, setup_lock
from search.database.passwords import redacted
from search.database.schema import bring_up
from search.database.sessions import engine_options


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
