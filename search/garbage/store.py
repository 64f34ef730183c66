"""``search gc``: removes from the database and the artifact store what no trial of any study needs.

Rows go first, then what no row names: a crash in between leaves bytes that the next run finds,
never a row whose bytes are gone. Whoever still means to name a blob is safe for three reasons:
blobs younger than an age are left alone; a lease that ran out half that age ago is taken away, so
that a worker that slept since its put finds itself fenced; and each blob is looked at again, under
a lock, right before it goes.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from objectives.errors import UserError
from search.artifacts import Objects, Stored, open_objects
from search.artifacts.marker import check_sole_owner
from search.database.predicates import GIVEN_WEIGHTS
from search.study.known import KNOWN, read_spec
from search.trials.blob_lock import delete_old, delete_unnamed
from search.trials.checkpoints import EVERY, UNNEEDED, Kept, kept

LEASES = 20  # an age is at least so many lease times of any trial at hand,
LEAST_AGE_S = 600.0  # and at least this

LONGEST_LEASE = text("""
    SELECT coalesce(max(extract(epoch FROM expires_at - renewed_at)), 0)::float
    FROM search_lease JOIN trials USING (trial_id) WHERE state = 'RUNNING'
""")

# as a worker that claims the trial would do, and gives it back at once
TAKE_AWAY = text("""
    UPDATE search_lease SET owner = '', fence = fence + 1, vanished = vanished + 1
    WHERE owner <> '' AND expires_at < clock_timestamp() - make_interval(secs => :seconds)
      AND trial_id IN (SELECT trial_id FROM trials WHERE state = 'RUNNING')
""")

POINTERS_OF_THE_DELETED = text("""
    DELETE FROM search_checkpoint WHERE NOT EXISTS (SELECT 1 FROM trials WHERE trials.trial_id = search_checkpoint.trial_id)
    RETURNING blob
""")

# a worker of a deleted study ends by itself, and counts on its host until then
ROWS_OF_THE_DELETED = (
    text(
        "DELETE FROM search_lease WHERE NOT EXISTS (SELECT 1 FROM trials WHERE trials.trial_id = "
        "search_lease.trial_id)"
    ),
    text(
        "DELETE FROM search_epoch WHERE NOT EXISTS (SELECT 1 FROM trials WHERE trials.trial_id = "
        "search_epoch.trial_id)"
    ),
    text("""
        DELETE FROM search_study WHERE NOT EXISTS (SELECT 1 FROM studies WHERE studies.study_id = search_study.study_id)
          AND test_looks = 0
    """),  # a look at a sealed part stays counted
    text("""
        DELETE FROM search_worker WHERE NOT EXISTS (SELECT 1 FROM studies WHERE studies.study_id = search_worker.study_id)
          AND (ended_at IS NOT NULL OR seen_at < clock_timestamp() - interval '1 day')
    """),
)

NAMED_BLOBS = text(f"SELECT blob FROM search_checkpoint UNION SELECT sha256 FROM {GIVEN_WEIGHTS}")

# Optuna's own, and the form in which older dashboards kept them; "null" was deleted in the
# dashboard
PICTURES = text("""
    SELECT substring(key FROM '[^:]*$') FROM (
        SELECT key, value_json FROM trial_system_attributes UNION ALL SELECT key, value_json FROM study_system_attributes
    ) AS attributes
    WHERE (key LIKE 'artifacts:%' OR key LIKE 'dashboard:artifacts:%') AND value_json NOT IN ('"null"', 'null')
