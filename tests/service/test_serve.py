"""``search serve``: the embedded database on TCP, its password, and how it begins and ends."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from search.database.embedded import embedded_postgres
from search.database.embedded_users import start_of
from search.database.host import host_id
from search.database.postmaster import read_postmaster
from search.place import Place
from search.study.setup import Request, set_up
from tests.support.ports import free_port
from tests.support.served import Serving, serving
from tests.support.waiting import wait_for

pytestmark = pytest.mark.long

Maker = Callable[..., None]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a study that was written on this host alone."""
    home = tmp_path_factory.mktemp("home")
    with embedded_postgres(home) as url:
        place = Place(url, str(home / "artifacts"), home / "cache")
        list(set_up(Request(name="local", source="synthetic:40", space="tiny", trials=2), place))
    return home


@pytest.fixture(scope="module")
def served(search: Any, home: Path) -> Iterator[Serving]:
    with serving(search, home, free_port()) as served:
        yield served


def ask(url: str, statement: str) -> list[tuple[Any, ...]]:
    with (
        closing(psycopg2.connect(url, connect_timeout=5)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
        return list(cursor.fetchall())


def refused(url: str) -> str:
    with pytest.raises(psycopg2.OperationalError) as raised:
        psycopg2.connect(url, connect_timeout=5)
    return str(raised.value)


def password_of(home: Path) -> str:
    return (home / "serve.password").read_text().strip()


def test_the_password_lets_in_by_tcp_and_nothing_else_does(served: Serving, home: Path) -> None:
    password = password_of(home)
    assert ask(served.storage, "SELECT current_user, inet_server_addr() IS NOT NULL") == [
        ("search", True)
    ]
    without = served.storage.replace(f":{password}@", "@")
    assert without != served.storage
    assert "no password supplied" in refused(without)
    assert "password authentication failed" in refused(
        served.storage.replace(password, password[:-1] + "!")
    )
    for user in ("postgres", "nobody"):  # whatever their password is
        assert "no pg_hba.conf entry" in refused(served.storage.replace("//search:", f"//{user}:"))
    other = served.storage.replace("/postgres", "/template1")
    assert "no pg_hba.conf entry" in refused(other)


def test_who_comes_by_tcp_is_checked_by_scram_and_is_no_superuser(
    served: Serving, home: Path
) -> None:
    with embedded_postgres(home) as local:
        rules = ask(local, "SELECT type, user_name, auth_method, error FROM pg_hba_file_rules")
        assert rules == [
            ("local", ["all"], "trust", None),
            ("host", ["search"], "scram-sha-256", None),
        ]
        stored = "SELECT rolpassword, rolsuper FROM pg_authid WHERE rolname = 'search'"
        ((check, superuser),) = ask(local, stored)
    assert check.startswith("SCRAM-SHA-256$")
    assert not superuser
    assert password_of(home) not in (home / "postgres" / "log").read_text()


def test_the_password_is_its_owners_alone(served: Serving, home: Path) -> None:
    file = home / "serve.password"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_uid == os.geteuid()
    assert len(password_of(home)) >= 32


@pytest.mark.long
def test_a_log_that_others_can_read_has_no_password(
    search: Any, tmp_path: Path, home: Path, served: Serving
) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    password = password_of(home)
    for log, mode, shown in ((mine, 0o600, True), (theirs, 0o644, False)):
        log.touch(mode)
        log.chmod(mode)
        other = tmp_path / f"home-{mode}"
        words = ["serve", "--home", other, "--host", "127.0.0.1", "--port", free_port()]
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "search", *map(str, words)],
                env=search.environment,
                stdout=out,
                stderr=subprocess.PIPE,
            )
        wait_for(lambda log=log: log.read_text().count("export") == 2)
        assert (password_of(other) in log.read_text()) == shown
        shell = f'. {log} && printf %s "$SEARCH_STORAGE"'
        url = subprocess.check_output(["sh", "-c", shell], text=True)
        assert password_of(other) in url
        assert ask(url, "SELECT 1") == [(1,)]
        process.terminate()
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert password_of(other).encode() not in process.stderr.read()
        process.stderr.close()
        assert password_of(other) != password


