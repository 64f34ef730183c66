"""A database that cannot hold a study, or lets its user in only so far: one line that says what to
do, and nothing is left.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import inspect, text

from objectives.errors import UserError, WorldError
from search.database.connections import (
    open_engine,
    reachable,
)
from search.database.optuna_storage import (
    Fence,
    create_tables,
    open_optuna,
)
from search.doctor.checks import examine
from search.study.setup import check_database
from search.study.stored import open_study

DENIED = r"permission denied for table .*; have its owner grant the right"
As = Callable[[str, str], str]


@pytest.fixture
def as_user(postgres_server: str) -> Iterator[As]:
    """Gives a new user, with these words in its creation, and returns a database's URL with it."""
    made = []

    def make(url: str, words: str = "") -> str:
        name = f"user_{len(made)}"
        run_sql(postgres_server, f"CREATE ROLE {name} LOGIN {words}")
        made.append((name, url))
        return url.replace("//postgres:@", f"//{name}:@")

    yield make
    for name, url in made:
        run_sql(url, f"DROP OWNED BY {name}")
        run_sql(postgres_server, f"DROP ROLE {name}")


def run_sql(url: str, statement: str) -> None:
    """Run one statement outside a transaction."""
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def doubt(url: str) -> str:
    """What init says against a database; doctor says the same, and neither makes a table."""
    engine = open_engine(url)
    before = inspect(engine).get_table_names()
    with pytest.raises(UserError) as caught:
        check_database(url)
    assert "\n" not in str(caught.value)
    (found,) = [finding for finding in examine(url, "", None, None) if finding.what == "database"]
    assert (found.good, found.found) == (False, str(caught.value))
    assert inspect(engine).get_table_names() == before
    engine.dispose()
    return str(caught.value)


def test_a_good_database_is_not_doubted(database: str, empty_database: str, as_user: As) -> None:
    run_sql(empty_database.replace("+psycopg2", ""), "ALTER SCHEMA public OWNER TO postgres")
    for url in (database, empty_database):
        check_database(url)
    worker = as_user(database, "")
    for words in ("ALL TABLES", "ALL SEQUENCES"):
        run_sql(database, f"GRANT ALL ON {words} IN SCHEMA public TO user_0")
    check_database(worker)  # every table is there, so it needs to make none


def test_init_run_and_doctor_name_the_right_that_lacks(
    empty_database: str, as_user: As, search: Any, tmp_path: Path
) -> None:
    url = as_user(empty_database, "")
    said = "user user_0 may not make tables (GRANT CREATE ON SCHEMA public TO user_0)"
    assert said in doubt(url)
    where = ["--storage", url.replace("+psycopg2", ""), "--artifacts", tmp_path / "a"]
    for command in ("init", "run"):
        done = search(command, "--study", "s", "--data", "synthetic:24", *where)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert said in done.stderr
    done = search("doctor", *where)
    assert (done.returncode, done.stderr) == (1, "")
    (line,) = [line for line in done.stdout.splitlines() if said in line]
    assert line.startswith("LACK  database")
    run_sql(empty_database.replace("+psycopg2", ""), "REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    assert "GRANT USAGE, CREATE ON SCHEMA public TO user_0" in doubt(url)


def test_rights_on_the_tables_of_another_are_named(database: str, as_user: As) -> None:
    url = as_user(database, "")
    said = doubt(url)
    assert "user user_0 may not read and write" in said
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO user_0" in said
    assert "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO user_0" in said
    with pytest.raises(UserError, match=DENIED):
        open_study(url, "small")
    run_sql(database, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO user_0")
    with pytest.raises(UserError, match=DENIED):
        write_something(url)


def write_something(url: str) -> None:
    """Make the tables, and write to one, as `search init` and workers do."""
    engine = open_engine(url)
    with reachable(url):
        create_tables(engine, url)
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM search_worker"))


def test_limits_and_read_only_servers_are_named(
    database: str, as_user: As, postgres_server: str
) -> None:
    url = as_user(database, "IN ROLE postgres")
    run_sql(postgres_server, "ALTER ROLE user_0 SET statement_timeout = '500ms'")
    assert "its statement_timeout ends what waits for 0.5 s" in doubt(url)
    engine = open_engine(url)
    with (
        pytest.raises(WorldError, match="statement_timeout"),
        reachable(url),
        engine.connect() as connection,
    ):
        connection.execute(text("SELECT pg_sleep(5)"))
    engine.dispose()
    run_sql(postgres_server, "ALTER ROLE user_0 RESET ALL")
    run_sql(postgres_server, "ALTER ROLE user_0 SET default_transaction_read_only = on")
    assert "it is read-only for user user_0, name the server that can be written" in doubt(url)
    with pytest.raises(WorldError, match="it is read-only, a standby for example"):
        write_something(url)


def test_another_encoding_is_named(postgres_server: str) -> None:
    run_sql(
        postgres_server,
        "CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
    )
    try:
        said = doubt(postgres_server.replace("/postgres?", "/bytes?"))
        assert "its encoding is SQL_ASCII, make one with CREATE DATABASE" in said
    finally:
        run_sql(postgres_server, "DROP DATABASE bytes WITH (FORCE)")


def test_an_old_server_is_named(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.database.checks.LEAST_SERVER", 99)
    assert "use 99 or later" in doubt(database)


def test_connections_that_are_refused_say_what_to_do(
    postgres_server: str, database: str, as_user: As
) -> None:
    full = as_user(database, "CONNECTION LIMIT 0")
    remedies = {
        full: "it takes no further connection: stop workers",
        database.replace(
            "//postgres:@", "//nobody:@"
        ): "give a user that the server knows in --storage",
        postgres_server.replace(
            "/postgres?", "/nowhere?"
        ): "make it with `createdb`, or name another in --storage",
    }
    for url, remedy in remedies.items():
        with pytest.raises(WorldError) as caught:
            check_database(url)
        assert str(caught.value).endswith(remedy) or remedy in str(caught.value)
        assert "\n" not in str(caught.value)


def test_tables_of_another_optuna_are_named(database: str) -> None:
    run_sql(database, "UPDATE version_info SET library_version = '4.1.0'")
    run_sql(database, "UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    for use in (write_something, lambda url: open_optuna(url, Fence())):
        with pytest.raises(
            UserError,
            match=r"were made by optuna 4\.1\.0, which optuna .* cannot use: give this program",
        ):
            use(database)
