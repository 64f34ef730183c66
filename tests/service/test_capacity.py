"""Connections of a real server, counted; and the line that commands say of them."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from search.cli.app import answer
from search.database.capacity import ask_capacity
from search.database.connections import open_engine
from search.doctor.checks import examine
from search.trials.roster import join

TOO_MANY = """
    INSERT INTO search_worker (id, study_id, host, name, device)
    SELECT 'far' || number, 0, 'elsewhere', 'far', 'cpu' FROM generate_series(1, 400) AS number
"""
ROOM = "connections: enough for "
WARNING = "raise max_connections, or put PgBouncer before it"


def fill_roster(url: str) -> None:
    """Let more workers be at work than the server has connections for."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(TOO_MANY)


def test_only_what_others_hold_is_taken_from_workers(database: str, postgres_server: str) -> None:
    engine = open_engine(database)
    join(engine, 1, "cpu", "one")
    engine.dispose()
    before = ask_capacity(database)
    assert (before.alive, before.pooled) == (1, False)
    with (
        closing(psycopg2.connect(database, application_name="search")),
        closing(psycopg2.connect(database, application_name="search")),
    ):
        assert ask_capacity(database) == before  # a worker's two
        with (
            closing(psycopg2.connect(database, application_name="search")),  # a dashboard's, say
            closing(psycopg2.connect(database)),
            closing(psycopg2.connect(postgres_server, application_name="search")),
        ):
            assert ask_capacity(database).others == before.others + 3


def test_a_user_without_rights_counts_the_same(database: str) -> None:
    with closing(psycopg2.connect(database)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE looker LOGIN")
            cursor.execute("GRANT SELECT ON search_worker TO looker")
        try:
            seen = ask_capacity(database.replace("//postgres:@", "//looker:@"))
            mine = ask_capacity(database)
            assert (seen.most, seen.reserved, seen.others) == (
                mine.most,
                mine.reserved,
                mine.others,
            )
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DROP OWNED BY looker; DROP ROLE looker")


def test_init_and_doctor_say_it_in_a_line_and_warn(
    database: str,
    make_study: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["init", "--storage", database, "--study", "s", "--data", "synthetic:24"]
    words += ["--space", "tiny", "--trials", "2", "--artifacts", str(tmp_path / "a")]
    words += ["--cache", str(tmp_path / "c")]
    for warns in (False, True):
        if warns:
            fill_roster(database)
        assert answer(words) == 0
        lines = capsys.readouterr().out.splitlines()
        assert sum(line.startswith(ROOM) for line in lines) == 1
        assert sum(line.endswith(WARNING) for line in lines) == warns
        (found,) = [each for each in examine(database, "", None, None) if each.what == "database"]
        assert found.good
        assert ROOM in found.found
        assert found.found.endswith(WARNING) == warns
        assert "\n" not in found.found


def test_run_warns_of_those_that_it_starts(search: Any, database: str, tmp_path: Path) -> None:
    fill_roster(database)
    words = ["--storage", database, "--data", "synthetic:40", "--space", "tiny", "--trials", "1"]
    words += ["--artifacts", str(tmp_path / "a"), "--cache", str(tmp_path / "c")]
    words += ["--set", "train.epochs=1", "--set", "train.steps_per_epoch=1", "--device", "cpu"]
    done = search("run", *words)
    assert done.returncode == 0, done.stderr
    assert sum(line.startswith(ROOM) for line in done.stdout.splitlines()) == 1
    (line,) = [line for line in done.stderr.splitlines() if "warning" in line]
    assert "401 workers take up to 802 connections" in line
