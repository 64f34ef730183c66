"""``search upgrade``: the tables of a database, brought up to what this program works on."""

import logging

from optuna.storages import RDBStorage

from search.database.connections import (
    database_url,
    no_tables,
    open_engine,
    reachable,
    setup_lock,
)
from search.database.optuna_storage import (
    optuna_storage,
)
from search.database.schema import SCHEMA, bring_up, refuse_outdated, stored
from search.database.sessions import engine_options


def upgrade(url: str) -> str:
    """Bring Optuna's tables and ours up to this program's version; return what was done, in a line.

    Raises:
        NoStudyError: There are no tables of ours.
        UserError: The tables are of a later version of Optuna, or ask for a later program.
        WorldError: The database does not answer.
    """
    engine = open_engine(url)
    with reachable(url), setup_lock(engine) as connection:
        if stored(connection).version == 0:  # Optuna's, if there are any, are somebody else's
            raise no_tables(url)
        refuse_outdated(connection)
        optuna = _upgrade_optuna(url)
        ours = _say(bring_up(connection))
    engine.dispose()
    return ours + optuna


def _say(before: int) -> str:
    if before > SCHEMA:
        return (
            f"the tables are version {before}, of a later program; this one knows {SCHEMA} and can "
            f"work on them"
        )
    if before == SCHEMA:
        return f"the tables are up to date, version {SCHEMA}"
    return f"the tables are upgraded from version {before} to {SCHEMA}"


def _upgrade_optuna(url: str) -> str:
    """Upgrade Optuna's tables where they are behind; return what is to be said of it."""
    storage = RDBStorage(
        database_url(url),
        engine_kwargs=engine_options(1, 1),
        skip_compatibility_check=True,
        skip_table_creation=True,
    )
    before = storage.get_current_version()
    after = storage.get_head_version()
    behind = before != after and before in storage.get_all_versions()
    if behind:
        quiet = logging.NullHandler()  # without any handler, Alembic sets up logging of its own
        logging.getLogger().addHandler(quiet)
        storage.upgrade()
        logging.getLogger().removeHandler(quiet)
    storage.engine.dispose()
    # refuses a version that this Optuna does not know
    optuna_storage(url, 2, skip_table_creation=True).engine.dispose()
    return f"; Optuna's from {before} to {after}" if behind else ""
