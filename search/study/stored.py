"""A study in the database: writing it once, and opening it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import assert_never

import optuna
from optuna.storages import RDBStorage
from optuna.study import Study as OptunaStudy
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import Connection, Engine, insert

from objectives.data.options import AS_THEY_ARE, Dealing
from objectives.errors import UserError, WorldError
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
from search.posterior.sampler import Known
from search.process.messages import Run
from search.study.differences import refuse_other
from search.study.history import History
from search.study.known import KNOWN, find_study, read_spec
from search.study.pruners import judging, read_scores
from search.study.purpose import Confirming, Retraining, Searching
from search.study.record import Notes
from search.study.sampling import FirstTrial, first_trials, learned_on
from search.study.spec import StudySpec, stable_seed
from search.study.stopping import known_with
from search.study.tally import Tally
from search.study.trainings import Trainings
from spaces import Space, load_stored_space

MARK = {"made_by": "search"}  # attribute of Optuna's study, written before its trials

CONNECTIONS = 4  # of a command that reads or writes a study

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
                    last_epoch=purpose.candidate.last_epoch,
                    everything=True,
                    heard=purpose.heard,
                )
            case Confirming() as purpose:
                turn, place = self._turn_and_place(purpose, number)
                seed = stable_seed(self.spec.seed, "confirm", turn)
                dealing = self._dealing(purpose, turn)
                return Run(seed, dealing, purpose.candidates[place].last_epoch)
            case _:
                assert_never(self.spec.purpose)

    def _dealing(self, purpose: Confirming, turn: int) -> Dealing:
        """Return the parts of a confirmation's runs: folds, or the study's own, dealt anew for each
        seed but the first where that is wanted.
        """
        if purpose.folds:
            return Dealing(self.spec.seed, purpose.folds, turn + 1)
        anew = turn and purpose.resplit
        return Dealing(stable_seed(self.spec.seed, "split", turn)) if anew else AS_THEY_ARE

    def _turn_and_place(self, purpose: Confirming, number: int) -> tuple[int, int]:
        """Return which seed (or fold) a run of a confirmation has, and which candidate. One that is trained
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

    def known_with(self, study: OptunaStudy, trial: FrozenTrial) -> Known:
        """Return what all trials say by now, and last of all one as it is given."""
        with self.engine.connect() as connection:
            trials = self.history.read(connection)
        return known_with(self.ground, study, trial, trials, self.learned)

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
            refuse_other(read_spec(spec.name, row.spec), spec)
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
        study = optuna.load_study(study_name=name, storage=storage)
    read = Tally(study_id), Trainings(study_id), History(study_id)
    found = Study(study_id, spec, space, storage, study, fence, *read)
    scores_at = partial(read_scores, storage.engine, study_id)
    study.pruner = judging(space, scores_at, found.known_with).pruner
    return found
