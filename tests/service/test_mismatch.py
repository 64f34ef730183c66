"""Whatever decides a study and differs where a worker comes from keeps it out, and is named."""

import json
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from objectives.data.dataset import DataOptions, open_dataset
from objectives.errors import UserError
from search.confirm.state import begin
from search.confirm.wanted import Asked
from search.study.differences import refuse_other
from search.study.joining import check_worker
from search.study.stored import Study, create_study, open_study
from spaces import load_space

Maker = Callable[..., None]
Command = Callable[..., subprocess.CompletedProcess[str]]
OTHER = {
    "optuna": ("4", "version of Optuna differs"),
    "objective_version": ("0", "objective version differs"),
    "space_fingerprint": ("0" * 64, "space differs"),
    "data_fingerprint": ("0" * 64, "data differs"),
    "score": ("pixel accuracy", "score differs"),
}


@pytest.fixture(params=sorted(OTHER))
def other(
    request: pytest.FixtureRequest, database: str, make_study: Maker
) -> Iterator[tuple[Study, str]]:
    """A study that was written where one thing is another, and what a worker from here has to say
    of it.
    """
    make_study(database, trials=1)
    change, said = OTHER[request.param]
    study = rewritten(database, request.param, change)
    yield study, said
    study.close()


def rewritten(database: str, field: str, value: str) -> Study:
    before = open_study(database, "small")
    with before.engine.begin() as connection:
        words = {"spec": json.dumps(before.spec.model_dump(mode="json") | {field: value})}
        connection.execute(text("UPDATE search_study SET spec = :spec"), words)
    before.close()
    return open_study(database, "small")


def test_a_worker_that_differs_in_one_thing_is_refused_and_it_is_named(
    other: tuple[Study, str], tmp_path: Path
) -> None:
    study, said = other
    data = open_dataset(study.spec.source, study.spec.frames, tmp_path)
    with pytest.raises(
        UserError, match=f"this program's {said} from that of study 'small': .* here, .* there"
    ):
        check_worker(study, data)


def test_the_command_says_it_in_a_line_and_claims_nothing(
    database: str, make_study: Maker, search: Command, tmp_path: Path
) -> None:
    make_study(database, trials=1)
    study = rewritten(database, "optuna", "4")
    place = (
        "--storage",
        database,
        "--artifacts",
        tmp_path / "artifacts",
        "--cache",
        tmp_path / "cache",
    )
    done = search("worker", "--study", "small", "--device", "cpu", *place)
    assert done.returncode == 2, done.stderr
    assert "version of Optuna differs" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert [trial.state.name for trial in study.optuna.get_trials()] == ["WAITING"]
    study.close()


def test_no_confirmation_is_planned_that_no_worker_could_train(
    database: str, make_study: Maker
) -> None:
    make_study(database, trials=1)
    study = rewritten(database, "objective_version", "0")
    with pytest.raises(UserError, match="objective version differs"):
        begin(study, database, Asked(), again=False)
    with study.engine.connect() as connection:
        assert connection.execute(text("SELECT study_name FROM studies")).scalars().all() == [
            "small"
        ]
    study.close()


@pytest.mark.parametrize(
    ("change", "extends"),
    [
        ({"trials": 5}, True),
        ({"trials": 5, "gpu_s": 120.0}, True),
        ({"trials": 3}, False),  # never less
        ({"trials": 5, "frames": DataOptions(seed=1)}, False),
        ({"until_s": 60.0}, False),  # it has no deadline
    ],
)
def test_more_budget_is_offered_where_nothing_else_is_asked(
    database: str, make_study: Maker, change: dict[str, Any], extends: bool
) -> None:
    make_study(database, trials=4, gpu_s=60.0)
    study = open_study(database, "small")
    with pytest.raises(UserError, match="exists with other settings") as refused:
        create_study(database, study.spec.model_copy(update=change))
    assert ("`search extend`" in str(refused.value)) == extends
    study.close()


def test_a_study_of_older_defaults_tells_how_to_go_on_with_it(
    database: str, make_study: Maker
) -> None:
    """What is said can be typed as it is, and leads there."""
    make_study(database, trials=4)
    study = open_study(database, "small")
    before = study.spec
    old = load_space("small", ["pruning={kind: halving}", "sampler=tpe", "steps=[]"]).to_dict()
    new = load_space("small").to_dict()
    assert not {"pruning", "sampler", "steps"} & old.keys()
    with pytest.raises(UserError, match=r"--set steps is \[\] there, 4 of them wanted") as refused:
        refuse_other(
            before.model_copy(update={"space": old}), before.model_copy(update={"space": new})
        )
    _, _, command = str(refused.value).partition(", or go on with ")
    words = shlex.split(command)
    assert words[::2] == ["--set"] * 3
    assert load_space("small", words[1::2]).to_dict() == old
    with pytest.raises(UserError, match=r"--set steps is 4 of them there, \[\] wanted") as refused:
        refuse_other(
            before.model_copy(update={"space": new}), before.model_copy(update={"space": old})
        )
    assert "go on with" not in str(refused.value), "no option writes steps as they are stored"
    more = {"space": new, "trials": 5}
    with pytest.raises(UserError) as refused:
        refuse_other(before.model_copy(update={"space": old}), before.model_copy(update=more))
    assert "go on with" not in str(refused.value)
    study.close()
