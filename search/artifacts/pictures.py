"""Pictures of trials and studies, as optuna-dashboard lists them: bytes in the artifact store,
metadata in the database.

Optuna's own ``upload_artifact`` writes the row first, so that a crash leaves a broken picture; here
the bytes go first. One trial has one picture of a name: attaching it again (after a resume or a
lost answer) replaces the bytes under the same id.
"""

import io
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, BinaryIO

from optuna import Study, Trial
from optuna.artifacts import ArtifactMeta
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from search.artifacts import BlobMissingError, Objects, open_objects
from search.database.connections import LeaseLostError

_ROW = "artifacts:"  # Optuna's prefix of the system attributes that hold an artifact's metadata


class PictureStore:
    """Optuna's artifact-store protocol over a folder or an S3 prefix; ids are hexadecimal digits
    and dashes.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Return the artifact's bytes.

        Raises:
            ArtifactNotFound: There is none.
        """
        try:
            return io.BytesIO(self._objects.read(artifact_id))
        except BlobMissingError as error:
            raise ArtifactNotFound(str(error)) from None

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Store the artifact, visible only when complete."""
        self._objects.write(artifact_id, content_body.read())

    def remove(self, artifact_id: str) -> None:
        """Remove the artifact. A missing one is fine: somebody else was faster, or its bytes never
        came.
        """
        self._objects.delete(artifact_id)


def open_pictures(url: str) -> PictureStore:
    """Return the picture store of the artifacts at ``url``.

    Raises:
        UserError: The URL is wrong.
    """
    return PictureStore(open_objects(url, "pictures"))


def attach_picture(
    owner: Trial | FrozenTrial | Study,
    storage: BaseStorage,
    store: PictureStore,
    png: bytes,
    filename: str,
) -> str:
    """Show a PNG in the dashboard with a trial that has not ended, or with a study; returns the
    artifact's id.

    Raises:
        UpdateFinishedTrialError: The trial has ended; its pictures stay as they are.
        LeaseLostError: Another worker has the trial; its pictures stay as they are.
        StoreAwayError: The picture could not be stored.
    """
    existing = pictures_of(_rows(owner, storage)).get(filename)
    artifact_id = existing or str(uuid.uuid4())
    meta = ArtifactMeta(
        artifact_id=artifact_id, filename=filename, mimetype="image/png", encoding=None
    )
    key = _ROW + artifact_id
    row = json.dumps(asdict(meta))
    if existing:
        # the same row again: refused, before the bytes change, to who may not write
        _write_row(owner, storage, key, row)
    store.write(artifact_id, io.BytesIO(png))
    if not existing:
        try:
            _write_row(owner, storage, key, row)
        # after any other error the row may be there: keep the bytes
        except (UpdateFinishedTrialError, LeaseLostError):
            store.remove(artifact_id)
            raise
    return artifact_id


def _rows(owner: Trial | FrozenTrial | Study, storage: BaseStorage) -> dict[str, Any]:
    if isinstance(owner, Study):
        return storage.get_study_system_attrs(owner._study_id)
    return storage.get_trial_system_attrs(owner._trial_id)


def _write_row(
    owner: Trial | FrozenTrial | Study, storage: BaseStorage, key: str, value: str
) -> None:
    if isinstance(owner, Study):
        storage.set_study_system_attr(owner._study_id, key, value)
    else:
        storage.set_trial_system_attr(owner._trial_id, key, value)


def pictures_of(rows: Mapping[str, Any]) -> dict[str, str]:
    """Return the ids of the pictures by file name, from the system attributes of a trial or a
    study.

    A row that holds null was deleted in the dashboard.
    """
    metas = [json.loads(value) for key, value in rows.items() if key.startswith(_ROW)]
    return {
        str(meta["filename"]): str(meta["artifact_id"])
        for meta in reversed(metas)
        if meta is not None
    }
