"""The dashboard's server: what it serves, and how it bears an empty, an absent and a failing
database.
"""

import signal
import socket
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from sqlalchemy import create_engine, make_url, text

from objectives.errors import WorldError
from search.artifacts.pictures import PictureStore, attach_picture
from search.dashboard.app import open_tables
from tests.support.dashboard_process import ask, dashboard, end, url_of
from tests.support.painted import files, png


def fetch(url: str) -> tuple[int, bytes]:
    answer = ask(url)
    return answer.status, answer.body


def test_dashboard_serves_health_and_pictures_and_ends_at_once(
    study: optuna.Study,
    storage: RDBStorage,
    pictures: PictureStore,
    empty_database: str,
    tmp_path: Path,
) -> None:
    trial = study.ask()
    kept, lost = (
        attach_picture(trial, storage, pictures, png(name), f"{name}.png")
        for name in ("red", "blue")
    )
    study.tell(trial, 0.5)
    pictures.remove(lost)
    at = f"artifacts/{study._study_id}/{trial._trial_id}"
    with dashboard(empty_database, tmp_path / "artifacts") as process:
        url = url_of(process)
        assert fetch(f"{url}/health") == (200, b"ok\n")
        assert fetch(f"{url}/{at}/{kept}") == (200, png("red"))
        assert fetch(f"{url}/{at}/{lost}")[0] == 404
        assert ask(url).headers["Location"] == "/dashboard"
        assert b"<html" in fetch(f"{url}/dashboard")[1]
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as idle:
            idle.sendall(b"GET / HTTP/1.0\r\n")  # a reader that never ends its request
            time.sleep(0.2)
            seconds, said = end(process)
    assert seconds < 3
    assert said == ""


def test_dashboard_says_in_one_line_that_the_artifacts_cannot_be_read(
    study: optuna.Study,
    storage: RDBStorage,
    pictures: PictureStore,
    empty_database: str,
    tmp_path: Path,
) -> None:
    trial = study.ask()
    artifact_id = attach_picture(trial, storage, pictures, png("red"), "panel.png")
    (file,) = files(tmp_path)
    file.unlink()
    file.mkdir()
    with dashboard(empty_database, tmp_path / "artifacts") as process:
        assert (
            fetch(f"{url_of(process)}/artifacts/{study._study_id}/{trial._trial_id}/{artifact_id}")[
                0
            ]
            == 503
        )
        _, said = end(process)
    assert said.count("\n") == 1
    assert f"cannot read {file}" in said


def test_dashboard_waits_for_the_tables_of_an_empty_database(
    empty_database: str, tmp_path: Path
) -> None:
    with dashboard(empty_database, tmp_path) as process:
        assert process.stderr is not None
        assert "waiting for `search init`" in process.stderr.readline()
        assert process.poll() is None
        storage = RDBStorage(empty_database)
        storage.engine.dispose()
        assert fetch(f"{url_of(process)}/api/studies")[0] == 200
        _, said = end(process)
    assert said == ""


def test_dashboard_that_waits_ends_at_once(empty_database: str, tmp_path: Path) -> None:
    with dashboard(empty_database, tmp_path) as process:
        assert process.stderr is not None
        process.stderr.readline()
        seconds, said = end(process)
    assert seconds < 3
    assert said == ""


@pytest.mark.long
def test_dashboard_that_comes_before_the_database_waits_and_bears_another_outage(
    empty_database: str, tmp_path: Path
) -> None:
    name = make_url(empty_database).database
    server = create_engine(
        make_url(empty_database).set(database="postgres"), isolation_level="AUTOCOMMIT"
    )

    def accept(answer: bool) -> None:
        with server.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {answer}"))
            if not answer:
                end_all = (
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
                )
                connection.execute(text(end_all), {"name": name})

    accept(False)
    with dashboard(empty_database, tmp_path) as process:
        assert process.stderr is not None
        assert "the database does not answer" in process.stderr.readline()
        accept(True)
        assert "waiting for `search init`" in process.stderr.readline()
        accept(False)
        assert "the database does not answer" in process.stderr.readline()
        accept(True)
        RDBStorage(empty_database).engine.dispose()
        assert fetch(f"{url_of(process)}/api/studies")[0] == 200
        end(process)
    server.dispose()


def test_dashboard_waits_for_a_silent_database_no_longer_than_told() -> None:
    with pytest.raises(WorldError, match="the database does not answer: connection to server"):
        open_tables("postgresql://nobody@127.0.0.1:9/none", 1.0)


def test_dashboard_outlives_an_outage_of_the_database(
    storage: RDBStorage, empty_database: str, tmp_path: Path
) -> None:
    name = storage.engine.url.database
    server = create_engine(
        storage.engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT"
    )
    with dashboard(empty_database, tmp_path) as process, server.connect() as connection:
        url = url_of(process)
        storage.engine.dispose()
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": name},
        )
        assert fetch(f"{url}/health")[0] == 503
        assert fetch(f"{url}/dashboard")[0] == 503
        assert fetch(f"{url}/api/studies")[0] == 500
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
        assert fetch(f"{url}/health")[0] == 200
        assert fetch(f"{url}/dashboard")[0] == 200
        _, said = end(process)
    server.dispose()
    assert len(said.splitlines()) == 3, said
    assert "Traceback" not in said


def test_port_in_use_is_one_line(storage: RDBStorage, empty_database: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with dashboard(empty_database, tmp_path, port) as process:
            _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert (
        said
        == f"port {port} of 127.0.0.1 is in use: end what uses it or choose another with --port\n"
    )
    assert list(tmp_path.iterdir()) == []


def held(pid: int) -> int:
    """How many sockets a process holds; it may close some meanwhile."""
    found = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found += str(each.readlink()).startswith("socket:")
    return found


@pytest.mark.long
def test_half_sent_requests_keep_nobody_from_an_answer(
    storage: RDBStorage, empty_database: str, tmp_path: Path
) -> None:
    """Four hundred clients that never end their request, and drip it: the service answers, and does
    not keep them all.
    """
    with dashboard(empty_database, tmp_path) as process, ExitStack() as dripping:
        url = url_of(process)
        where = ("127.0.0.1", int(url.rpartition(":")[2]))
        for i in range(400):
            wire = dripping.enter_context(socket.create_connection(where, timeout=10))
            wire.sendall(
                b"PUT /api/studies/1/note HTTP/1.1\r\nHost: localhost\r\n"
                + b"Content-Length: 9\r\n\r\n" * (i % 2)
            )
        began = time.monotonic()
        for _ in range(20):
            assert fetch(f"{url}/health") == (200, b"ok\n")
        took_s = time.monotonic() - began
        kept = held(process.pid)
        dripping.close()
        _, said = end(process)
    assert took_s < 10
    assert kept < 260
    assert said == ""


@pytest.mark.long
def test_a_request_under_way_is_answered_when_the_dashboard_ends(
    study: optuna.Study, storage: RDBStorage, empty_database: str, tmp_path: Path
) -> None:
    with dashboard(empty_database, tmp_path) as process, storage.engine.connect() as lock:
        url = url_of(process)
        lock.execute(text("LOCK TABLE studies"))
        heard: list[bytes] = []
        asking = threading.Thread(target=lambda: heard.append(fetch(f"{url}/api/studies")[1]))
        asking.start()
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        lock.rollback()
        asking.join(20)
        assert process.wait(20) == 0
    assert study.study_name.encode() in heard[0]


def test_ctrl_c_ends_it(storage: RDBStorage, empty_database: str, tmp_path: Path) -> None:
    with dashboard(empty_database, tmp_path) as process:
        url_of(process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "")
