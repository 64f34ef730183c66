"""Bad input: one clear line on standard error, exit code 2 or 1, never a traceback, and nothing is
changed.
"""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pytest

NOWHERE = "postgresql://team:top-secret@127.0.0.1:1/studies"


def refused(done: subprocess.CompletedProcess[str], code: int, *words: str, lines: int = 1) -> str:
    """Check that a command ended with this code and so many clear lines that hold the words;
    returns the lines.
    """
    assert done.returncode == code, done.stderr
    said = done.stderr.strip()
    assert len(said.splitlines()) == lines, said
    assert said.startswith("search: ")
    assert "unexpected" not in said
    for word in words:
        assert word in said
    assert "top-secret" not in done.stdout + done.stderr
    return said


def tables(url: str) -> int:
    """How many tables a database has."""
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        )
        return int(cursor.fetchone()[0])


def studies(url: str) -> int:
    """How many studies a database has, Optuna's own and ours."""
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM studies) + (SELECT count(*) FROM search_study)"
        )
        return int(cursor.fetchone()[0])


USER_MISTAKES = {
    "no trials": (["init", "--trials", "0"], ["--trials", "search init --help"]),
    "no number": (["init", "--trials", "many"], ["--trials", "integer"]),
    "unknown option": (["run", "--budget", "3"], ["--budget"]),
    "unknown command": (["serach"], ["serach"]),
    "size": (["init", "--size", "64"], ["--size", "HEIGHTxWIDTH", "'64'"]),
    "size zero": (["data", "check", "synthetic", "--size", "0x9"], ["--size", "'0x9'"]),
    "until": (["init", "--until", "soon"], ["--until", "60m", "'soon'"]),
    "until endless": (["init", "--until", "9" * 400 + "d"], ["--until", "366d"]),
    "device": (["worker", "--device", "tpu"], ["--device", "'tpu'", "cuda:N"]),
    "no GPU": (["worker", "--device", "cuda"], ["--device cuda", "no GPU"]),
    "no GPU in run": (["run", "--device", "cuda:3"], ["--device cuda:3", "no GPU"]),
    "no name": (["init", "--study", ""], ["--study", "1 to 200"]),
    "long name": (["init", "--study", "x" * 201], ["--study", "201"]),
    "odd name": (["status", "--study", "a\nb"], ["--study", r"'a\nb'"]),
    "name at its ends": (["status", "--study", " a"], ["--study", "' a'"]),
    "missing space": (["init", "--space", "no-such.yaml"], ["no-such.yaml"]),
    "unknown path": (["init", "--set", "model.dept=3"], ["model.dept"]),
    "no path": (["space", "show", "tiny", "--set", "depth"], ["depth"]),
    "outside": (["space", "check", "tiny", "--set", "model.depth=9"], ["model.depth", "9"]),
    "missing data": (["init", "--data", "/no/such.npz"], ["/no/such.npz", "npz"]),
    "few frames": (["init", "--data", "synthetic:3"], ["synthetic:3"]),
    "wrong URL": (
        ["status", "--storage", "studies.db"],
        ["--storage", "postgresql://", "studies.db"],
    ),
    "other database": (
        ["init", "--storage", "mysql://u:top-secret@h/x"],
        ["--storage", "Postgres"],
    ),
    "nothing embedded": (["status"], ["--storage", "holds no database", "search init"]),
    "nothing embedded to serve": (["dashboard"], ["--storage", "holds no database"]),
    "artifacts with credentials": (
        ["init", "--artifacts", "s3://key:top-secret@bucket/x"],
        ["credentials"],
    ),
    "artifacts elsewhere": (["init", "--artifacts", "ftp://host/x"], ["ftp://host/x"]),
    "no bundle": (
        ["predict", "/no/bundle", "synthetic", "--out", "x.npz"],
        ["/no/bundle", "no bundle"],
    ),
    "kind of output": (["predict", "/no/bundle", "synthetic", "--out", "x.jpg"], ["--out", ".jpg"]),
    "split": (["evaluate", "/no/bundle", "synthetic", "--split", "train"], ["--split", "'train'"]),
    "two views": (["status", "--json", "--watch"], ["--json", "--watch"]),
}


@pytest.mark.parametrize(("words", "said"), USER_MISTAKES.values(), ids=USER_MISTAKES.keys())
def test_a_users_mistake_is_one_line_and_makes_nothing(
    words: list[str], said: list[str], search: Any
) -> None:
    refused(search(*words), 2, *said)
    assert not (search.home / "postgres").exists()
    assert not (search.home / "artifacts").exists()


@pytest.mark.parametrize("command", ["init", "run"])
def test_a_home_that_no_database_can_live_in_is_refused_before_any_work(
    command: str, search: Any, tmp_path: Path
) -> None:
    home = tmp_path / "with a space"
    refused(search(command, "--home", home, "--data", "synthetic:40"), 2, "--home", "with a space")
    assert not home.exists()


