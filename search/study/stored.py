"""A study in the database: writing it once, opening it, and refusing workers that would compute
something else.
"""

import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import TYPE_CHECKING, assert_never

import optuna
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import Connection, Engine, insert, text

from objectives.config.measures import measure_named
from objectives.data.options import DataOptions
from objectives.errors import UserError, WorldError
from objectives.version import OBJECTIVE_VERSION
from search.database.connections import (
    open_engine,
    reachable,
)
from search.database.optuna_storage import (
    Fence,
    open_optuna,
    setting_up,
)
from search.database.tables import STUDY
from search.posterior.belief import Learned
from search.posterior.ground import SpaceGround
from search.process.messages import Run
from search.study.history import History
from search.study.known import KNOWN, find_study, read_spec
from search.study.pruners import judging, read_scores
from search.study.purpose import Confirming, Retraining, Searching
from search.study.record import Notes
from search.study.sampling import FirstTrial, first_trials, learned_on
from search.study.spec import OPTUNA_MAJOR, StudySpec, score_definition, stable_seed
from search.study.tally import Tally
from search.study.trainings import Trainings
from spaces import Space, load_stored_space
from spaces.sampler import UNSTATED

if TYPE_CHECKING:
    # it decodes images: `search status` does not wait for that
    from objectives.data.dataset import Dataset

MARK = {"made_by": "search"}  # attribute of Optuna's study, written before its trials

# what another score changes besides
BY_MEASURE = ("measure", "measure_package", "score", "data_fingerprint")
CONNECTIONS = 4  # of a command that reads or writes a study
CLOCK_S = 300.0  # how far a worker's clock may be off

optuna.logging.set_verbosity(optuna.logging.ERROR)


class ForeignNameError(UserError):
    """Another program has made a study of this name in the same database."""


@dataclass(frozen=True)
class Study:
    """An open study. Only the worker that holds a lease writes through ``optuna``, under
    ``fence``. ``tally``, ``trainings`` and ``history`` keep what has been read of ended trials.
    """

    id: int
    spec: StudySpec
    space: Space
    storage: RDBStorage
    optuna: optuna.Study
    fence: Fence
    tally: Tally
    trainings: Trainings
    history: History

    @cached_property
    def ground(self) -> SpaceGround:
        """What is searched, as the posterior sees it."""
        return SpaceGround(self.space)

    @cached_property
    def learned(self) -> tuple[Learned, ...]:
        """What it has learned from other studies."""
        return learned_on(self.ground, self.spec.lessons)

    def run(self, number: int) -> Run:
        """Return how one trial is trained."""
        match self.spec.purpose:
            case Searching():
                return Run(stable_seed(self.spec.seed, "trial", number))
            case Retraining() as purpose:
                return Run(
                    purpose.seed,
                    0,
                    purpose.candidate.last_epoch,
                    everything=True,
                    heard=purpose.heard,
                )
            case Confirming() as purpose:
                turn, place = self._turn_and_place(purpose, number)
                split_seed = (
                    stable_seed(self.spec.seed, "split", turn) if turn and purpose.resplit else 0
                )
                seed = stable_seed(self.spec.seed, "confirm", turn)
                return Run(seed, split_seed, purpose.candidates[place].last_epoch)
            case _:
                assert_never(self.spec.purpose)

    def _turn_and_place(self, purpose: Confirming, number: int) -> tuple[int, int]:
        """Return which seed a run of a confirmation has, and which candidate. One that is trained
        again tells it itself.
        """
        if number >= len(purpose.candidates) * purpose.seeds:
            trial_id = self.storage.get_trial_id_from_study_id_trial_number(self.id, number)
            if confirmed := Notes.of(self.storage.get_trial(trial_id)).confirmed:
                return confirmed.seed, [each.number for each in purpose.candidates].index(
                    confirmed.candidate
                )
        return divmod(number, len(purpose.candidates))

    def seed_of(self, trial: FrozenTrial) -> int:
        """Return the seed that a trial was trained with, here or in the study that it was copied
        from.
        """
        original = Notes.of(trial).original
        return original.seed if original else self.run(trial.number).seed

    def trial(self, trial_id: int) -> Trial:
        """Return a running trial, attached to again under its own number, for reports and its end:
        its config is drawn elsewhere.
        """
        return Trial(self.optuna, trial_id)

    @property
    def engine(self) -> Engine:
        """The connections, to Optuna's tables and ours."""
        return self.storage.engine

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def enqueue(study: optuna.Study, first: FirstTrial) -> None:
    """Let a study train a trial next; the sampler draws what it leaves open."""
    study.enqueue_trial(dict(first.params), user_attrs=first.notes.attributes())


def enqueue_first(study: optuna.Study, spec: StudySpec, connection: Connection) -> int:
    """Enqueue the trials that a study begins with, and return how many they are."""
    wanted = first_trials(spec)
    for first in wanted:
        enqueue(study, first)
    return len(wanted)


