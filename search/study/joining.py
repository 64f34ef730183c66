"""Who may train for a study: the same program, space, data and score, and a clock that is right."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import text

from objectives.config.measures import measure_named
from objectives.config.score import Score
from objectives.errors import UserError
from objectives.version import OBJECTIVE_VERSION
from search.study.differences import short
from search.study.spec import OPTUNA_MAJOR, StudySpec, score_definition
from search.study.stored import Study

if TYPE_CHECKING:
    # it decodes images: `search status` does not wait for that
    from objectives.data.dataset import Dataset

CLOCK_S = 300.0  # how far a worker's clock may be off


def check_worker(study: Study, data: "Dataset") -> None:
    """Refuse to join a study with another Optuna, space, data, score or objective than its own.

    Raises:
        UserError: Something differs; both values are named.
    """
    check_program(study.spec)
    spec = study.spec
    pairs = {
        "space": (spec.space_fingerprint, study.space.fingerprint),
        "data": (spec.data_fingerprint, data.fingerprint),
        "score": (spec.score, score_definition(data)),
    }
    _refuse_different(spec, pairs)


def check_program(spec: StudySpec) -> None:
    """Refuse to train for a study that another version of this program has written, or that is
    scored by what is not installed here.

    Raises:
        UserError: Something differs or lacks; both values are named.
    """
    measure_named(Score.read(spec.frames.measure).measure, spec.measure_package)
    pairs = {
        "version of Optuna": (spec.optuna, OPTUNA_MAJOR),
        "objective version": (spec.objective_version, OBJECTIVE_VERSION),
    }
    _refuse_different(spec, pairs)


def _refuse_different(spec: StudySpec, pairs: Mapping[str, tuple[object, object]]) -> None:
    for what, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise UserError(
                f"this program's {what} differs from that of study {spec.name!r}: {short(ours)} "
                f"here, {short(theirs)} there; "
                "use the same program version and the same data, or start another study"
            )


def check_clock(study: Study) -> None:
    """Refuse to join with a clock that is far off the database's, which would falsify the times of
    trials.

    Raises:
        UserError: It is; by how much is said.
    """
    with study.engine.connect() as connection:
        theirs = float(
            connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
        )
    ahead_s = time.time() - theirs
    if abs(ahead_s) > CLOCK_S:
        way = "ahead of" if ahead_s > 0 else "behind"
        raise UserError(
            f"this worker's clock is {abs(ahead_s) / 3600:.1f} h {way} the database's: set the "
            f"clock (is it in the right "
            "time zone?), then start the worker again"
        )