def test_every_problem_of_a_space_file_is_named(search: Any, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("model.depth: {int: [2, 9]}\nloss.alpha: 1.0\n")
    said = refused(
        search("init", "--space", space), 2, str(space), "model.depth", "9", "loss.alpha", lines=3
    )
    assert "2 problems" in said
    space.write_text("{: not yaml")
    refused(search("space", "check", space), 2, str(space))


def test_data_that_cannot_be_read_are_named(search: Any, tmp_path: Path) -> None:
    (torn := tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 and no more")
    np.savez(pickled := tmp_path / "pickled.npz", training_set=np.array([{"a": 1}], dtype=object))
    (empty := tmp_path / "empty").mkdir()
    for path in (torn, pickled):
        refused(search("init", "--data", path), 2, path.name)
    refused(search("init", "--data", empty), 2, "empty/images", "empty/masks", lines=3)


def test_a_database_that_does_not_answer(search: Any) -> None:
    for command in ("init", "status", "dashboard"):
        refused(search(command, "--storage", NOWHERE), 1, "127.0.0.1", "Connection refused")
    assert not (search.home / "artifacts").exists()


def test_a_study_that_is_not_there(search: Any, database: str, tmp_path: Path) -> None:
    for words in (["worker"], ["export-best", "--out", tmp_path / "out"]):
        refused(
            search(*words, "--study", "mars", "--storage", database), 2, "'mars'", "search init"
        )
    assert studies(database) == 0
    assert not (tmp_path / "out").exists()


def test_a_database_without_tables_stays_without(search: Any, postgres_server: str) -> None:
    refused(search("status", "--storage", postgres_server), 2, "no study", "search init")
    assert tables(postgres_server) == 0


def test_a_database_that_does_not_exist(search: Any, postgres_server: str) -> None:
    absent = postgres_server.replace("/postgres?", "/absent?")
    refused(search("status", "--storage", absent), 1, '"absent" does not exist')


def test_bad_input_leaves_a_database_as_it_was(search: Any, database: str) -> None:
    before = tables(database)
    for words in (
        ["--data", "/no/such.npz"],
        ["--set", "model.depth=9"],
        ["--artifacts", "/dev/null/artifacts"],
    ):
        done = search(
            "init", "--storage", database, "--data", "synthetic:40", "--space", "tiny", *words
        )
        refused(done, 1 if "/dev/null/artifacts" in words else 2, words[1].partition("=")[0])
    assert (tables(database), studies(database)) == (before, 0)


def test_a_full_disk(search: Any, database: str, tmp_path: Path) -> None:
    words = [
        "init",
        "--storage",
        database,
        "--data",
        "synthetic:40",
        "--space",
        "tiny",
        "--artifacts",
        tmp_path / "artifacts",
    ]
    refused(
        search(*words, "--cache", tmp_path / "cache", limit_bytes=65536),
        1,
        "cannot write",
        str(tmp_path / "cache"),
    )
    assert studies(database) == 0
    assert (
        search(
            "data", "preview", "synthetic:40", "--out", tmp_path / "p.png", limit_bytes=8192
        ).returncode
        == 1
    )
    assert not (tmp_path / "p.png").exists()


def test_a_disk_too_full_for_an_embedded_database(search: Any, tmp_path: Path) -> None:
    words = ["init", "--data", "synthetic:24", "--space", "tiny", "--home", tmp_path / "home"]
    refused(
        search(*words, limit_bytes=2_000_000),
        1,
        "the embedded database",
        str(tmp_path / "home"),
        "File too large",
    )


def test_standard_output_that_cannot_be_written(search: Any) -> None:
    command = f'"{sys.executable}" -m search --help'
    full = subprocess.run(
        f"{command} > /dev/full", shell=True, capture_output=True, text=True, timeout=60
    )
    refused(full, 1, "No space left")
    closed = subprocess.run(
        f"{command} | true", shell=True, capture_output=True, text=True, timeout=60
    )
    assert not closed.stderr


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(closed: str, search: Any, tmp_path: Path) -> None:
    out = tmp_path / "p.png"
    command = (
        f'exec "{sys.executable}" -m search data preview synthetic:24 --frames 1 --out '
        f'"{out}" {closed}'
    )
    done = subprocess.run(
        command, env=search.environment, shell=True, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert out.read_bytes().startswith(b"\x89PNG")


def test_other_settings_that_are_more_budget(
    search: Any, small_study: Any, database: str, tmp_path: Path
) -> None:
    words = ["--study", "small", "--space", "tiny", "--data", "synthetic:40", "--storage", database]
    done = search("init", *words, "--trials", "9", "--artifacts", tmp_path / "a")
    refused(done, 2, "trials is 4 there, 9 wanted", "search extend")


def test_a_port_in_use(search: Any, database: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = search("dashboard", "--storage", database, "--artifacts", tmp_path, "--port", port)
    refused(done, 2, port, "in use")


def test_a_home_that_cannot_hold_a_database(search: Any, tmp_path: Path) -> None:
    words = ["init", "--data", "synthetic:40", "--space", "tiny", "--cache", tmp_path / "cache"]
    (tmp_path / "file").write_text("")
    refused(
        search(*words, "--artifacts", tmp_path / "a", "--home", tmp_path / "file"),
        1,
        str(tmp_path / "file"),
    )
    refused(
        search(*words, "--artifacts", tmp_path / "a", "--home", tmp_path / "my home"),
        2,
        "my home",
        "--home",
    )


def test_a_password_is_in_no_message(search: Any, make_database: Callable[[], str]) -> None:
    with_password = make_database().replace("postgres:@", "postgres:top-secret@")
    refused(search("status", "--study", "mars", "--storage", with_password), 2, "'mars'", "***")
    refused(search("init", "--storage", with_password, "--data", "/no/such.npz"), 2, "/no/such.npz")
    found = search("doctor", "--storage", with_password)
    assert "PostgreSQL" in found.stdout
    assert "top-secret" not in found.stdout + found.stderr
