"""Fixtures that all tests share: generated frames, and one embedded Postgres per session, one
cloned database per test.
"""

import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url

from objectives.data.dataset import DataOptions, Dataset, open_dataset

TEMPLATE = "template_search"


@pytest.fixture(scope="session")
def terrain(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A few generated frames of 64x128 with five classes, prepared."""
    return open_dataset("synthetic:60", DataOptions(), tmp_path_factory.mktemp("terrain"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of an embedded server's database ``postgres``; a prepared database
    ``template_search`` is beside it.
    """
    from search.database.connections import (
        open_engine,
    )
    from search.database.embedded import embedded_postgres
    from search.database.optuna_storage import (
        create_tables,
    )

    with (
        tempfile.TemporaryDirectory(prefix="search-tests-") as folder,
        embedded_postgres(Path(folder)) as url,
    ):
        run_sql(url, f"CREATE DATABASE {TEMPLATE}")
        prepared = database_in(url, TEMPLATE)
        engine = open_engine(prepared)
        create_tables(engine, prepared)
        engine.dispose()  # a template with an open connection cannot be cloned
        yield url


@pytest.fixture(scope="session")
def make_database(postgres_server: str) -> Callable[[], str]:
    """Makes a fresh database that has every table and no study; returns its URL. It lasts as long
    as the server.
    """

    def make() -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        run_sql(postgres_server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return database_in(postgres_server, name)

    return make


@pytest.fixture
def database(postgres_server: str, make_database: Callable[[], str]) -> Iterator[str]:
    """The URL of a fresh database that has every table and no study."""
    url = make_database()
    yield url
    run_sql(postgres_server, f"DROP DATABASE {make_url(url).database} WITH (FORCE)")


@pytest.fixture
def empty_database(postgres_server: str) -> Iterator[str]:
    """The URL of a fresh database without any table, its driver named."""
    from search.database.connections import database_url

    name = f"empty_{uuid.uuid4().hex[:12]}"
    run_sql(postgres_server, f"CREATE DATABASE {name}")
    yield database_url(database_in(postgres_server, name))
    run_sql(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """The URL of a local S3 server with a bucket ``models``; this process and its children have
    credentials for it.
    """
    import boto3
    from moto.server import ThreadedMotoServer

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_REGION"):
            patch.delenv(name, raising=False)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(
            Bucket="models"
        )
        yield endpoint
        server.stop()


class CommandLine:
    """The program as a script calls it: a process of its own, with no setting but those given and a
    home of its own.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SEARCH_")}
        self.environment = kept | {
            "SEARCH_HOME": str(home),
            "SEARCH_WAIT": "0s",
            "CUDA_VISIBLE_DEVICES": "",
            "COLUMNS": "40",
        }

    def start(self, *words: object, **settings: str) -> subprocess.Popen[str]:
        """Start a command, which leads a process group of its own and hears Ctrl-C as in a
        terminal.
        """
        command = [sys.executable, "-m", "search", *map(str, words)]
        pipe, environment = subprocess.PIPE, self.environment | settings
        # a shell's background jobs ignore SIGINT, and so would everything that tests run in one
        # start
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(
                command,
                env=environment,
                stdout=pipe,
                stderr=pipe,
                text=True,
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)

    def __call__(
        self, *words: object, limit_bytes: int = 0, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; with ``limit_bytes`` it can write no larger file, as on a disk
        that is full.
        """
        command = [sys.executable, "-m", "search", *map(str, words)]
        if limit_bytes:
            command = ["prlimit", f"--fsize={limit_bytes}", *command]
        return subprocess.run(
            command, env=self.environment | settings, capture_output=True, text=True, timeout=400
        )


@pytest.fixture(scope="session")
def search(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line, in processes."""
    return CommandLine(tmp_path_factory.mktemp("home"))


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
