"""Fixtures that all tests share: one embedded Postgres per session, one cloned database per test."""

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

TEMPLATE = "template_search"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of an embedded server's database ``postgres``; a prepared database ``template_search`` is beside it."""
    from search.embedded import embedded_postgres
    from search.storage import create_tables, open_engine

    with tempfile.TemporaryDirectory(prefix="search-tests-") as folder, embedded_postgres(Path(folder)) as url:
        run_sql(url, f"CREATE DATABASE {TEMPLATE}")
        prepared = database_in(url, TEMPLATE)
        engine = open_engine(prepared)
        create_tables(engine, prepared)
        engine.dispose()  # a template with an open connection cannot be cloned
        yield url


@pytest.fixture
def database(postgres_server: str) -> Iterator[str]:
    """The URL of a fresh database that has every table and no study."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    run_sql(postgres_server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield database_in(postgres_server, name)
    run_sql(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


def run_sql(url: str, statement: str) -> None:
    """Run one statement outside a transaction."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def database_in(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return url.replace("/postgres?", f"/{name}?")
