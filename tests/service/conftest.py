"""Studies on a real Postgres for the service tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage

from search.artifacts.pictures import PictureStore, open_pictures
from search.place import Place
from search.study.setup import Request, set_up
from search.study.stored import Study, open_study
from search.trials import claims

TERRAIN = "synthetic:40"


@pytest.fixture(autouse=True)
def _old_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' server has just started; to claims in this process it seems to have been there for
    long.
    """
    monkeypatch.setattr(claims, "GRACE", 0.0)


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., None]:
    """Write a study, ``small``, into a database, for workers on the test's own folder: ``tiny`` on
    a few frames.
    """

    def make(
        database: str,
        *,
        trials: int,
        sets: tuple[str, ...] = (),
        source: str = TERRAIN,
        gpu_s: float = 0.0,
        until_s: float = 0.0,
        name: str = "small",
        artifacts: str = str(tmp_path / "artifacts"),
    ) -> None:
        place = Place(database, artifacts, tmp_path / "cache")
        request = Request(
            name=name,
            source=source,
            space="tiny",
            trials=trials,
            sets=sets,
            gpu_s=gpu_s,
            until_s=until_s,
        )
        list(set_up(request, place))

    return make


@pytest.fixture
def small_study(
    database: str, make_study: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Study]:
    """An open study of four trials that nobody has begun; its artifacts are outside the test's own
    folder.
    """
    make_study(database, trials=4, artifacts=str(tmp_path_factory.mktemp("made")))
    study = open_study(database, "small")
    yield study
    study.close()


@pytest.fixture
def storage(empty_database: str) -> Iterator[RDBStorage]:
    """Optuna's own storage on a fresh database."""
    storage = RDBStorage(empty_database, engine_kwargs={"pool_pre_ping": True})
    yield storage
    storage.remove_session()
    storage.engine.dispose()


@pytest.fixture
def study(storage: RDBStorage) -> optuna.Study:
    """A study of Optuna's in that storage."""
    return optuna.create_study(storage=storage, study_name="mars", direction="maximize")


@pytest.fixture
def pictures(tmp_path: Path) -> PictureStore:
    """The pictures of the store in the test's own folder."""
    return open_pictures(str(tmp_path / "artifacts"))
