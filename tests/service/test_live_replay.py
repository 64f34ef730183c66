"""A study that was trained for real is made again from what its trials scored: the same proposals with the same
expectations, the same verdicts, the same choice.
"""

from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from search.posterior.draws import FromTrial
from search.posterior.ground import SpaceGround
from search.posterior.sampler import ModelSampler
from search.study.beliefs import read_beliefs
from search.study.pruners import judging
from search.study.record import LEFT_OUT
from search.study.rungs import JUDGED
from search.study.sampling import build_sampler, first_trials
from search.study.spec import StudySpec
from spaces import load_stored_space
from tests.search_bench.live import FOLDER, LiveStudy, load
from tests.support.report_studies import write_study

RECORDED = sorted(path.stem for path in FOLDER.glob("*.json"))


@pytest.fixture(params=RECORDED)
def live(request: pytest.FixtureRequest) -> LiveStudy:
    return load(request.param)


def test_one_is_recorded() -> None:
    assert RECORDED


def test_the_same_is_proposed_and_judged(live: LiveStudy) -> None:
    spec = StudySpec.model_validate(live.spec)
    space = load_stored_space(spec.space)
    ground = SpaceGround(space)
    study = optuna.create_study(direction="maximize", pruner=judging(space).pruner)
    for first in first_trials(spec):
        study.enqueue_trial(dict(first.params))
    proposed = 0
    for number, recorded in enumerate(live.trials):
        sampler = build_sampler(spec, ground, number)
        study.sampler = sampler
        trial = study.ask()
        space.draw(FromTrial(trial))
        assert trial.params == recorded.params, number
        if recorded.expected:
            proposed += 1
            assert isinstance(sampler, ModelSampler)
            found = sampler.proposal
            assert found
            assert found.origin.value == recorded.expected["by"]
            assert found.mean == pytest.approx(recorded.expected["mean"], abs=1e-5)
            assert found.sd == pytest.approx(recorded.expected["sd"], abs=1e-5)
        for epoch, score in enumerate(recorded.scores, start=1):
            trial.report(score, epoch)
            trial.should_prune()
        assert verdicts_of(study, number) == recorded.verdicts
        state = TrialState[recorded.state]
        value = max(recorded.scores) if state is TrialState.COMPLETE else None
        study.tell(trial, value, state=state)
    assert proposed >= 2


def verdicts_of(study: optuna.Study, number: int) -> dict[str, Any]:
    attributes = study.get_trials()[number].system_attrs
    return {key: value for key, value in attributes.items() if key.startswith(JUDGED)}


def test_the_same_is_handed_out(live: LiveStudy, database: str) -> None:
    spec = StudySpec.model_validate(live.spec)
    space = load_stored_space(spec.space)
    drawing = optuna.create_study()
    written = []
    for recorded in live.trials:
        drawing.enqueue_trial(dict(recorded.params))
        drawn = drawing.ask()
        space.draw(FromTrial(drawn))
        state = TrialState[recorded.state]
        written.append(
            create_trial(
                state=state,
                value=max(recorded.scores) if state is TrialState.COMPLETE else None,
                params=drawn.params,
                distributions=drawn.distributions,
                intermediate_values=dict(enumerate(recorded.scores, start=1)),
                user_attrs={LEFT_OUT: list(recorded.left_out)} if recorded.left_out else {},
            )
        )
    study = write_study(database, spec, written, leases=False)
    best = read_beliefs(study).ranked[0]
    assert best.number == live.winner
    assert best.believed.mean == pytest.approx(live.believed["mean"], abs=1e-5)
    assert best.believed.sd == pytest.approx(live.believed["sd"], abs=1e-5)
    study.close()
