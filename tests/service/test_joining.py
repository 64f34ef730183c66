"""What a worker looks at before it joins: a study's own artifact store, its data, and a store that
is away is waited for.
"""

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from objectives.errors import UserError
from search.artifacts import open_blobs
from search.artifacts.marker import check_marked
from search.database.tables import CHECKPOINT, WORKER
from search.place import Place
from search.study.setup import Request, set_up
from search.study.status import read_status
from search.study.stored import Study, open_study
from search.worker.context import Orders, WorkerSettings
from search.worker.loop import run_worker
from tests.support.waiting import wait_for

Maker = Callable[..., None]
REQUEST = Request(name="small", source="synthetic:40", space="tiny", trials=4)


@pytest.fixture
def place(database: str, tmp_path: Path) -> Place:
    """Where the study ``small`` has been written."""
    place = Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")
    list(set_up(REQUEST, place))
    return place


def join(study: Study, place: Place, said: list[str], source: str = "") -> None:
    """Join, and leave before the first claim."""
    orders = Orders()
    orders.leave.set()
    run_worker(
        study,
        WorkerSettings(place.artifacts, place.cache, device="cpu", source=source),
        orders,
        said.append,
    )


def workers(study: Study) -> int:
    with study.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(WORKER)).scalar_one())


def with_weights(study: Study, sha: str) -> None:
    """The study's first trial has a checkpoint, whose blob has this name."""
    trial = study.optuna.get_trials()[0]
    with study.engine.begin() as connection:
        row = {"trial_id": trial._trial_id, "kind": "best", "blob": sha, "epoch": 1, "score": 0.5}
        connection.execute(CHECKPOINT.insert().values(row))


def test_a_worker_on_a_store_that_is_not_the_studys_is_refused_and_puts_nothing_there(
    place: Place, tmp_path: Path
) -> None:
    study, elsewhere = open_study(place.storage, "small"), tmp_path / "not mounted"
    elsewhere.mkdir()
    with pytest.raises(
        UserError, match=r"not mounted lacks the mark of the study's database .*: mount it"
    ):
        join(study, Place(place.storage, str(elsewhere), place.cache), [])
    assert not [*elsewhere.rglob("*")]
    assert workers(study) == 0
    join(study, place, [])
    assert workers(study) == 1
    study.close()


def test_a_study_with_weights_is_not_written_again_onto_an_empty_store(
    place: Place, tmp_path: Path
) -> None:
    study = open_study(place.storage, "small")
    with_weights(study, open_blobs(place.artifacts).put(b"weights"))
    elsewhere = Place(place.storage, str(tmp_path / "not mounted"), place.cache)
    with pytest.raises(UserError, match="not mounted holds nothing of study 'small'"):
        list(set_up(REQUEST, elsewhere))
    with pytest.raises(UserError, match="lacks the mark"):
        check_marked(study.engine, elsewhere.artifacts)
    study.close()


def test_a_store_older_than_the_marks_is_marked_when_its_study_is_written_again(
    place: Place,
) -> None:
    study = open_study(place.storage, "small")
    with_weights(study, open_blobs(place.artifacts).put(b"weights"))
    shutil.rmtree(Path(place.artifacts) / "databases")
    with pytest.raises(UserError, match="lacks the mark"):
        join(study, place, [])
    list(set_up(REQUEST, place))
    join(study, place, [])
    study.close()


@pytest.mark.parametrize("part", ["databases", "blobs"])
def test_a_store_that_is_away_when_a_worker_comes_is_waited_for(
    part: str, place: Place, tmp_path: Path
) -> None:
    study, said = open_study(place.storage, "small"), list[str]()
    there, aside = Path(place.artifacts) / part, tmp_path / "aside"
    there.rename(aside)
    there.write_text("no folder")  # as where a disk fails
    worker = threading.Thread(target=join, args=(study, place, said))
    worker.start()
    wait_for(
        lambda: any("artifact store" in line and "trying again" in line for line in said), 30.0
    )
    assert worker.is_alive()
    assert workers(study) == 0
    there.unlink()
    aside.rename(there)
    worker.join(60.0)
    assert workers(study) == 1
    study.close()


def test_a_worker_that_is_refused_counts_no_longer(place: Place) -> None:
    study = open_study(place.storage, "small")
    with pytest.raises(UserError, match="data differs"):
        join(study, place, [], source="synthetic:40:seed=9")
    assert [worker["alive"] for worker in read_status(study).workers] == [False]
    study.close()
