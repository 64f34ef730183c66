"""A study whose data lies elsewhere by now: every command that reads the data is told where, and
the others need none.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from objectives.data.reading.synthetic import write_folder
from search.database.connections import NoStudyError
from search.place import Place
from search.study.setup import Request, set_up
from search.study.stored import open_study
from search.worker.context import Orders, WorkerSettings
from search.worker.loop import run_worker
from tests.support.studies_written import trials_of

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.long
def test_each_command_goes_on_with_equal_data_elsewhere(
    search: Command, database: str, tmp_path: Path
) -> None:
    there, now, other = tmp_path / "frames", tmp_path / "moved", tmp_path / "other"
    write_folder(there, 40)
    write_folder(other, 41)
    place = Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")
    list(
        set_up(
            Request(
                name="small", source=str(there), space="tiny", trials=1, sets=("train.epochs=2",)
            ),
            place,
        )
    )
    study = open_study(database, "small")
    run_worker(
        study,
        WorkerSettings(place.artifacts, place.cache, device="cpu", threads=1),
        Orders(),
        print,
    )
    there.rename(now)

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return search(*words, SEARCH_STORAGE=database, SEARCH_ARTIFACTS=place.artifacts, SEARCH_DEVICE="cpu",
                      SEARCH_CACHE=str(place.cache), SEARCH_STUDY="small")  # fmt: skip

    for source, said in ((other, "data differs"), (tmp_path / "nowhere", "nowhere")):
        refused = run("confirm", "--data", source)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
        assert said in refused.stderr
    with pytest.raises(NoStudyError):
        open_study(database, "small/confirm")
    planned = run("confirm", "--seeds", 1, "--workers", 0, "--data", now)
    assert (
        f"workers for it: search worker --study small/confirm --data {now}"
        in planned.stdout.splitlines()
    )
    done = run("confirm", "--data", now)
    assert done.returncode == 0, done.stderr
    confirming = open_study(database, "small/confirm")
    assert [trial.state.name for trial in trials_of(confirming)] == ["COMPLETE"]
    refused = run(
        "export-best",
        "--retrain",
        "all",
        "--no-test",
        "--out",
        tmp_path / "bundle",
        "--data",
        other,
    )
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
    with pytest.raises(NoStudyError):
        open_study(database, "small/confirm/retrain-0")
    for words in (
        (
            "export-best",
            "--retrain",
            "all",
            "--no-test",
            "--out",
            tmp_path / "bundle",
            "--data",
            now,
        ),
        ("export-best", "--out", tmp_path / "scored", "--data", now),
        ("evaluate", tmp_path / "scored", now, "--split", "test"),
        ("report", "--out", tmp_path / "report.html"),
    ):
        done = run(*words)
        assert done.returncode == 0, f"{words}: {done.stderr}"
    study.close()
    confirming.close()
