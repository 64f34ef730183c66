"""A password given on the command line, and keys of the artifact store: in no list of processes,
message, table or file.
"""

import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from objectives.errors import UserError
from search.artifacts import open_blobs
from search.cli.app import answer

SECRET = "hunter2-in-the-clear"
EVERY_S = 0.02


def with_password(url: str) -> str:
    """The URL with a password, which the test server does not ask for."""
    assert "postgres:@" in url
    return url.replace("postgres:@", f"postgres:{SECRET}@")


def family(process: subprocess.Popen[str]) -> Iterator[tuple[int, str]]:
    """The process and all below it: process id and words, as `ps` shows them to everybody."""
    try:
        found = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for each in found:
        try:
            yield (
                each.pid,
                Path(f"/proc/{each.pid}/cmdline")
                .read_bytes()
                .decode(errors="replace")
                .replace("\0", " "),
            )
        except OSError:
            continue


def watch(
    process: subprocess.Popen[str], until: Callable[[dict[int, set[str]]], bool], timeout_s: float
) -> dict[int, set[str]]:
    """The words of each process of the family, gathered until enough was seen or all is over."""
    seen: dict[int, set[str]] = {}
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and time.monotonic() < deadline and not until(seen):
        for pid, words in family(process):
            seen.setdefault(pid, set()).add(words)
        time.sleep(EVERY_S)
    return seen


def rows(url: str) -> str:
    """All rows of all tables."""
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        )
        tables = [name for (name,) in cursor.fetchall()]
        found = []
        for table in tables:
            cursor.execute(f'SELECT t::text FROM "{table}" AS t')
            found += [row for (row,) in cursor.fetchall()]
    connection.close()
    return "\n".join(found)


@pytest.mark.long
def test_a_password_is_in_no_process_log_table_bundle_or_page(
    search: Any, database: str, tmp_path: Path
) -> None:
    storage, artifacts = with_password(database), tmp_path / "artifacts"
    place = [
        "--storage",
        storage,
        "--study",
        "secret",
        "--artifacts",
        artifacts,
        "--cache",
        tmp_path / "cache",
    ]
    words = [
        "run",
        *place,
        "--data",
        "synthetic:40",
        "--space",
        "tiny",
        "--trials",
        "1",
        "--set",
        "train.epochs=1",
    ]
    run = search.start(*words, "--workers", "1", "--device", "cpu")
    seen = watch(run, lambda seen: False, 300)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    started, rest = seen.pop(run.pid), [words for each in seen.values() for words in each]
    assert sum(SECRET in words for words in started) <= 1  # until Python itself has started
    assert any("worker" in words for words in rest)
    assert len(rest) >= 3  # worker, the server that forks trials, a trial
    assert not any(SECRET in words for words in rest)
    exported = search("export-best", *place, "--out", tmp_path / "model")
    assert exported.returncode == 0, exported.stderr
    status = search("status", "--storage", storage, "--study", "secret")
    dashboard = search.start(
        "dashboard", f"--storage={storage}", "--artifacts", artifacts, "--port", "0"
    )
    assert dashboard.stdout is not None
    line = dashboard.stdout.readline()
    found = re.search(r"http://\S+:\d+", line)
    assert found, line
    pages = [
        urllib.request.urlopen(f"{found[0]}{path}", timeout=30).read().decode()
        for path in ("/api/meta", "/api/studies")
    ]
    assert not any(SECRET in words for _, words in family(dashboard))
    dashboard.send_signal(signal.SIGTERM)
    told = dashboard.communicate(timeout=60)
    # the exit code of SIGTERM is that of the program, not of a wrapper
    assert dashboard.returncode == 0
    texts = [
        out,
        err,
        exported.stdout,
        exported.stderr,
        status.stdout,
        status.stderr,
        *pages,
        *told,
        rows(database),
    ]
    texts += [file.read_text(errors="replace") for file in (tmp_path / "model").iterdir()]
    texts += [file.read_text(errors="replace") for file in tmp_path.rglob("*.json")]
    assert not [text for text in texts if SECRET in text]


