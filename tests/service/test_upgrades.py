"""Tables of another version: upgraded whole or not at all, and refused in a line where a program
cannot work on them.
"""

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import psycopg2
import pytest
from optuna.storages import RDBStorage
from sqlalchemy import Connection, Engine, text

from objectives.errors import UserError
from search.cli.app import answer
from search.database.connections import (
    NoStudyError,
    open_engine,
)
from search.database.optuna_storage import (
    create_tables,
)
from search.database.schema import OLDEST, SCHEMA, OutdatedError, stored
from search.database.upgrading import upgrade
from search.place import Place
from search.program import program_version
from search.study.setup import Request, set_up
from search.study.status import read_status
from search.study.stored import MARK, open_study
from search.trials import roster
from search.worker.arrival import wait_for_study
from search.worker.context import Orders, WorkerSettings
from search.worker.loop import run_worker
from tests.support.waiting import wait_for

pytestmark = pytest.mark.long

Maker = Callable[..., None]
VERSION_1 = Path(__file__).with_name("tables_of_version_1.sql").read_text()
# what else a database of before versions may have: nothing; the columns that later revisions added
# beside those that they had left; the tables as the last of them made them
ADDED = """
    ALTER TABLE search_lease ADD COLUMN crashed_by VARCHAR[] DEFAULT '{}' NOT NULL;
    ALTER TABLE search_lease ADD COLUMN hung_by VARCHAR[] DEFAULT '{}' NOT NULL;
"""
BETWEEN = {
    "1ef228e": "",
    "columns added": ADDED,
    "made later": f"{ADDED} ALTER TABLE search_lease DROP COLUMN crashes, DROP COLUMN hangs",
}

SHAPE = {
    "columns": """
        SELECT table_name, column_name, data_type, udt_name, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name LIKE 'search_%'
    """,
    "indexes": """
        SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename LIKE 'search_%'
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE conrelid::regclass::text LIKE 'search_%'
    """,
}


def run_sql(url: str, statements: str) -> None:
    """Run statements in one transaction."""
    with psycopg2.connect(url.replace("+psycopg2", "")) as connection:
        connection.cursor().execute(statements)
    connection.close()


def shape_of(url: str) -> dict[str, list[Any]]:
    """What our tables are made of, in an order of its own."""
    engine = open_engine(url)
    with engine.connect() as connection:
        shape = {what: sorted(map(tuple, connection.execute(text(q)))) for what, q in SHAPE.items()}
    engine.dispose()
    return shape


def version_of(url: str) -> tuple[int, int]:
    engine = open_engine(url)
    with engine.connect() as connection:
        version = stored(connection)
    engine.dispose()
    return tuple(version)


@pytest.fixture
def old_database(empty_database: str) -> str:
    """A database as the revision 1ef228e left it: a study, ``small``, whose one trial runs, and has
    killed its process twice.
    """
    storage = RDBStorage(empty_database)
    study = optuna.create_study(storage=storage, study_name="small", direction="maximize")
    for key, value in MARK.items():
        study.set_user_attr(key, value)
    study.ask()
    storage.remove_session()
    storage.engine.dispose()
    run_sql(empty_database, VERSION_1)
    return empty_database


def later_program(url: str, oldest: int) -> None:
    """Upgrade the tables as a later program would that asks for ``oldest`` programs at least."""
    run_sql(url, f"UPDATE search_meta SET version = {oldest + 1}, oldest = {oldest}")


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN)
def test_an_upgraded_database_is_as_a_fresh_one(
    between: str, old_database: str, database: str
) -> None:
    run_sql(old_database, between or "SELECT 1")
    assert upgrade(old_database) == f"the tables are upgraded from version 1 to {SCHEMA}"
    fresh = shape_of(database)
    assert shape_of(old_database) == fresh
    assert len(fresh["columns"]) > 30, "the tables are looked at"
    assert version_of(old_database) == version_of(database) == (SCHEMA, OLDEST)


def test_a_study_of_before_goes_on_after_search_upgrade(old_database: str, search: Any) -> None:
    place = ("--storage", old_database)
    refused = search("status", "--study", "small", *place)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        f"search: the database's tables are version 1, this program needs {SCHEMA}: run `search "
        f"upgrade`\n"
    )
    done = search("upgrade", *place)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"the tables are upgraded from version 1 to {SCHEMA}\n"
    again = search("upgrade", *place)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == f"the tables are up to date, version {SCHEMA}\n"
    study = open_study(old_database, "small")
    assert (study.spec.name, study.spec.trials) == ("small", 4)
    assert read_status(study).trials["interrupted"] == 1
    study.close()


@pytest.mark.parametrize("between", ["", ADDED], ids=["1ef228e", "columns added"])
def test_deaths_of_before_still_count(between: str, old_database: str) -> None:
    run_sql(old_database, between or "SELECT 1")
    upgrade(old_database)
    engine = open_engine(old_database)
    with engine.connect() as connection:
        row = connection.execute(text("SELECT crashed_by, hung_by FROM search_lease")).one()
    engine.dispose()
    assert (row.crashed_by, row.hung_by) == (["", ""], [])


