"""Looks at the sealed test part: counted before it is opened, over all studies of the database that
seal the same frames.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import case, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from search.database.tables import STUDY
from search.study.stored import Study


def test_looks(study: Study) -> int:
    """Return how often anybody has looked at the study's sealed test part, in it or in a study that
    seals the same frames.

    Whatever else is done with these frames: their size, the scored classes. Studies that were
    deleted count, too.
    """
    fingerprint, sealed = (
        STUDY.c.spec[name].as_string() for name in ("data_fingerprint", "sealed")
    )
    with study.engine.connect() as connection:
        frames = case((func.coalesce(sealed, "") == "", fingerprint), else_=sealed)
        same = frames == (study.spec.sealed or study.spec.data_fingerprint)
        return int(
            connection.execute(select(func.sum(STUDY.c.test_looks)).where(same)).scalar_one() or 0
        )


def count_look(study: Study) -> None:
    """Count one look at the sealed test part."""
    _add(study, 1)


@contextmanager
def counted_look(study: Study) -> Iterator[None]:
    """Count one look before the block begins; it is taken back when the block fails, whose result
    then nobody has seen.
    """
    count_look(study)
    try:
        yield
    except BaseException:
        # without a database it stays counted, rather one too many than one too few
        with suppress(SQLAlchemyError):
            _add(study, -1)
        raise


def _add(study: Study, looks: int) -> None:
    with study.engine.begin() as connection:
        connection.execute(
            update(STUDY)
            .where(STUDY.c.study_id == study.id)
            .values(test_looks=STUDY.c.test_looks + looks)
        )
