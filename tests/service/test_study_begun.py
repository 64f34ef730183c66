"""Writing a study: what a crash or a lost answer left is begun anew, and a stranger's study is left
alone.
"""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage

from objectives.errors import UserError, WorldError
from search.database.connections import (
    SETUP_LOCK,
    locked,
    open_engine,
)
from search.database.optuna_storage import (
    Fence,
    open_optuna,
)
from search.place import Place
from search.study.migrate import copies_there
from search.study.sampling import first_trials
from search.study.setup import Request, set_up
from search.study.stored import Study, open_study
from tests.support.waiting import wait_for

OTHER = ("control.optimiser.learning_rate=7.0e-3",)

KILLED = """
import os, sys
from pathlib import Path
import optuna
from search.place import Place
from search.study.setup import Request, set_up

url, artifacts, cache, left = sys.argv[1:]
calls = iter(range(100))
def die(self, *args, enqueue=optuna.Study.enqueue_trial, **settings):
    if next(calls) == int(left):
        os.kill(os.getpid(), 9)
    enqueue(self, *args, **settings)

optuna.Study.enqueue_trial = die
list(set_up(Request(name="small", source="synthetic:40", space="tiny", trials=8), Place(url, artifacts, Path(cache))))
"""


@pytest.fixture
def place(database: str, tmp_path: Path) -> Place:
    return Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")


def write(place: Place, sets: tuple[str, ...] = ()) -> Study:
    list(
        set_up(
            Request(name="small", source="synthetic:40", space="tiny", trials=8, sets=sets), place
        )
    )
    return open_study(place.storage, "small")


def begun_with(study: Study) -> list[dict[str, Any]]:
    return [trial.system_attrs["fixed_params"] for trial in study.optuna.get_trials()]


@pytest.mark.parametrize("left", [0, 1, 2])
def test_what_a_killed_init_left_is_no_part_of_the_next_ones_study(left: int, place: Place) -> None:
    words = [place.storage, place.artifacts, str(place.cache), str(left)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *words], check=False, capture_output=True
    )
    assert killed.returncode == -9, killed.stderr
    assert (
        len(
            optuna.load_study(
                study_name="small", storage=open_optuna(place.storage, Fence())
            ).get_trials()
        )
        == left
    )
    study = write(place, OTHER)
    assert begun_with(study) == [params for params, _ in first_trials(study.spec)]
    assert begun_with(study)[0]["optimiser.learning_rate"] == 7.0e-3
    study.close()


def test_a_first_trial_that_was_written_twice_is_seen_and_begun_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_one, answers = RDBStorage._create_new_trial, iter([False])

    def lose_an_answer(self: RDBStorage, *args: Any, **settings: Any) -> optuna.trial.FrozenTrial:
        if not next(answers, True):
            write_one(self, *args, **settings)
        return write_one(self, *args, **settings)

    monkeypatch.setattr(RDBStorage, "_create_new_trial", lose_an_answer)
    with pytest.raises(
        WorldError, match="4 trials were written instead of 3, as an answer was lost"
    ):
        write(place)
    study = write(place)
    assert begun_with(study) == [params for params, _ in first_trials(study.spec)]
    study.close()


@pytest.mark.parametrize(("direction", "trials"), [("maximize", 1), ("minimize", 0)])
def test_a_strangers_study_is_neither_taken_nor_deleted(
    direction: str, trials: int, place: Place, small_study: Study
) -> None:
    theirs = optuna.create_study(
        study_name="theirs", storage=small_study.storage, direction=direction
    )
    for number in range(trials):
        theirs.enqueue_trial({"x": number})
    assert copies_there(small_study, "theirs") == []
    with pytest.raises(
        UserError,
        match="'theirs' belongs to a study that this program did not make: choose another name",
    ):
        list(set_up(Request(name="theirs", source="synthetic:40", space="tiny", trials=4), place))
    assert (
        len(optuna.load_study(study_name="theirs", storage=small_study.storage).get_trials())
        == trials
    )


def test_who_waits_for_another_to_write_a_study_says_so_once(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    engine, told = open_engine(place.storage), list[str]()
    with locked(engine, SETUP_LOCK):
        second = threading.Thread(target=lambda: write(place).close())
        second.start()
        wait_for(
            lambda: told.append(capsys.readouterr().err) or "waiting for it" in "".join(told), 60.0
        )
        assert second.is_alive()
    second.join(60.0)
    engine.dispose()
    assert "".join([*told, capsys.readouterr().err]).count("another process writes a study") == 1
    open_study(place.storage, "small").close()
