"""`search migrate` as a user calls it: workers go on in the new study, and a copied trial is
exported.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from search.artifacts import open_blobs
from search.place import Place
from search.study.status import read_status
from search.study.stored import open_study
from search.trials import checkpoints
from search.trials.checkpoints import pointers_of
from search.worker.context import Orders, WorkerSettings
from search.worker.loop import run_worker
from tests.support.studies_written import trials_of, write

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.long
def test_through_the_command_line_with_workers_and_the_export_of_a_copy(
    database: str, tmp_path: Path, search: Command
) -> None:
    place = Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")
    old = write(place, "old", trials=2, sets=("train.epochs=2",))
    settings = WorkerSettings(place.artifacts, place.cache, device="cpu", threads=1)
    run_worker(old, settings, Orders(), print)
    words = (
        *(
            "migrate",
            "--study",
            "old",
            "--to",
            "new",
            "--space",
            "tiny",
            "--trials",
            2,
            "--storage",
            database,
        ),
        *("--artifacts", place.artifacts, "--cache", place.cache),
        *(
            "--set",
            "train.epochs=2",
            "--set",
            "train.batch_size={choice: [4, 8, 16]}",
            "--set",
            "model.base_filters=8",
        ),
    )
    done = search(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "trials copied" in done.stdout
    assert "is there already" in search(*words).stdout
    new = open_study(database, "new")
    count = len(trials_of(new))
    best = read_status(new).best
    assert best is not None
    where = ("--storage", database, "--artifacts", place.artifacts, "--cache", place.cache)
    exported = search(
        "export-best", "--study", "new", "--no-test", "--out", tmp_path / "bundle", *where
    )
    # it has loaded the weights afresh, and measured the copied score again
    assert exported.returncode == 0, exported.stderr
    (origin,) = json.loads((tmp_path / "bundle" / "metrics.json").read_text())["members"]
    copied = trials_of(new)[origin["trial"]].user_attrs["migrated_from"]
    assert (origin["study"], origin["seed"]) == ("new", old.run(copied["number"]).seed), (
        "the seed that trained it"
    )
    run_worker(new, settings, Orders(), print)
    status = read_status(new)
    assert (len(trials_of(new)), status.spent) == (count + 2, new.spec.trials)
    assert all(trial.state.is_finished() for trial in trials_of(new))
    checkpoints.drop_unneeded(new.engine, open_blobs(place.artifacts), new.id)
    assert pointers_of(new.engine, trials_of(new)[0]._trial_id)
    taken = search(
        "migrate",
        "--study",
        "old",
        "--to",
        "old",
        "--space",
        "tiny",
        "--trials",
        2,
        "--storage",
        database,
    )
    assert (taken.returncode, len(taken.stderr.splitlines())) == (2, 1)
    for study in (old, new):
        study.close()
