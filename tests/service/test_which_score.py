"""Studies that go by a weighted score, and by the class that is recalled least: from their trials to
their bundles; and who asks for another score is refused.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from objectives.bundle.evaluate import evaluate_bundle
from objectives.data.dataset import DataOptions, open_dataset
from objectives.errors import ProblemsError, UserError
from search.cli.evaluation_text import evaluation_json
from search.confirm.state import Asked, begin
from search.database.tables import EPOCH
from search.export.best import ExportRequest, export_best
from search.export.ensemble_choice import Listed
from search.place import Place
from search.study.joining import check_worker
from search.study.setup import Request, set_up
from search.study.status import read_status
from search.study.stored import Study, open_study
from search.worker.context import Orders, WorkerSettings
from search.worker.loop import run_worker
from tests.support.studies_written import FRAMES, trials_of

pytestmark = pytest.mark.long

WEIGHTED = "iou:big_rock=3,soil"
LEAST = "least-recall:soil,sand"
QUICK = ("pruning={kind: none}", "train.steps_per_epoch=6", "control.optimiser.learning_rate=3e-3")


@pytest.fixture
def place(database: str, tmp_path: Path) -> Place:
    return Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")


def request_of(score: str, **more: Any) -> Request:
    sets = ("train.epochs=3", *QUICK)
    asked = {"name": "small", "trials": 2, "sets": sets} | more
    return Request(source=FRAMES, space="tiny", frames=DataOptions(measure=score), **asked)


def trained(place: Place, score: str) -> Study:
    """A study of two trials, trained by one worker."""
    list(set_up(request_of(score), place))
    study = open_study(place.storage, "small")
    run_worker(
        study, WorkerSettings(place.artifacts, place.cache, device="cpu"), Orders(), lambda _: None
    )
    assert {trial.state.name for trial in trials_of(study)} == {"COMPLETE"}
    return study


def measured_KE(study: Study, number: int) -> dict[int, list[float]]:
    """The measure of each class in each epoch of a trial, as it is stored."""
    trial_id = trials_of(study)[number]._trial_id
    with study.engine.connect() as connection:
        rows = connection.execute(select(EPOCH).where(EPOCH.c.trial_id == trial_id))
        return {row.epoch: row.measured for row in rows}


def part_of(bundle: Path, part: str) -> dict[str, Any]:
    return dict(json.loads((bundle / "metrics.json").read_text())[part])


def test_a_weighted_score_decides_from_the_first_epoch_to_the_bundle(
    place: Place, tmp_path: Path
) -> None:
    study = trained(place, WEIGHTED)
    assert study.spec.score == (
        "weighted mean IoU of soil (1), big_rock (3), pixels of background left out"
    )
    assert read_status(study).score_words == "weighted mean IoU of big_rock (3), soil (1)"
    for trial in trials_of(study):
        ious = measured_KE(study, trial.number)
        told = {epoch: (each[1] + 3 * each[4]) / 4 for epoch, each in ious.items()}
        assert trial.intermediate_values == pytest.approx(told)
        assert trial.value == pytest.approx(max(told.values()))
        own = [trial.user_attrs[f"iou {name}"] for name in ("soil", "big_rock")]
        assert trial.value == pytest.approx((own[0] + 3 * own[1]) / 4)
        assert set(trial.user_attrs) > {"iou bedrock", "scores_without_places"}
    bundle = tmp_path / "model"
    made = export_best(study, place, bundle)
    for part in ("validation", "test"):
        scores = part_of(bundle, part)
        counting = [(scores["iou"][label], weight) for label, weight in ((1, 1), (4, 3))]
        there = [(iou, weight) for iou, weight in counting if iou is not None]
        assert scores["score"] == pytest.approx(
            sum(iou * weight for iou, weight in there) / sum(weight for _, weight in there)
        )
    card = (bundle / "README.md").read_text()
    assert "| **weighted mean IoU of big_rock (3), soil (1)** |" in card
    assert "The score is the weighted mean IoU of soil (1), big_rock (3);" in card
    assert any("--score iou:big_rock=3,soil" in line for line in made.reproduce)
    again = evaluate_bundle(bundle, FRAMES)
    assert again.evaluation.score == pytest.approx(made.validation.score, abs=1e-6)
    begin(study, place.storage, Asked(top=1, seeds=1), again=False)
    confirming = open_study(place.storage, "small/confirm")
    assert confirming.spec.frames.measure == WEIGHTED
    assert confirming.spec.score == study.spec.score
    confirming.close()
    study.close()


def test_the_class_that_is_recalled_least_decides_also_of_an_ensemble(
    place: Place, tmp_path: Path
) -> None:
    study = trained(place, LEAST)
    assert study.spec.score == "least recall of soil, sand, pixels of background left out"
    for trial in trials_of(study):
        recalls = measured_KE(study, trial.number)
        least = {epoch: min(each[1], each[3]) for epoch, each in recalls.items()}
        assert trial.intermediate_values == pytest.approx(least)
    assert max(trial.value or 0 for trial in trials_of(study)) > 0
    bundle = tmp_path / "two"
    export_best(study, place, bundle, ExportRequest(ensemble=Listed(("0", "1"), anyway=True)))
    for part in ("validation", "test"):
        scores = part_of(bundle, part)
        assert scores["score"] == min(scores["recall"][label] for label in (1, 3))
    study.close()


def test_contours_decide_but_choose_no_ensemble(place: Place, tmp_path: Path) -> None:
    study = trained(place, "boundary-iou")
    assert study.spec.score == (
        "mean boundary IoU of soil, bedrock, sand, big_rock, pixels of background left out"
    )
    bands = []
    for trial in trials_of(study):
        of_classes = measured_KE(study, trial.number)
        told = {epoch: float(np.nanmean(each[1:])) for epoch, each in of_classes.items()}
        assert trial.intermediate_values == pytest.approx(told)
        assert len(trial.user_attrs["scores_without_places"]) > 1
        bands.append(trial.user_attrs["iou soil"])
    assert max(bands) > max(trial.value or 0 for trial in trials_of(study)) > 0
    two = ExportRequest(ensemble=Listed(("0", "1"), anyway=True))
    with pytest.raises(UserError, match="chosen by single pixels, and mean boundary IoU goes by"):
        export_best(study, place, tmp_path / "two", two)
    bundle = tmp_path / "model"
    made = export_best(study, place, bundle, ExportRequest(flips="auto"))
    again = evaluate_bundle(bundle, FRAMES)
    assert again.evaluation.score == pytest.approx(made.validation.score, abs=1e-6)
    assert np.nanmean(again.inspection.measured_K[1:]) == pytest.approx(again.evaluation.score)
    assert evaluation_json(again)["boundary-iou"] != evaluation_json(again)["per_class"]
    study.close()


def test_another_score_is_another_study(place: Place, tmp_path: Path) -> None:
    list(set_up(request_of(WEIGHTED), place))
    list(set_up(request_of(WEIGHTED), place))  # the same once more
    study = open_study(place.storage, "small")
    for other in ("iou", "iou:big_rock=2,soil", LEAST):
        with pytest.raises(UserError, match=f"--score is {WEIGHTED} there, {other} wanted"):
            list(set_up(request_of(other), place))
        data = open_dataset(FRAMES, DataOptions(measure=other), place.cache)
        with pytest.raises(UserError, match="this program's data differs from that of study"):
            check_worker(study, data)
    check_worker(study, open_dataset(FRAMES, study.spec.frames, place.cache))
    assert not trials_of(study)[0].intermediate_values
    study.close()


def test_studies_teach_those_of_the_same_score_alone(place: Place) -> None:
    study = trained(place, WEIGHTED)
    learning = {"name": "new", "learn_from": "small"}
    with pytest.raises(UserError, match="has another score, weighted mean IoU of soil"):
        list(set_up(request_of(LEAST, **learning), place))
    list(set_up(request_of(WEIGHTED, **learning), place))
    assert read_status(open_study(place.storage, "new")).learned == "2 runs of small"
    study.close()


def test_what_no_study_can_go_by_is_refused_before_it_is_written(
    place: Place, tmp_path: Path
) -> None:
    said = r"must be of scored classes: 1 \(soil\), .*, got rocks$"
    with pytest.raises(ProblemsError, match=said):
        list(set_up(request_of("iou:rocks,soil"), place))
    frames = np.zeros((24, 2, 16, 32), np.uint8)
    frames[:, 0] = np.random.default_rng(0).integers(0, 255, (24, 16, 32))
    frames[:, 1, :, :16], frames[:, 1, :, 16:] = 1, 2
    frames[:2, 1, :4] = 3  # of one place
    names = np.array(["none", "soil", "sand", "rock"])
    groups = np.arange(24) // 2
    path = tmp_path / "frames.npz"
    np.savez(path, training_set=frames, training_groups=groups, class_names=names)
    whole = open_dataset(str(path), DataOptions(), place.cache)
    assert whole.pixels_in("train")[3]
    with pytest.raises(
        ProblemsError, match=r"score: the validation part must have .* none of rock"
    ):
        open_dataset(str(path), DataOptions(measure="iou:rock"), place.cache)
    open_dataset(str(path), DataOptions(measure="iou:rock,soil"), place.cache)