def test_a_worker_keeps_its_process_id_and_hears_signals(
    search: Any, database: str, tmp_path: Path
) -> None:
    worker = search.start(
        "worker", "--storage", with_password(database), "--study", "late", "--wait", "5m"
    )
    words = watch(
        worker,
        lambda seen: any(
            "worker" in words and SECRET not in words for words in seen.get(worker.pid, ())
        ),
        60,
    )
    last = dict(family(worker))[worker.pid]
    assert words[worker.pid]
    assert SECRET not in last
    assert "worker --study late --wait 5m" in last
    environment = Path(f"/proc/{worker.pid}/environ")
    assert f"SEARCH_STORAGE={with_password(database)}" in environment.read_text()
    assert environment.stat().st_mode & 0o077 == 0  # its own user's alone
    assert worker.stdout is not None
    assert "trying again" in worker.stdout.readline()
    worker.send_signal(signal.SIGINT)
    out, err = worker.communicate(timeout=60)
    assert worker.returncode in (0, 130), err
    assert SECRET not in out + err


WRONG = {
    f"postgresql://team:{SECRET}@127.0.0.1:1/studies": 1,
    f"postgresql://team:{SECRET}@127.0.0.1:port/studies": 2,
    f"postgresql:/team:{SECRET}@127.0.0.1/studies": 2,
    f"team:{SECRET}@127.0.0.1/studies": 2,
    f"mysql://team:{SECRET}@127.0.0.1/studies": 2,
    f"host=127.0.0.1 password={SECRET}": 2,
    f"postgresql://127.0.0.1:1/studies?password={SECRET}&odd=1": 2,
}


@pytest.mark.parametrize(("url", "code"), WRONG.items())
def test_no_message_of_a_wrong_address_shows_the_password(
    url: str, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEARCH_TRACEBACK", "1")
    for words in (
        ["status", "--storage", url],
        ["status", f"--storage={url}"],
        [url],
        ["doctor", "--storage", url],
    ):
        assert answer(words) == {"doctor": 1, url: 2}.get(words[0], code)
        told = capsys.readouterr()
        assert SECRET not in told.out + told.err
        assert len(told.err.splitlines()) == (words[0] != "doctor")


@pytest.mark.parametrize("url", list(WRONG)[:3])
def test_the_exit_code_of_a_command_started_anew_is_its_own(url: str, search: Any) -> None:
    done = search("status", "--storage", url)
    assert done.returncode == WRONG[url]
    assert SECRET not in done.stdout + done.stderr


def test_keys_of_the_artifact_store_are_in_no_message(
    search: Any, s3_endpoint: str, database: str
) -> None:
    keys = {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEOFAKEY",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": f"{SECRET}-token",
    }
    for bucket in ("models", "no-such-bucket"):
        url = f"s3://{bucket}/runs?endpoint={s3_endpoint}"
        for words in (
            ["doctor"],
            [
                "init",
                "--storage",
                database,
                "--study",
                "keys",
                "--data",
                "synthetic:24",
                "--space",
                "tiny",
            ],
        ):
            done = search(*words, "--artifacts", url, **keys, AWS_DEFAULT_REGION="us-east-1")
            assert "AKIAEXAMPLEOFAKEY" not in done.stdout + done.stderr
            assert SECRET not in done.stdout + done.stderr
    assert SECRET not in rows(database)


@pytest.mark.parametrize("address", ["http://key:{}@127.0.0.1:1", "http://key:{}@127.0.0.1:port"])
@pytest.mark.parametrize("kept", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "profile"])
def test_an_endpoint_with_credentials_is_refused_without_them(
    kept: str,
    address: str,
    s3_endpoint: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint = address.format(SECRET)
    if kept == "profile":
        (tmp_path / "config").write_text(f"[default]\nendpoint_url = {endpoint}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    else:
        monkeypatch.setenv(kept, endpoint)
    assert answer(["doctor", "--artifacts", "s3://models/runs"]) == 1
    with pytest.raises(UserError, match="must not hold credentials") as refused:
        open_blobs("s3://models/runs")
    told = capsys.readouterr()
    assert kept in str(refused.value)
    assert SECRET not in str(refused.value) + told.out + told.err
