"""Pictures as Optuna artifacts, on a real Postgres."""

import json
from pathlib import Path

import optuna
import pytest
from optuna.artifacts import get_all_artifact_meta
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage

from search.artifacts.pictures import PictureStore, attach_picture, open_pictures
from tests.support.painted import files, png

ABSENT = "00000000-0000-4000-8000-000000000000"


def test_a_running_trials_picture_is_an_optuna_artifact(
    study: optuna.Study, storage: RDBStorage, pictures: PictureStore
) -> None:
    trial = study.ask()
    artifact_id = attach_picture(trial, storage, pictures, png("red"), "panel.png")
    study.tell(trial, 0.5)
    (meta,) = get_all_artifact_meta(trial, storage=storage)
    assert (meta.artifact_id, meta.filename, meta.mimetype, meta.encoding) == (
        artifact_id,
        "panel.png",
        "image/png",
        None,
    )
    assert pictures.open_reader(artifact_id).read() == png("red")


def test_a_studys_picture(study: optuna.Study, storage: RDBStorage, pictures: PictureStore) -> None:
    artifact_id = attach_picture(study, storage, pictures, png("red"), "curve.png")
    assert [meta.artifact_id for meta in get_all_artifact_meta(study)] == [artifact_id]


def test_attaching_again_replaces_the_picture_of_that_name(
    study: optuna.Study, storage: RDBStorage, pictures: PictureStore, tmp_path: Path
) -> None:
    trial = study.ask()
    first = attach_picture(trial, storage, pictures, png("red"), "panel.png")
    other = attach_picture(trial, storage, pictures, png("blue"), "curve.png")
    resumed = optuna.Trial(study, trial._trial_id)
    assert attach_picture(resumed, storage, pictures, png("green"), "panel.png") == first
    assert pictures.open_reader(first).read() == png("green")
    assert {meta.artifact_id for meta in get_all_artifact_meta(trial, storage=storage)} == {
        first,
        other,
    }
    assert len(files(tmp_path)) == 2


def test_a_picture_deleted_in_the_dashboard_can_be_attached_anew(
    study: optuna.Study, storage: RDBStorage, pictures: PictureStore
) -> None:
    trial = study.ask()
    first = attach_picture(trial, storage, pictures, png("red"), "panel.png")
    # what the dashboard writes
    storage.set_trial_system_attr(trial._trial_id, f"artifacts:{first}", json.dumps(None))
    assert attach_picture(trial, storage, pictures, png("red"), "panel.png") != first


def test_a_finished_trials_pictures_stay_as_they_are(
    study: optuna.Study, storage: RDBStorage, pictures: PictureStore, tmp_path: Path
) -> None:
    trial = study.ask()
    artifact_id = attach_picture(trial, storage, pictures, png("red"), "panel.png")
    study.tell(trial, 0.5)
    for filename in ("panel.png", "late.png"):
        with pytest.raises(UpdateFinishedTrialError):
            attach_picture(trial, storage, pictures, png("green"), filename)
    assert pictures.open_reader(artifact_id).read() == png("red")
    assert len(files(tmp_path)) == 1


def test_bytes_come_before_the_row(
    study: optuna.Study, storage: RDBStorage, tmp_path: Path
) -> None:
    """Where the bytes cannot be stored, the dashboard must not list a picture."""
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "pictures").write_text("a file where the folder must be")
    trial = study.ask()
    with pytest.raises(Exception, match="cannot write"):
        attach_picture(
            trial, storage, open_pictures(str(tmp_path / "artifacts")), png("red"), "panel.png"
        )
    assert get_all_artifact_meta(trial, storage=storage) == []


def test_missing_pictures(pictures: PictureStore) -> None:
    pictures.remove(ABSENT)
    for artifact_id in (ABSENT, "../../../etc/passwd", ""):
        with pytest.raises(ArtifactNotFound):
            pictures.open_reader(artifact_id)