def test_init_upgrades_by_itself(old_database: str, tmp_path: Path) -> None:
    place = Place(old_database, str(tmp_path / "artifacts"), tmp_path / "cache")
    list(set_up(Request(name="new", source="synthetic:40", space="tiny", trials=1), place))
    assert version_of(old_database) == (SCHEMA, OLDEST)
    for name in ("small", "new"):
        open_study(old_database, name).close()


def test_a_database_without_our_tables_is_left_alone(empty_database: str) -> None:
    with pytest.raises(NoStudyError, match="run `search init` first"):
        upgrade(empty_database)
    storage = RDBStorage(empty_database)  # another program's
    storage.engine.dispose()
    run_sql(empty_database, "UPDATE alembic_version SET version_num = 'v3.0.0.d'")
    with pytest.raises(NoStudyError):
        upgrade(empty_database)
    engine = open_engine(empty_database)
    with engine.connect() as connection:
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    engine.dispose()
    assert revision == "v3.0.0.d"


def test_optunas_tables_are_upgraded_where_they_are_behind(database: str, search: Any) -> None:
    run_sql(database, "UPDATE alembic_version SET version_num = 'v3.0.0.d'")
    done = search("upgrade", "--storage", database)
    assert (done.returncode, done.stderr) == (0, "")
    said = r"the tables are up to date, version \d+; Optuna's from v3\.0\.0\.d to v\S+\n"
    assert re.fullmatch(said, done.stdout)
    run_sql(database, "UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    with pytest.raises(UserError, match=r"were made by optuna .* cannot use"):
        upgrade(database)


def commands(url: str, root: Path) -> dict[str, list[str]]:
    """Commands that read a database, or write into it."""
    place = ["--storage", url]
    artifacts = ["--artifacts", str(root / "artifacts")]
    study = ["--study", "small"]
    return {
        "status": ["status", *study, *place],
        "pause": ["pause", *study, *place],
        "report": ["report", *study, *place, *artifacts, "--out", str(root / "report.html")],
        "gc": ["gc", *place, *artifacts],
        "dashboard": ["dashboard", *place, *artifacts, "--port", "0", "--wait", "0s"],
        "init": ["init", *study, *place, *artifacts, "--data", "synthetic:40"],
        "upgrade": ["upgrade", *place],
    }


READERS = ("status", "pause", "report", "gc", "dashboard")


@pytest.mark.parametrize("name", READERS)
def test_older_tables_are_refused_in_a_line(
    name: str, old_database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(commands(old_database, tmp_path)[name]) == 2
    words = capsys.readouterr().err
    assert words.count("\n") == 1
    assert f"are version 1, this program needs {SCHEMA}: run `search upgrade`" in words


@pytest.mark.parametrize("name", [*READERS, "init", "upgrade"])
def test_tables_that_ask_for_a_later_program_are_refused_in_a_line(
    name: str, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    later_program(database, SCHEMA + 1)
    assert answer(commands(database, tmp_path)[name]) == 2
    words = capsys.readouterr().err
    assert words.count("\n") == 1
    assert (
        f"version {SCHEMA + 2}, ask for a program that knows version {SCHEMA + 1} or later, this "
        f"one knows {SCHEMA}: install a later one" in words
    )


def test_later_tables_that_this_program_may_use_are_used(
    database: str, make_study: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    run_sql(database, f"UPDATE search_meta SET version = {SCHEMA + 1}")
    make_study(database, trials=1)
    open_study(database, "small").close()
    assert answer(["upgrade", "--storage", database]) == 0
    assert f"version {SCHEMA + 1}, of a later program" in capsys.readouterr().out
    assert version_of(database) == (SCHEMA + 1, OLDEST)


def test_doctor_says_what_status_would(old_database: str, search: Any) -> None:
    done = search("doctor", "--storage", old_database)
    assert f"are version 1, this program needs {SCHEMA}: run `search upgrade`" in done.stdout


def test_a_worker_that_comes_waits_for_no_other_version(old_database: str, database: str) -> None:
    said: list[str] = []
    with pytest.raises(UserError, match="run `search upgrade`"):
        wait_for_study(old_database, "small", 60.0, said.append)
    later_program(database, SCHEMA + 1)
    with pytest.raises(OutdatedError):
        wait_for_study(database, "small", 60.0, said.append)
    assert said == []


SESSIONS = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND (NOT :waiting OR wait_event_type = 'Lock')
""")


def sessions(url: str, *, waiting: bool = False) -> int:
    """How many others have a session in a database; with ``waiting``, those that wait for a
    lock.
    """
    engine = open_engine(url)
    with engine.connect() as connection:
        count = connection.execute(SESSIONS, {"waiting": waiting}).scalar_one()
    engine.dispose()
    return int(count)


def hold(engine: Engine, table: str) -> Connection:
    """Keep a table from being altered until the connection is closed."""
    connection = engine.connect()
    connection.exec_driver_sql(f"LOCK TABLE {table} IN ACCESS SHARE MODE")
    return connection


def test_of_two_upgrades_at_once_one_waits_for_the_other(old_database: str, search: Any) -> None:
    engine = open_engine(old_database)
    held = hold(engine, "search_worker")
    both = [search.start("upgrade", "--storage", old_database) for _ in range(2)]
    wait_for(lambda: sessions(old_database, waiting=True) == 2)
    held.close()
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(out for out, _ in said) == [
        f"the tables are up to date, version {SCHEMA}\n",
        f"the tables are upgraded from version 1 to {SCHEMA}\n",
    ]
    engine.dispose()


def test_an_upgrade_killed_between_two_steps_has_done_nothing(
    old_database: str, search: Any
) -> None:
    before = shape_of(old_database)
    engine = open_engine(old_database)
    held = hold(engine, "search_worker")  # which the last step alters
    process: subprocess.Popen[str] = search.start("upgrade", "--storage", old_database)
    wait_for(lambda: sessions(old_database, waiting=True) == 1)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    held.close()
    engine.dispose()
    wait_for(lambda: sessions(old_database) == 0)
    assert shape_of(old_database) == before
    assert version_of(old_database) == (1, 1)
    assert upgrade(old_database) == f"the tables are upgraded from version 1 to {SCHEMA}"


def settings(root: Path) -> WorkerSettings:
    return WorkerSettings(
        str(root / "artifacts"), root / "cache", device="cpu", threads=1, lease_s=5.0
    )


@pytest.mark.long
def test_a_worker_that_has_become_too_old_leaves_with_code_2(
    database: str, make_study: Maker, tmp_path: Path, search: Any
) -> None:
    make_study(database, trials=400, sets=("train.epochs=1",))
    study = open_study(database, "small")
    place = ("--storage", database, "--artifacts", tmp_path / "artifacts")
    worker = search.start(
        *("worker", "--study", "small", "--device", "cpu", "--threads", "1", "--lease", "5s"),
        *(*place, "--cache", tmp_path / "cache"),
    )
    wait_for(lambda: read_status(study).trials["complete"] >= 1)
    later_program(database, SCHEMA + 1)
    _, words = worker.communicate(timeout=120)
    assert worker.returncode == 2
    assert words.count("\n") == 1
    assert "install a later one" in words
    later_program(database, SCHEMA)
    counts = read_status(study).trials
    assert (counts["running"], counts["failed"]) == (0, 0)
    assert [each["alive"] for each in read_status(study).workers] == [False]
    study.close()


def test_a_trial_is_given_back_by_a_worker_that_has_become_too_old(
    database: str, make_study: Maker, tmp_path: Path
) -> None:
    make_study(database, trials=2)
    study = open_study(database, "small")

    def upgraded(line: str) -> None:
        if line.endswith("starts"):  # in the middle of its trial
            later_program(database, SCHEMA + 1)

    with pytest.raises(OutdatedError):
        run_worker(study, settings(tmp_path), Orders(), upgraded)
    later_program(database, SCHEMA)
    counts = read_status(study).trials
    assert (counts["interrupted"], counts["failed"], counts["waiting"]) == (1, 0, 0)
    with study.engine.connect() as connection:
        assert connection.execute(text("SELECT owner FROM search_lease")).scalars().all() == [""]
    study.close()


def test_status_names_workers_of_another_version(
    database: str, make_study: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_study(database, trials=1)
    study = open_study(database, "small")
    roster.join(study.engine, study.id, "cpu", "ours")
    assert read_status(study).warnings == ()
    assert [each["program"] for each in read_status(study).as_json()["workers"]] == [
        program_version()
    ]
    for name, version in (("theirs", "0.0.9"), ("before", "")):
        roster.join(study.engine, study.id, "cpu", name)
        run_sql(database, f"UPDATE search_worker SET program = '{version}' WHERE id = '{name}'")
    (line,) = read_status(study).warnings
    assert line.startswith(
        f"2 worker(s) run another version of this program, which is {program_version()} here: "
    )
    assert "(0.0.9)" in line
    assert "(of unknown version)" in line
    roster.leave(study.engine, "theirs")
    roster.leave(study.engine, "before")
    assert read_status(study).warnings == ()
    study.close()


def test_tables_are_made_in_the_newest_version_at_once(empty_database: str, database: str) -> None:
    engine = open_engine(empty_database)
    for _ in range(2):
        create_tables(engine, empty_database)
    engine.dispose()
    assert version_of(empty_database) == (SCHEMA, OLDEST)
    assert shape_of(empty_database) == shape_of(database)