""")


@dataclass(frozen=True)
class Swept:
    """How much of one kind was removed, or would be."""

    kind: str
    count: int
    size_bytes: int = 0


def least_age_s(engine: Engine) -> float:
    """Return how old a blob must be before it can be called garbage."""
    with engine.connect() as connection:
        return max(LEAST_AGE_S, LEASES * float(connection.execute(LONGEST_LEASE).scalar_one()))


def check_age(engine: Engine, older_than_s: float) -> None:
    """Refuse an age so small that blobs still being written would count as garbage.

    Raises:
        UserError: It is.
    """
    if older_than_s < (least_s := least_age_s(engine)):
        raise UserError(
            f"--older-than must be at least {least_s / 60:g}m, {LEASES} lease times of the trials "
            f"at hand"
        )


def collect(
    engine: Engine, artifacts: str, *, older_than_s: float, dry_run: bool = False
) -> list[Swept]:
    """Remove what nothing needs, or with ``dry_run`` say only what would go. It may be killed at
    any moment, and run again.

    Raises:
        UserError: The store is another database's too.
        StoreAwayError: It does not answer.
    """
    before = check_sole_owner(engine, artifacts) - older_than_s
    blobs = open_objects(artifacts, "blobs")
    pictures = open_objects(artifacts, "pictures")
    if not dry_run:
        with engine.begin() as connection:
            connection.execute(TAKE_AWAY, {"seconds": older_than_s / 2})
    rows, pointers, named = drop_rows(engine, dry_run=dry_run)
    shown = _shown_pictures(engine)

    def sweep(kind: str, stored: Iterator[Stored], delete: Callable[[Stored], bool]) -> Swept:
        gone = [
            each.size_bytes
            for each in stored
            if each.written_at <= before and (dry_run or delete(each))
        ]
        return Swept(kind, len(gone), sum(gone))

    return [
        Swept("rows", rows),
        Swept("pointers", pointers),
        sweep(
            "blobs",
            _unnamed(blobs, named, digits=64),
            lambda blob: delete_unnamed(engine, blobs, blob),
        ),
        sweep(
            "pictures",
            _unnamed(pictures, shown, digits=36),
            lambda picture: delete_old(pictures, picture),
        ),
        sweep("drafts", blobs.drafts(), lambda draft: _drop_draft(blobs, draft)),
        sweep("drafts", pictures.drafts(), lambda draft: _drop_draft(pictures, draft)),
    ]


def drop_rows(engine: Engine, *, dry_run: bool) -> tuple[int, int, set[str]]:
    """Drop our rows of deleted trials and studies, and the pointers that finished trials need no
    more.

    Returns how many of either, and the blobs that are still named. With ``dry_run`` nothing of it
    stays.
    """
    with engine.connect() as connection:
        # workers drop pointers too: without it, each side might wait for the other's rows
        connection.execute(text("LOCK TABLE search_checkpoint IN SHARE ROW EXCLUSIVE MODE"))
        dropped = [*connection.execute(POINTERS_OF_THE_DELETED).scalars()]
        for row in connection.execute(KNOWN).all():
            dropped += _drop_unneeded(connection, row.study_id, _keep(row.study_name, row.spec))
        rows = sum(connection.execute(statement).rowcount for statement in ROWS_OF_THE_DELETED)
        named = set(connection.execute(NAMED_BLOBS).scalars())
        if dry_run:
            connection.rollback()
        else:
            connection.commit()
    return rows, len(dropped), named


def _drop_unneeded(connection: Connection, study_id: int, keep: Kept) -> list[str]:
    return [*connection.execute(UNNEEDED, {"study_id": study_id, **keep.parameters}).scalars()]


def _keep(name: str, stored: dict[str, object]) -> Kept:
    """Return which finished trials keep their weights; all of a study that another version has
    written.
    """
    try:
        return kept(read_spec(name, stored))
    except UserError:
        return Kept(EVERY)


def _shown_pictures(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(PICTURES).scalars())


def _unnamed(objects: Objects, named: set[str], *, digits: int) -> Iterator[Stored]:
    """Yield what was stored by this program (whose keys have so many digits and dashes) and is
    named by nobody.
    """
    return (each for each in objects.stored() if len(each.key) == digits and each.key not in named)


def _drop_draft(objects: Objects, draft: Stored) -> bool:
    objects.drop_draft(draft.key)
    return True


def total(swept: list[Swept]) -> dict[str, Swept]:
    """Counts and bytes by kind."""
    counts = Counter[str]()
    sizes = Counter[str]()
    for each in swept:
        counts[each.kind] += each.count
        sizes[each.kind] += each.size_bytes
    return {kind: Swept(kind, counts[kind], sizes[kind]) for kind in counts}