def test_studies_of_this_host_and_of_others_are_one_anothers(
    search: Any, served: Serving, home: Path
) -> None:
    there = {"SEARCH_HOME": "/nowhere", "SEARCH_CACHE": str(home / "cache"), **served.settings}
    done = search("status", "--study", "local", **there)
    assert done.returncode == 0, done.stderr
    words = ["--data", "synthetic:40", "--space", "tiny", "--trials", "2", "--study", "remote"]
    done = search("init", *words, **there)
    assert done.returncode == 0, done.stderr
    assert "enough for 29" in done.stdout
    for order in ("pause", "resume"):
        done = search(order, "--study", "local", **there)
        assert done.returncode == 0, done.stderr
    for order in ("pause", "resume"):
        done = search(order, "--study", "remote", "--home", home)
        assert done.returncode == 0, done.stderr


def test_check_says_whether_it_answers(
    search: Any, served: Serving, home: Path, tmp_path: Path
) -> None:
    for words, settings in (
        (["--home", home], {}),  # on its own host
        ([], {"SEARCH_STORAGE": served.storage}),  # from another
    ):
        done = search("serve", "--check", *words, **settings)
        assert (done.returncode, done.stderr) == (0, "")
        assert "search:***@127.0.0.1" in done.stdout
        assert "answers; connections: enough for 29" in done.stdout
        assert password_of(home) not in done.stdout
    wrong = served.storage.replace(password_of(home), "x" * 32)
    closed = served.storage.replace(":" + served.storage.rpartition(":")[2], ":1/postgres")
    for url, words in ((wrong, "give the right user and password"), (closed, "refused")):
        done = search("serve", "--check", SEARCH_STORAGE=url)
        assert done.returncode == 1
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
    done = search("serve", "--check", "--home", tmp_path)
    assert done.returncode == 2
    assert "was never served: run `search serve`" in done.stderr


def test_a_second_one_is_refused_in_one_line(search: Any, served: Serving, home: Path) -> None:
    done = search("serve", "--home", home, "--host", "127.0.0.1", "--port", free_port())
    assert done.returncode == 2
    assert f"{home} is served already on 127.0.0.1 port " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert served.process.poll() is None


