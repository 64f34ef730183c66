"""Whose an artifact store is: every database that uses it leaves a marker there, and garbage is
removed by a sole owner only.

Whoever writes a study leaves the marker. Workers only look for it: an empty folder where a disk is
not mounted has none.

A database is known by its cluster's number and its own, so that a copy restored elsewhere is
another one, and nobody takes for garbage what the original needs. (A physical copy of a whole
cluster is the same one: give it a store of its own.)
"""

import hashlib

from sqlalchemy import Engine, inspect, text

from objectives.errors import UserError
from search.artifacts import Objects, StoreAwayError, open_blobs, open_objects
from search.database.connections import open_engine
from search.database.tables import CHECKPOINT

MARKERS = "databases"  # the part of the store where they lie

WEIGHTS = text("""
    SELECT blob FROM search_checkpoint JOIN trials USING (trial_id) JOIN studies USING (study_id)
    WHERE study_name = :study LIMIT 20
""")

IDENTITY = text("""
    SELECT system_identifier::text || '/' || oid::text FROM pg_control_system(), pg_database WHERE datname = current_database()
""")


def mark_store(engine: Engine, artifacts: str) -> str:
    """Leave the database's marker in the store, before anything else is put there, and return its
    key; harmless to repeat.

    Raises:
        StoreAwayError: The store does not answer.
        UserError: For a wrong URL.
    """
    marker = _marker(engine)
    open_objects(artifacts, MARKERS).write(marker, _described(engine).encode())
    return marker


def mark_place(storage: str, artifacts: str, study: str) -> None:
    """As ``mark_store``, for the database at a URL, before a study is written or found there.

    Raises:
        UserError: The study is there already, and has its weights elsewhere.
    """
    engine = open_engine(storage)
    if not open_objects(artifacts, MARKERS).exists(_marker(engine)):
        _check_weights(engine, artifacts, study)
    mark_store(engine, artifacts)
    engine.dispose()


def check_marked(engine: Engine, artifacts: str) -> str:
    """Return the key of the database's marker, which is in the store.

    Raises:
        UserError: The store answers and it is not.
        StoreAwayError: The store does not answer.
    """
    marker = _marker(engine)
    markers = open_objects(artifacts, MARKERS)
    if not markers.exists(marker):
        raise UserError(
            f"the artifact store {artifacts} lacks the mark of the study's database "
            f"({markers.describe(marker)}): mount it, "
            "name the right --artifacts, or run `search init` on it again with equal arguments"
        )
    return marker


def check_mounted(artifacts: str, marker: str) -> None:
    """Refuse a store without the marker that was left there.

    Raises:
        StoreAwayError: It is not: an empty folder may stand where the store is not mounted, or was
            not yet.
    """
    if not open_objects(artifacts, MARKERS).exists(marker):
        raise StoreAwayError(f"the artifact store {artifacts} is not what it was: is it mounted?")


def check_sole_owner(engine: Engine, artifacts: str) -> float:
    """Refuse a store that other databases use; return the time by its own clock.

    Raises:
        UserError: Another database uses it too, or none has said so.
        StoreAwayError: The store does not answer.
    """
    markers = open_objects(artifacts, MARKERS)
    own = _marker(engine)
    owners = {each.key for each in markers.stored()}
    if own not in owners:
        reason = (
            f"its owner is {_others(markers, owners)}"
            if owners
            else "no database has left its marker there"
        )
        raise UserError(
            f"the artifact store {artifacts} does not belong to this database ({reason}): name the "
            f"right --artifacts, or run "
            "`search init` on it again with equal arguments"
        )
    if others := owners - {own}:
        raise UserError(
            f"the artifact store {artifacts} also belongs to {_others(markers, others)}: what that "
            "one needs looks like garbage here. Give each database a store of its own; if the "
            "other is gone for good, remove its marker"
        )
    mark_store(engine, artifacts)  # written anew, it tells the store's time
    return markers.look(own).written_at


def _check_weights(engine: Engine, artifacts: str, study: str) -> None:
    """Refuse a store without a marker that lacks the weights of a study that has some."""
    with engine.connect() as connection:
        if not inspect(connection).has_table(CHECKPOINT.name):
            return
        shas = connection.execute(WEIGHTS, {"study": study}).scalars().all()
    blobs = open_blobs(artifacts)
    if shas and not any(blobs.exists(sha) for sha in shas):
        raise UserError(
            f"the artifact store {artifacts} holds nothing of study {study!r}, whose weights are "
            f"elsewhere: mount it, or name "
            "the right --artifacts"
        )


def _marker(engine: Engine) -> str:
    with engine.connect() as connection:
        return hashlib.sha256(str(connection.execute(IDENTITY).scalar_one()).encode()).hexdigest()


def _described(engine: Engine) -> str:
    """Return which database it is, for people; no user, no password."""
    url = engine.url
    where = url.host or url.query.get("host", "this machine")
    return f"database {url.database} at {where}"


def _others(markers: Objects, keys: set[str]) -> str:
    return ", ".join(
        f"{markers.read(key)[:300].decode(errors='replace')} ({markers.describe(key)})"
        for key in sorted(keys)
    )
