"""Confirming on folds: each candidate once beside each of them, paired by fold, the sealed part
sealed.
"""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from objectives.bundle.belief_in_one import Confirmed
from objectives.bundle.evaluate import evaluate_bundle
from objectives.data.dataset import DataOptions, open_dataset
from objectives.data.options import Dealing
from objectives.data.reading.synthetic import write_folder
from objectives.data.resplit import dealt_parts
from objectives.errors import ProblemsError, UserError
from search.artifacts.pictures import open_pictures
from search.cli.actions.confirm import confirm, standing_json
from search.cli.commands.confirm import ConfirmOptions
from search.confirm.cell import Cell
from search.confirm.plan import cells, plan_of
from search.confirm.standing import read_standing
from search.confirm.state import begin
from search.confirm.wanted import Asked
from search.export.best import ExportRequest, export_best
from search.place import Place
from search.posterior.draws import FromTrial
from search.report.page import write_report
from search.study.stored import Study, open_study
from search.worker.context import Orders, WorkerSettings
from search.worker.loop import run_worker
from tests.support.waiting import wait_for

Maker = Callable[..., None]
EPOCHS = 2
SOURCE = "synthetic:120"


def tell(study: Study, *scores: float) -> None:
    """End trials of a search with these scores, without training."""
    for score in scores:
        trial = study.optuna.ask()
        study.space.draw(FromTrial(trial))
        for key, value in {"end_cause": "completed", "epochs": EPOCHS, "best_epoch": 1}.items():
            trial.set_user_attr(key, value)
        study.optuna.tell(trial, score)


def end(confirming: Study, *ends: float | str) -> None:
    """End runs in the order of the plan, each with a score or the cause of its failure."""
    for told in ends:
        trial = confirming.optuna.ask()
        trial.set_user_attr("end_cause", "completed" if isinstance(told, float) else told)
        state = TrialState.COMPLETE if isinstance(told, float) else TrialState.FAIL
        confirming.optuna.tell(trial, told if isinstance(told, float) else None, state=state)


@pytest.fixture
def place(database: str, tmp_path: Path) -> Place:
    return Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")


@pytest.fixture
def searched(database: str, make_study: Maker) -> Study:
    make_study(database, trials=3, sets=(f"train.epochs={EPOCHS}",), source=SOURCE)
    study = open_study(database, "small")
    tell(study, 0.5, 0.7, 0.6)
    return study


