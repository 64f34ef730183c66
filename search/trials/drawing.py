"""Drawing a trial's config: its sampler sees the study's history as it is at one moment, and all that
it draws is written at once, under the fence.

A trial whose worker dies before that has no parameters: whoever adopts it draws them, by a sampler
with the same seed.
"""

from collections.abc import Container, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, NoReturn, final

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.storages._rdb.models import TrialParamModel
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import insert

from objectives.config import Config
from search.posterior.draws import FromTrial
from search.posterior.sampler import ModelSampler
from search.study.record import Expected, Notes
from search.study.sampling import build_sampler
from search.study.stored import Study
from search.trials.leases import Lease
from search.trials.writing import put_notes, writing_for

PARAMETERS = TrialParamModel.__table__
REDRAWS = 8  # where all configs are tried, one is tried twice


@dataclass(frozen=True)
class Drawn:
    """A trial as it is stored, parameters included, and the config that they are."""

    trial: FrozenTrial
    config: Config


def draw(study: Study, lease: Lease) -> Drawn:
    """Return a claimed trial with its config: as it was drawn before, else drawn now and written. What
    repeats the config of another trial is drawn again: in a space of a few choices, TPE and neighbours
    of the control would train some twice.

    Called again because its answer was lost, it finds what it has written.

    Raises:
        LeaseLostError: Another worker has taken the trial; nothing is written.
        UpdateFinishedTrialError: Somebody else has ended it.
    """
    storage = DrawingStorage(study, study.storage.get_trial(lease.trial_id))
    for again in range(1 + REDRAWS):
        storage.begin()
        trial = storage.trial
        sampler = build_sampler(study.spec, study.ground, trial.number, again)
        drawing = optuna.load_study(study_name=study.spec.name, storage=storage, sampler=sampler)
        config = study.space.draw(FromTrial(Trial(drawing, lease.trial_id)))
        expected = _expected(sampler)  # the model has avoided what was tried, where it could
        if expected or not storage.repeats():
            break
    if storage.drawn:
        notes = Notes(expected=expected)
        with writing_for(study.engine, lease) as connection:
            connection.execute(insert(PARAMETERS), storage.drawn)
            put_notes(connection, lease, notes)
    return Drawn(trial, config)


def _expected(sampler: BaseSampler) -> Expected | None:
    """Return what a model expects of what it has proposed."""
    if not isinstance(sampler, ModelSampler) or not (found := sampler.proposal):
        return None
    return Expected(found.origin.value, round(found.mean, 6), round(found.sd, 6))


@final
class DrawingStorage(BaseStorage):
    """What Optuna needs to draw for one trial. It reads the study's history once, when a sampler
    first asks, and keeps what is drawn instead of writing each value in a transaction of its own.
    """

    def __init__(self, study: Study, trial: FrozenTrial) -> None:
        self.study = study
        self._stored = trial
        self._history: list[FrozenTrial] | None = None
        self.begin()

    def begin(self) -> None:
        """Forget what was drawn."""
        self.trial = deepcopy(self._stored)
        self.drawn: list[dict[str, Any]] = []

    def repeats(self) -> bool:
        """Whether the trial has come to the config of another one, and not because it was told to."""
        told = self.trial.system_attrs.get("fixed_params", {})
        return bool(self.drawn and self.trial.params.keys() - told.keys()) and any(
            each.params == self.trial.params
            for each in self.get_all_trials(self.study.id)
            if each.number != self.trial.number
        )

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the study's id."""
        return self.study.id

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the study's name."""
        return self.study.spec.name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return that the score is maximised."""
        return [StudyDirection.MAXIMIZE]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return the trial that is drawn for; Optuna adds to it what it draws."""
        return self.trial

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the study's history."""
        if self._history is None:
            with self.study.engine.connect() as connection:
                self._history = self.study.history.read(connection)
        return [each for each in self._history if states is None or each.state in states]

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Keep a value that was drawn."""
        self.drawn.append(
            {
                "trial_id": trial_id,
                "param_name": param_name,
                "param_value": param_value_internal,
                "distribution_json": distribution_to_json(distribution),
            }
        )

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Keep nothing: a sampler shares values here that are not written yet; ours are written
        whole.
        """

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return none: no sampler asks."""
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return none: no sampler asks."""
        return {}

    def get_all_studies(self) -> list[FrozenStudy]:
        """Refuse."""
        self._refuse()

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """Refuse."""
        self._refuse()

    def delete_study(self, study_id: int) -> None:
        """Refuse."""
        self._refuse()

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Refuse."""
        self._refuse()

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Refuse."""
        self._refuse()

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Refuse."""
        self._refuse()

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Refuse."""
        self._refuse()

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Refuse."""
        self._refuse()

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Refuse."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise AssertionError("a sampler draws, and does nothing else")
