"""Configs that cannot work are found before training, told to the sampler, and spend a fifth of the
budget at most.
"""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from objectives.data.options import DataOptions
from search.place import Place
from search.process.messages import Cause
from search.study.budget import beyond_budget, is_over
from search.study.setup import Request, set_up
from search.study.status import read_status
from search.study.stored import Study, open_study
from search.trials.claims import Claimed, Done, claim
from search.worker.context import Orders, WorkerSettings
from search.worker.loop import run_worker

HALF = DataOptions(size=(16, 32))

Maker = Callable[..., None]
INFEASIBLE = Cause.INFEASIBLE.value
TOO_DEEP = ("train.scale=0.25", "train.epochs=2")  # the network sees 16x32 pixels; depth 5 needs 32


def work(study: Study, root: Path, said: list[str]) -> None:
    settings = WorkerSettings(str(root / "artifacts"), root / "cache", device="cpu", threads=1)
    run_worker(study, settings, Orders(), said.append)


def test_it_is_told_as_pruned_with_its_constraint_and_cause(
    database: str, tmp_path: Path, make_study: Maker
) -> None:
    make_study(
        database,
        trials=2,
        sets=("model.depth={choice: [2, 5]}", "control.model.depth=5", *TOO_DEEP),
    )
    study, said = open_study(database, "small"), list[str]()
    work(study, tmp_path, said)
    trial = study.optuna.get_trials()[0]
    assert trial.state.name == "PRUNED"
    assert trial.user_attrs["end_cause"] == INFEASIBLE
    assert "model.depth" in trial.user_attrs["message"]
    assert trial.constraints[INFEASIBLE] > 0
    assert not trial.intermediate_values
    assert min(trial.user_attrs[key] for key in ("parameters", "multiply_adds", "memory_bytes")) > 0
    assert any("model.depth" in line for line in said)
    study.close()


@pytest.mark.parametrize(
    ("sets", "problem"),
    [
        (
            ("model.encoder=mit_b0", "model.decoder=linknet"),
            "the decoder linknet .* does not work with mit_b0",
        ),
        (("model.decoder=deeplabv3", "train.batch_size=1"), "train.batch_size must be at least 2"),
    ],
    ids=["pair", "batch"],
)
def test_a_config_that_cannot_be_measured_has_no_size(
    sets: tuple[str, ...], problem: str, database: str, tmp_path: Path, make_study: Maker
) -> None:
    make_study(database, trials=1, sets=("model.kind=smp", *sets))
    study = open_study(database, "small")
    work(study, tmp_path, [])
    (trial,) = study.optuna.get_trials()
    assert (trial.state.name, trial.user_attrs["end_cause"]) == ("PRUNED", INFEASIBLE)
    assert trial.constraints[INFEASIBLE] > 0
    assert re.search(problem, trial.user_attrs["message"])
    assert trial.user_attrs.keys().isdisjoint({"parameters", "multiply_adds", "memory_bytes"})
    study.close()


def test_a_space_in_which_nothing_works_ends_and_says_why(
    database: str, tmp_path: Path, make_study: Maker
) -> None:
    make_study(database, trials=3, sets=("model.depth=5", *TOO_DEEP))
    study = open_study(database, "small")
    assert not is_over(study)
    work(study, tmp_path, [])
    assert is_over(study)
    status = read_status(study)
    assert status.infeasible.trials == 6
    assert (status.infeasible.uncounted, status.spent, status.trials["pruned"]) == (5, 1, 1)
    assert "model.depth" in status.warnings[0]
    assert json.loads(json.dumps(status.as_json()))["infeasible"]["trials"] == 6
    study.close()


@pytest.mark.long
def test_a_study_of_recipes_alone_replaces_nothing_and_warns_all_the_same(
    database: str, tmp_path: Path
) -> None:
    """On frames of 16 x 32 pixels the control is too deep, a fifth of the budget, and so are four
    U-Nets of report B.
    """
    sets = ("control.model.depth=5", "train.epochs=1", "train.steps_per_epoch=1")
    place = Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")
    for name, recipes, warned in (("five", "B8,B10,B12,B13", True), ("one", "A1,A2,A3,A4", False)):
        asked = Request(
            name=name,
            source="synthetic:40",
            space="mars",
            trials=0,
            sets=sets,
            frames=HALF,
            recipes=recipes,
        )
        list(set_up(asked, place))
        study = open_study(database, name)
        work(study, tmp_path, [])
        status = read_status(study)
        assert (status.infeasible.trials, status.infeasible.uncounted) == (5 if warned else 1, 0)
        assert status.spent == 5
        assert [line.partition(" (")[0] for line in status.warnings] == warned * [
            "5 trials could not work, 5 of them at the budget's cost; nothing takes their place"
        ]
        study.close()


@pytest.mark.parametrize(
    ("infeasible", "budget", "beyond"), [(0, 20, 0), (4, 20, 0), (5, 20, 1), (1, 2, 0), (3, 2, 2)]
)
def test_they_spend_a_fifth_of_the_budget_at_most(
    infeasible: int, budget: int, beyond: int
) -> None:
    assert beyond_budget(infeasible, budget) == beyond


def test_a_verdict_that_a_dying_worker_left_half_told_stands(
    database: str, tmp_path: Path, make_study: Maker
) -> None:
    """The constraint is set and the worker gone: the next one could train this config, and must
    not.
    """
    make_study(database, trials=1, sets=("train.epochs=1",))
    study = open_study(database, "small")
    first = claim(study, "dying", threads=1, lease_s=0.1)
    assert isinstance(first, Claimed)
    with study.fence.holding(first.lease.trial_id, first.lease.fence):
        trial = study.trial(first.lease.trial_id)
        trial.set_user_attr("message", "too little memory there")
        trial.set_user_attr("end_cause", INFEASIBLE)
        trial.set_constraint(INFEASIBLE, 1.0)
    time.sleep(0.2)
    work(study, tmp_path, [])
    (found,) = study.optuna.get_trials()
    assert (found.state.name, found.user_attrs["message"]) == ("PRUNED", "too little memory there")
    assert claim(study, "late", threads=1) == Done()
    study.close()