def options(place: Place, **more: object) -> ConfirmOptions:
    return ConfirmOptions(
        study="small",
        storage=place.storage,
        artifacts=place.artifacts,
        cache=place.cache,
        workers=0,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.long
def test_each_candidate_is_trained_and_judged_on_each_fold(
    searched: Study, place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    confirm(options(place, top=1, folds=3))
    assert "study 'small/confirm': trials 0, 1, each on 3 folds, 6 runs" in capsys.readouterr().out
    confirming = open_study(place.storage, "small/confirm")
    runs = [confirming.run(number) for number in range(6)]
    assert [run.dealing for run in runs] == [Dealing(0, 3, fold) for fold in (1, 1, 2, 2, 3, 3)]
    assert len({run.seed for run in runs}) == 3
    assert [run.seed for run in runs[::2]] == [run.seed for run in runs[1::2]]
    settings = WorkerSettings(place.artifacts, place.cache, device="cpu", threads=1)
    run_worker(confirming, settings, Orders(), print)
    found = cells(confirming)
    assert [(cell.candidate, cell.seed, cell.cause) for cell in found] == [
        (candidate, fold, "completed") for fold in range(3) for candidate in (0, 1)
    ]
    data = open_dataset(SOURCE, DataOptions(), place.cache)
    folds = [dealt_parts(data, Dealing(0, 3, fold + 1))["validation"] for fold in range(3)]
    groups = [set(data.groups[fold].tolist()) for fold in folds]
    for cell in found:  # paired: both candidates on the very places of the fold
        assert cell.part == found[2 * cell.seed].part
    assert len({cell.part for cell in found}) == 3
    assert len(set().union(*groups)) == sum(map(len, groups))
    # the first fold's run is handed out, on its parts: the bundle reaches its score on them
    made = export_best(searched, place, tmp_path / "out", ExportRequest())
    first = next(cell for cell in found if (cell.candidate, cell.seed) == (made.trial, 0))
    assert made.validation.score == first.score
    assert isinstance(made.belief, Confirmed)
    assert made.belief.folds
    assert "Trained again on 3 fold(s)" in (tmp_path / "out/README.md").read_text()
    frames = json.loads((tmp_path / "out/frames.json").read_text())
    hashes = {part: {data.frame_hashes[i] for i in data.parts[part]} for part in data.parts}
    assert set(frames["test"]) == hashes["test"]  # sealed as before
    assert set(frames["validation"]) == {data.frame_hashes[index] for index in folds[0]}
    assert not set(frames["train"]) & (set(frames["validation"]) | hashes["test"])
    assert evaluate_bundle(tmp_path / "out", SOURCE).evaluation.score == pytest.approx(first.score)
    told = standing_json(read_standing(searched, place.storage))
    assert told["state"] == "ended"
    assert told["parts"][0].startswith("3 folds validated on places of their own each")
    assert told["choice"]["interval"] is not None
    write_report(searched, place.storage, open_pictures(place.artifacts), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "control were trained again on 3 folds" in page
    assert "Each candidate was trained again on the same folds as the others" in page
    assert "fold 3: " in page
    for study in (searched, confirming):
        study.close()


def test_the_same_command_goes_on_and_another_is_refused(searched: Study, database: str) -> None:
    begun = begin(searched, database, Asked(top=1, folds=3), again=False)
    confirming = open_study(database, begun.name)
    end(confirming, 0.5, "crashed", 0.5, 0.7, 0.5, 0.6)
    standing = read_standing(searched, database)
    assert standing
    said = "Without a score on the first fold, and so not to be chosen: trials 1 (crashed)"
    assert any(line.startswith(said) for line in standing.remarks)
    lines = begin(searched, database, Asked(folds=3), again=False).lines
    assert lines == (
        "study 'small/confirm' goes on",
        "1 run(s) without a score are trained again: trial 1, fold 1",
    )
    (repeated,) = confirming.optuna.get_trials(states=[TrialState.WAITING])
    assert confirming.run(repeated.number) == confirming.run(1)
    for asked, message in (
        (Asked(folds=4), "--folds is 3 there, 4 wanted"),
        (Asked(seeds=3), "--seeds is not used there, 3 wanted"),
        (Asked(resplit=False), "--resplit is not used there, off wanted"),
    ):
        with pytest.raises(UserError, match=message):
            begin(searched, database, asked, again=False)
    end(confirming, 0.9)
    again = begin(searched, database, Asked(), again=True)
    assert again.lines[0].startswith("a new plan would be of the same runs")
    for asked, seeds, folds in (
        (Asked(seeds=2), 2, 0),
        (Asked(folds=2), 2, 2),
        (Asked(top=2), 2, 2),
        (Asked(resplit=False), 3, 0),
    ):
        planned = begin(searched, database, asked, again=True)
        study = open_study(database, planned.name)
        assert (plan_of(study.spec).seeds, plan_of(study.spec).folds) == (seeds, folds)
        study.close()
    for study in (searched, confirming):
        study.close()


@pytest.mark.parametrize("asked", [{"seeds": 3}, {"resplit": True}, {"resplit": False}])
def test_folds_exclude_seeds(asked: dict[str, object]) -> None:
    with pytest.raises(UserError, match="--folds trains each candidate once on each fold"):
        Asked(folds=3, **asked)  # type: ignore[arg-type]


def test_more_folds_than_groups_are_refused_before_anything_is_planned(
    database: str, make_study: Maker, place: Place
) -> None:
    make_study(database, trials=1, source="synthetic:40")
    study = open_study(database, "small")
    tell(study, 0.5)
    with pytest.raises(ProblemsError, match=r"--folds: must be at most the \d+ groups .*, got 90"):
        confirm(options(place, folds=90))
    assert read_standing(study, database) is None
    study.close()


@pytest.mark.parametrize("given", ["splits", "none"])
def test_a_given_validation_part_is_kept_unless_told_otherwise(
    database: str, make_study: Maker, tmp_path: Path, given: str
) -> None:
    write_folder(tmp_path / "frames", 48)
    if given == "splits":
        rows = [
            f"{number:05d}.png,{('train', 'train', 'val', 'test')[number % 4]}"
            for number in range(60)
        ]
        (tmp_path / "frames/splits.csv").write_text("\n".join(["file,part", *rows]))
    make_study(database, trials=1, source=str(tmp_path / "frames"))
    study = open_study(database, "small")
    kept = given == "splits"
    assert study.spec.given == (("train", "validation", "test") if kept else ())
    tell(study, 0.5)
    begun = begin(study, database, Asked(), again=False)
    said = "the validation part is given, so that every seed keeps it: --resplit deals training"
    assert any(line.startswith(said) for line in begun.lines) == kept
    confirming = open_study(database, begun.name)
    assert plan_of(confirming.spec).resplit != kept
    confirming.close()
    folds = begin(study, database, Asked(folds=2), again=True)
    dealt = "the given training and validation parts are dealt into 2 folds"
    assert (dealt in folds.lines) == kept
    anew = begin(study, database, Asked(resplit=True), again=True)
    assert not any("given" in line for line in anew.lines)
    confirming = open_study(database, anew.name)
    assert plan_of(confirming.spec).resplit
    for each in (study, confirming):
        each.close()


@pytest.mark.long
def test_a_killed_confirmation_goes_on_where_it_stood(
    search: Any,
    searched: Study,
    place: Place,
) -> None:
    words = ("confirm", "--study", "small", "--top", "1", "--folds", "3", "--device", "cpu")
    places = ("--storage", place.storage, "--artifacts", place.artifacts)
    places += ("--cache", str(place.cache))
    running = search.start(*words, *places)
    wait_for(lambda: any(cell.scored for cell in _cells(place)), 120)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    before = {(cell.candidate, cell.seed): cell.score for cell in _cells(place) if cell.scored}
    done = search(*words, *places)
    assert done.returncode == 0, done.stderr
    assert "study 'small/confirm' goes on" in done.stdout
    after = {(cell.candidate, cell.seed): cell.score for cell in _cells(place)}
    assert len(after) == 6
    assert before.items() <= after.items()
    searched.close()


def _cells(place: Place) -> list[Cell]:
    try:
        confirming = open_study(place.storage, "small/confirm")
    except UserError:
        return []
    try:
        return cells(confirming)
    finally:
        confirming.close()