def test_a_port_that_is_taken_is_refused_in_one_line(
    search: Any, served: Serving, tmp_path: Path
) -> None:
    port = served.storage.rpartition(":")[2].partition("/")[0]
    home = tmp_path / "other"
    done = search("serve", "--home", home, "--host", "127.0.0.1", "--port", port)
    assert done.returncode == 2
    assert done.stderr == (
        f"search: cannot listen on 127.0.0.1 port {port}: Address already in use; choose another "
        f"--port, or an address of this machine as --host\n"
    )
    with embedded_postgres(home) as url:  # nothing is spoilt
        assert ask(url, "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1 port"),
        (["--host", "no-such-host.invalid"], "cannot listen on no-such-host.invalid port"),
        (["--host", "x -c fsync=off"], "--host must be an address"),
        (["--host", "$(touch gone)"], "--host must be an address"),
        (["--port", "80"], "greater than or equal to 1024"),
        (["--workers", "0"], "greater than or equal to 1"),
    ],
)
def test_bad_options_are_one_line(search: Any, words: list[str], said: str, tmp_path: Path) -> None:
    done = search("serve", "--home", tmp_path, "--port", free_port(), *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.long
def test_a_password_that_others_can_read_is_refused(search: Any, tmp_path: Path) -> None:
    file = tmp_path / "serve.password"
    for content, mode, said in (
        ("x" * 32, 0o640, "others can read"),
        ("short", 0o600, "must hold 16 or more"),
    ):
        file.write_text(content)
        file.chmod(mode)
        done = search("serve", "--home", tmp_path, "--host", "127.0.0.1", "--port", free_port())
        assert done.returncode == 2
        assert said in done.stderr
        assert "x" * 32 not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_and_leaves_the_home_to_others(
    number: signal.Signals, search: Any, tmp_path: Path
) -> None:
    port = free_port()
    with serving(search, tmp_path, port, "--workers", "400") as served:
        assert ask(served.storage, "SHOW max_connections") == [("888",)]
        running = read_postmaster(tmp_path / "postgres")
        assert running is not None
        idle = psycopg2.connect(served.storage)
        served.process.send_signal(number)
        assert served.process.wait(30) == 0
        idle.close()
    assert not start_of(running.pid)
    assert "refused" in refused(served.storage)
    done = search("serve", "--check", "--home", tmp_path)
    assert (done.returncode, "is not served" in done.stderr) == (1, True)
    # on this host alone again, under the usual rules
    with embedded_postgres(tmp_path) as url:
        assert ask(url, "SHOW listen_addresses") == [("",)]
        assert "refused" in refused(served.storage)
    with serving(search, tmp_path, port) as again:
        assert again.storage == served.storage, "workers have their URL already"


@pytest.mark.long
def test_one_that_was_killed_leaves_nothing_in_the_way(search: Any, tmp_path: Path) -> None:
    port = free_port()
    with serving(search, tmp_path, port) as served:
        served.process.kill()
        served.process.wait()
        left = read_postmaster(tmp_path / "postgres")
        assert ask(served.storage, "SELECT 1") == [(1,)], "the database survives"
        with serving(search, tmp_path, port) as again:
            assert again.storage == served.storage
            assert read_postmaster(tmp_path / "postgres") == left
            again.process.kill()
            again.process.wait()
        elsewhere = free_port()
        with serving(search, tmp_path, elsewhere) as moved:
            assert f":{elsewhere}/" in moved.storage
            assert "refused" in refused(served.storage)
    assert left is not None
    assert not start_of(left.pid)


@pytest.mark.long
def test_a_database_that_is_used_on_this_host_alone_is_not_taken_from_its_users(
    search: Any, tmp_path: Path
) -> None:
    with embedded_postgres(tmp_path) as url:
        done = search("serve", "--home", tmp_path, "--host", "127.0.0.1", "--port", free_port())
        assert done.returncode == 2
        assert f"process {os.getpid()} uses the database" in done.stderr
        assert ask(url, "SELECT 1") == [(1,)]


@pytest.mark.long
def test_it_ends_when_its_server_does(search: Any, tmp_path: Path) -> None:
    with serving(search, tmp_path, free_port()) as served:
        running = read_postmaster(tmp_path / "postgres")
        assert running is not None
        psutil.Process(running.pid).kill()
        assert served.process.wait(30) == 1
        _, errors = served.process.communicate()
        assert "has ended by itself" in errors.splitlines()[-1]


@pytest.mark.long
def test_others_on_this_host_keep_what_was_served(search: Any, tmp_path: Path) -> None:
    with serving(search, tmp_path, free_port()) as served, embedded_postgres(tmp_path) as url:
        served.process.terminate()
        _, errors = served.process.communicate(timeout=30)
        assert served.process.returncode == 0
        assert "other commands on this host use the database" in errors.splitlines()[-1]
        assert ask(url, "SELECT 1") == [(1,)]
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()


def test_a_home_that_another_host_has_running_is_left_alone(search: Any, tmp_path: Path) -> None:
    with embedded_postgres(tmp_path):
        files = (tmp_path / "postgres" / "postmaster.pid").read_bytes()
    (tmp_path / "postgres" / "postmaster.pid").write_bytes(files)
    (tmp_path / "postgres.host").write_text("login1 another-boot\n")
    done = search("serve", "--home", tmp_path, "--host", "127.0.0.1", "--port", free_port())
    assert done.returncode == 1
    assert "it runs on host login1" in done.stderr
    assert (tmp_path / "postgres" / "postmaster.pid").read_bytes() == files
    # another container of this machine, or this machine before its last start
    for noted in (f"a-container {host_id()}", f"{socket.gethostname()} another-boot"):
        (tmp_path / "postgres.host").write_text(f"{noted}\n")
        (tmp_path / "postgres" / "postmaster.pid").write_bytes(files)
        with embedded_postgres(tmp_path) as url:
            assert ask(url, "SELECT 1") == [(1,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_another_users_home_is_refused_in_one_line(search: Any, tmp_path: Path) -> None:
    with embedded_postgres(tmp_path):
        pass
    made = tmp_path / "postgres" / "PG_VERSION"
    owner = made.stat()
    os.chown(made, 1, 1)
    done = search("serve", "--home", tmp_path, "--host", "127.0.0.1", "--port", free_port())
    assert done.returncode == 2
    assert "is user daemon's: work as that user" in done.stderr
    os.chown(made, owner.st_uid, owner.st_gid)
