"""The studies that a database knows, and a look at one of them: without Optuna, the space, or
anything else that a trial needs.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError
from sqlalchemy import Engine, text

from objectives.errors import UserError
from search.database.connections import NoStudyError, open_engine, reachable
from search.database.passwords import redacted
from search.database.predicates import STUDIES
from search.database.schema import check_version
from search.study.spec import StudySpec
from search.study.stored_forms import in_present_form
from search.study.tally import Tally
from search.study.trainings import Trainings

KNOWN = text(f"SELECT study_id, study_name, spec FROM {STUDIES} ORDER BY study_id")


class Readable(Protocol):
    """A study whose budget and status can be read."""

    @property
    def id(self) -> int:
        """Optuna's number of it."""

    @property
    def spec(self) -> StudySpec:
        """What decides it."""

    @property
    def engine(self) -> Engine:
        """The connections to its database."""

    @property
    def tally(self) -> Tally:
        """What has been counted of it by now."""

    @property
    def trainings(self) -> Trainings:
        """What has been read of its trainings by now."""


@dataclass(frozen=True)
class Look:
    """A study that is looked at."""

    id: int
    spec: StudySpec
    engine: Engine
    tally: Tally
    trainings: Trainings


def look_at(url: str, name: str) -> Look:
    """Return a study to look at; its connections are the caller's to close.

    Raises:
        UserError: There is none of this name, or this program cannot read it.
        WorldError: Without a database.
    """
    engine = open_engine(url)
    study_id, spec = find_study(engine, url, name)
    return Look(study_id, spec, engine, Tally(study_id), Trainings(study_id))


def find_study(engine: Engine, url: str, name: str) -> tuple[int, StudySpec]:
    """Return a study's number, and its specification.

    Raises:
        NoStudyError: There is none of this name.
        UserError: This program cannot read it.
        WorldError: Without a database.
    """
    with reachable(url), engine.connect() as connection:
        check_version(connection)
        known = {row.study_name: row for row in connection.execute(KNOWN)}
    if name not in known:
        names = ", ".join(sorted(known)[:10]) + (", ..." if len(known) > 10 else "")
        there = f"name one that is there ({names})" if known else "there is none yet"
        raise NoStudyError(
            f"no study {name!r} in {redacted(url)}: {there}, or run `search init --study {name}`"
        )
    return known[name].study_id, read_spec(name, known[name].spec)


def read_spec(name: str, stored: dict[str, Any]) -> StudySpec:
    """Return a study's specification as it was written.

    Raises:
        UserError: Another version of this program wrote it.
    """
    try:
        return StudySpec.model_validate(in_present_form(stored))
    except ValidationError as error:
        raise UserError(
            f"study {name!r} was written by another version of this program: use that version, or "
            f"start another study"
        ) from error
