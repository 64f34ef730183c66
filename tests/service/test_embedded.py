"""The embedded database beside processes that are not its own, and in folders where others could
reach it.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from objectives.errors import UserError
from search.database.capacity import ask_capacity
from search.database.embedded import (
    CONNECTIONS,
    LONGEST_SOCKET,
    SOCKET,
    embedded_postgres,
    refuse_home,
)

STARTED = "1700000000"


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with any database."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def answers(url: str) -> bool:
    connection = psycopg2.connect(url)
    connection.close()
    return True


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a database that was used once."""
    home = tmp_path_factory.mktemp("home")
    with embedded_postgres(home) as url:
        assert answers(url)
    return home


def test_a_strangers_number_in_the_files_of_a_killed_server_leaves_the_stranger_alone(
    stranger: subprocess.Popen[bytes], home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = home / "postgres"
    for name in ("postmaster.pid", f"{SOCKET}.lock"):  # as a power cut leaves them
        lines = [
            str(stranger.pid),
            str(folder),
            STARTED,
            "5432",
            str(folder),
            "",
            "1234567 7",
            "ready   ",
        ]
        (folder / name).write_text("\n".join(lines) + "\n")
    with embedded_postgres(home) as url:
        assert answers(url)
    assert stranger.poll() is None
    assert not (folder / "postmaster.pid").exists()
    assert capfd.readouterr() == ("", "")


def test_a_server_of_before_takes_enough_connections_from_its_next_start_on(home: Path) -> None:
    settings = home / "postgres" / "postgresql.conf"
    for own, allowed in ((100, CONNECTIONS), (CONNECTIONS + 1, CONNECTIONS + 1)):
        with settings.open("a") as written:
            written.write(f"max_connections = {own}")  # and no end of the line
        for _ in range(2):
            with embedded_postgres(home) as url:
                assert ask_capacity(url).most == allowed
        assert settings.read_text().count(f"max_connections = {allowed}") == 1 + (own == 100)
        with settings.open("a") as written:
            written.write("\n")


@pytest.mark.parametrize("left", ["", "12"], ids=["empty", "cut short"])
def test_a_server_starts_over_files_that_a_power_cut_has_spoilt(left: str, home: Path) -> None:
    folder = home / "postgres"
    for name in ("postmaster.pid", ".handle_pids.json"):
        (folder / name).write_text(left)
    (home / "postgres.users").write_text(left)
    with embedded_postgres(home) as url:
        assert answers(url)
    assert not (folder / "postmaster.pid").exists()


def test_a_strangers_number_among_the_users_does_not_keep_the_server_alive(
    stranger: subprocess.Popen[bytes], home: Path
) -> None:
    folder = home / "postgres"
    (folder / ".handle_pids.json").write_text(json.dumps([stranger.pid]))
    (home / "postgres.users").write_text(json.dumps({stranger.pid: 1.7e9}))
    with embedded_postgres(home):
        assert (folder / "postmaster.pid").exists()
    assert not (folder / "postmaster.pid").exists()
    assert stranger.poll() is None


def test_a_user_that_was_killed_and_not_buried_does_not_keep_the_server_alive(
    stranger: subprocess.Popen[bytes], home: Path
) -> None:
    began = psutil.Process(stranger.pid).create_time()
    # its parent, this process, does not wait for it: in a container without an init nobody does
    stranger.kill()
    while psutil.Process(stranger.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    (home / "postgres" / ".handle_pids.json").write_text(json.dumps([stranger.pid]))
    (home / "postgres.users").write_text(json.dumps({stranger.pid: began}))
    with embedded_postgres(home):
        assert (home / "postgres" / "postmaster.pid").exists()
    assert not (home / "postgres" / "postmaster.pid").exists()


def test_a_living_user_keeps_the_server(home: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; from search.database.embedded import "
        "embedded_postgres\n"
    )
    hold += (
        "with embedded_postgres(Path(sys.argv[1])) as url: print(url, flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    user = subprocess.Popen(
        [sys.executable, "-c", hold, str(home)], stdin=pipe, stdout=pipe, text=True
    )
    assert user.stdout is not None
    url = user.stdout.readline().strip()
    with embedded_postgres(home):
        pass
    assert answers(url)
    user.communicate("")
    assert not (home / "postgres" / "postmaster.pid").exists()


def test_a_home_whose_socket_would_lie_elsewhere_is_refused() -> None:
    longest = LONGEST_SOCKET - len(os.fsencode(Path("/postgres") / SOCKET))
    fits = Path("/" + "h" * (longest - 1))
    refuse_home(fits)
    with pytest.raises(UserError, match="choose a --home whose path is 1 bytes shorter"):
        refuse_home(Path(f"{fits}h"))
    with pytest.raises(UserError, match="bytes shorter"):  # bytes, not letters
        refuse_home(Path("/" + "é" * (longest - 1)))
