"""The version of our tables: which one this program needs, which one a database has, and the steps
from each to the next.
"""

from typing import NamedTuple

from sqlalchemy import Connection, insert, select, text

from objectives.errors import UserError
from search.database.tables import META, METADATA

# Each leads from one version to the next and stays as it is once it is released: a database may be
# at any of them. The first finds what the revisions before versions made, some of it or all.
STEPS = (
    """
    ALTER TABLE search_lease ADD COLUMN IF NOT EXISTS crashed_by VARCHAR[] NOT NULL DEFAULT '{}';
    ALTER TABLE search_lease ADD COLUMN IF NOT EXISTS hung_by VARCHAR[] NOT NULL DEFAULT '{}';
    ALTER TABLE search_lease ADD COLUMN IF NOT EXISTS crashes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE search_lease ADD COLUMN IF NOT EXISTS hangs INTEGER NOT NULL DEFAULT 0;
    UPDATE search_lease SET crashed_by = crashed_by || array_fill(''::varchar, ARRAY[crashes]),
        hung_by = hung_by || array_fill(''::varchar, ARRAY[hangs]) WHERE crashes + hangs > 0;
    ALTER TABLE search_lease DROP COLUMN crashes, DROP COLUMN hangs;
    CREATE TABLE search_meta (
        version INTEGER NOT NULL PRIMARY KEY, oldest INTEGER NOT NULL
    );
    """,
    "ALTER TABLE search_worker ADD COLUMN program TEXT NOT NULL DEFAULT ''",
    """
    CREATE TABLE search_epoch (
        trial_id INTEGER NOT NULL, epoch INTEGER NOT NULL, measured FLOAT[] NOT NULL,
        soft_score FLOAT NOT NULL, balanced_nll FLOAT NOT NULL, seconds FLOAT NOT NULL,
        PRIMARY KEY (trial_id, epoch)
    );
    """,
    """
    ALTER TABLE search_worker ADD COLUMN slot INTEGER NOT NULL DEFAULT 0,
        ADD COLUMN slots INTEGER NOT NULL DEFAULT 0, ADD COLUMN mps BOOLEAN NOT NULL DEFAULT false;
    """,
)
SCHEMA = 1 + len(STEPS)
# The oldest version whose programs may still work on these tables: those before lock claims and
# blobs in other ways
OLDEST = 3

THERE = text("""
    SELECT to_regclass('search_study') IS NOT NULL AS tables, to_regclass('search_meta') IS NOT NULL AS meta
""")


class OutdatedError(UserError):
    """This program is too old for its database, whose tables a later one has upgraded."""


class Stored(NamedTuple):
    """The version of a database's tables, and the oldest one whose programs may work on them; 0:
    there are none.
    """

    version: int
    oldest: int


def stored(connection: Connection) -> Stored:
    """Return the version that a database has."""
    there = connection.execute(THERE).one()
    if there.meta:
        return Stored(*connection.execute(select(META.c.version, META.c.oldest)).one())
    # of a revision before versions, where there are tables
    return Stored(1, 1) if there.tables else Stored(0, 0)


def refuse_outdated(connection: Connection) -> None:
    """Refuse to work on with tables that ask for a later program.

    Raises:
        OutdatedError: They do.
    """
    refuse_older_than(*stored(connection))


def refuse_older_than(version: int, oldest: int) -> None:
    """Refuse to work on with tables of this version, where they ask for a later program.

    Raises:
        OutdatedError: They do.
    """
    if oldest > SCHEMA:
        raise OutdatedError(
            f"the database's tables, version {version}, ask for a program that knows version "
            f"{oldest} or later, this one knows {SCHEMA}: install a later one"
        )


def check_version(connection: Connection) -> None:
    """Refuse tables of a version that this program cannot use; without any there is nothing to
    refuse.

    Raises:
        OutdatedError: They ask for a later program.
        UserError: They are older than it needs.
    """
    refuse_outdated(connection)
    version = stored(connection).version
    if 0 < version < SCHEMA:
        raise UserError(
            f"the database's tables are version {version}, this program needs {SCHEMA}: run "
            f"`search upgrade`"
        )


def bring_up(connection: Connection) -> int:
    """Make our tables, or take the steps that they lack, within this transaction; later ones stay
    as they are. Return their version before.

    The caller holds the lock of whoever creates tables.

    Raises:
        OutdatedError: The tables ask for a later program.
    """
    refuse_outdated(connection)
    before = stored(connection).version
    if before >= SCHEMA:
        return before
    if before == 0:
        METADATA.create_all(connection)
    else:
        for step in STEPS[before - 1 :]:
            connection.exec_driver_sql(step)
        connection.execute(META.delete())
    connection.execute(insert(META).values(version=SCHEMA, oldest=OLDEST))
    return before
