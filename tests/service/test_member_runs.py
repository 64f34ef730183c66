"""Which runs may be averaged: those with weights, and of a confirmation those that no validation
frame has trained.
"""

from collections.abc import Callable

import pytest
from sqlalchemy import insert

from objectives.errors import UserError
from search.confirm.plan import plan, write_plan
from search.database.tables import CHECKPOINT
from search.export.member_runs import member_runs
from search.posterior.draws import FromTrial
from search.study.names import confirm_name
from search.study.stored import Study, open_study


def tell(study: Study, scores: list[float], *, weights: bool = True) -> list[int]:
    """End so many trials with these scores, without training; returns their ids."""
    ids = []
    for score in scores:
        trial = study.optuna.ask()
        study.space.draw(FromTrial(trial))
        for key, value in {"end_cause": "completed", "epochs": 8, "best_epoch": 8}.items():
            trial.set_user_attr(key, value)
        study.optuna.tell(trial, score)
        ids.append(trial._trial_id)
        if weights:
            row = {
                "trial_id": ids[-1],
                "kind": "best",
                "blob": "0" * 64,
                "epoch": 8,
                "score": score,
            }
            with study.engine.begin() as connection:
                connection.execute(insert(CHECKPOINT).values(**row))
    return ids


@pytest.mark.long
@pytest.mark.parametrize("resplit", [True, False])
def test_members_are_of_the_search_or_of_its_confirmation(
    resplit: bool, database: str, make_study: Callable[..., None]
) -> None:
    make_study(database, trials=5, source="synthetic:120")
    study = open_study(database, "small")
    kept = tell(study, [0.5, 0.7])
    gone = tell(study, [0.9], weights=False)
    kept += tell(study, [0.6])
    assert member_runs(study) == [kept[1], kept[2], kept[0]]
    assert gone[0] not in member_runs(study)

    write_plan(database, plan(study, top=1, seeds=2, resplit=resplit))
    confirming = open_study(database, confirm_name("small"))
    first = tell(confirming, [0.4])
    with pytest.raises(UserError, match="'small/confirm' has 1 ended run"):
        member_runs(confirming)
    first += tell(confirming, [0.3])
    second = tell(confirming, [0.8, 0.1])
    assert member_runs(confirming) == (first if resplit else [second[0], *first, second[1]])
    study.close()
    confirming.close()