def create_study(
    url: str,
    spec: StudySpec,
    begin: Callable[[optuna.Study, StudySpec, Connection], int] = enqueue_first,
) -> bool:
    """Write a study with its first trials; False when the very same study is there already.

    ``begin`` writes those trials and returns their number; what it writes through its connection is
    there only when the study is.

    Raises:
        UserError: Another study has this name, naming what differs.
        WorldError: The database has written a trial twice.
    """
    engine = open_engine(url)
    with reachable(url), setting_up(engine, url) as connection:
        row = next((row for row in connection.execute(KNOWN) if row.study_name == spec.name), None)
        if row is not None:
            _refuse_other(read_spec(spec.name, row.spec), spec)
            return False
        storage = open_optuna(url, Fence())
        study = _empty_study(storage, spec.name)
        begun = begin(study, spec, connection)
        there = len(study.get_trials(deepcopy=False))
        if begun != there:  # Optuna repeats what it has no answer to
            raise WorldError(
                f"{there} trials were written instead of {begun}, as an answer was lost: run the "
                f"command again"
            )
        # last: a study counts from here on, and what a crash left before this line is begun anew
        budget = {"trials": spec.trials, "gpu_s": spec.gpu_s, "until_s": spec.until_s}
        connection.execute(
            insert(STUDY).values(study_id=study._study_id, spec=spec.model_dump(), **budget)
        )
        storage.engine.dispose()
    engine.dispose()
    return True


def _empty_study(storage: RDBStorage, name: str) -> optuna.Study:
    """Return a study of Optuna's with our mark and no trial; what a crash left of one with our mark
    is removed.

    Raises:
        ForeignNameError: Somebody else has made a study of this name.
    """

    def made() -> optuna.Study:
        return optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )

    study = made()
    trials = study.get_trials(deepcopy=False)
    ours = study.user_attrs == MARK
    begun = all(trial.state == TrialState.WAITING or Notes.of(trial).original for trial in trials)
    # killed before its mark
    bare = not trials and not study.user_attrs and study.directions == [StudyDirection.MAXIMIZE]
    if not (bare or (ours and begun)):
        raise ForeignNameError(
            f"the name {name!r} belongs to a study that this program did not make: choose another "
            f"name"
        )
    if trials:
        optuna.delete_study(study_name=name, storage=storage)
        study = made()
    for key, value in MARK.items():
        study.set_user_attr(key, value)
    return study


def open_study(url: str, name: str, *, connections: int = CONNECTIONS) -> Study:
    """Return a study that ``create_study`` wrote, with so many connections at most.

    Raises:
        UserError: There is none of this name, or this program cannot run it.
        WorldError: Without a database.
    """
    engine = open_engine(url)
    study_id, spec = find_study(engine, url, name)
    engine.dispose()
    with reachable(url):
        fence = Fence()
        storage = open_optuna(url, fence, connections=connections)
        space = load_stored_space(spec.space)
        pruner = judging(space, partial(read_scores, storage.engine, study_id)).pruner
        study = optuna.load_study(study_name=name, storage=storage, pruner=pruner)
    read = Tally(study_id), Trainings(study_id), History(study_id)
    return Study(study_id, spec, space, storage, study, fence, *read)


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
    measure_named(spec.frames.measure, spec.measure_package)
    pairs = {
        "version of Optuna": (spec.optuna, OPTUNA_MAJOR),
        "objective version": (spec.objective_version, OBJECTIVE_VERSION),
    }
    _refuse_different(spec, pairs)


def _refuse_different(spec: StudySpec, pairs: Mapping[str, tuple[object, object]]) -> None:
    for what, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise UserError(
                f"this program's {what} differs from that of study {spec.name!r}: {_short(ours)} "
                f"here, {_short(theirs)} there; "
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


def _refuse_other(there: StudySpec, wanted: StudySpec) -> None:
    # the same data may lie elsewhere: its fingerprint decides; of a space its fields are named
    own = [
        name
        for name in StudySpec.model_fields
        if name not in ("source", "space", "space_fingerprint", "frames", "lessons")
    ]
    pairs = {name: (getattr(there, name), getattr(wanted, name)) for name in own}
    pairs["--learn-from"] = there.lessons.asked, wanted.lessons.asked
    for name in (each.name for each in fields(DataOptions)):
        pairs[name] = getattr(there.frames, name), getattr(wanted.frames, name)
    for part in ("domains", "control"):
        theirs = there.space[part]
        ours = wanted.space[part]
        # as in a space file; a path may be in both
        prefix = "" if part == "domains" else "control."
        pairs |= {f"{prefix}{path}": (theirs.get(path), ours.get(path)) for path in theirs | ours}
    pairs["pruning"] = there.space.get("pruning"), wanted.space.get("pruning")
    pairs["--set sampler"] = tuple(
        spec.space.get("sampler", UNSTATED.value) for spec in (there, wanted)
    )
    if "measure" in pairs and pairs["measure"][0] != pairs["measure"][1]:
        pairs = {"--score": pairs["measure"]} | {
            what: pair for what, pair in pairs.items() if what not in BY_MEASURE
        }
    differences = {what: (theirs, ours) for what, (theirs, ours) in pairs.items() if theirs != ours}
    if differences:
        listed = "; ".join(
            f"{what} is {_short(theirs)} there, {_short(ours)} wanted"
            for what, (theirs, ours) in differences.items()
        )
        more = (
            ", or give it more budget with `search extend`"
            if _extends(there, wanted, differences)
            else ""
        )
        raise UserError(
            f"study {wanted.name!r} exists with other settings: {listed}; choose another --study "
            f"name{more}"
        )


def _extends(there: StudySpec, wanted: StudySpec, differing: Collection[str]) -> bool:
    """Return whether ``search extend`` leads from one study to the other: from limits that it has
    to higher ones, and nothing else.
    """
    limits = {
        "trials": (there.trials, wanted.trials),
        "gpu_s": (there.gpu_s, wanted.gpu_s),
        "until_s": (there.until_s, wanted.until_s),
    }
    return there.purpose.searches and all(
        what in limits and 0 < limits[what][0] < limits[what][1] for what in differing
    )


def _short(value: object) -> str:
    words = str(value) or "none"
    return words[:12] if re.fullmatch("[0-9a-f]{64}", words) else words
