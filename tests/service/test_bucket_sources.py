"""Data in a bucket: fetched once into a host's cache, seen when it changes, the same data wherever
they lie.
"""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest

from objectives.data.reading.synthetic import write_folder, write_npz
from objectives.errors import ProblemsError, UserError, WorldError
from search.artifacts.sources import SOURCES, fetched
from search.garbage.cache import UNTOUCHED_S, sweep_prepared
from search.study.data_path import data_path, here
from search.study.stored import Study, open_study
from search.worker.context import Orders, WorkerSettings
from search.worker.loop import run_worker
from tests.support.studies_written import trials_of
from tests.support.waiting import wait_for

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
FETCH = """
import sys, time
from pathlib import Path
from botocore.response import StreamingBody
from search.artifacts.sources import fetched
chunks = StreamingBody.iter_chunks

def slowly(body, size):  # so that a test sees a file grow
    for chunk in chunks(body, size):
        yield chunk
        time.sleep(0.1)

StreamingBody.iter_chunks = slowly
print(fetched(sys.argv[1], Path(sys.argv[2]), lambda line: print(line, flush=True)), flush=True)
"""


class Uploads:
    """A prefix of the test server's bucket, a new one for each test."""

    def __init__(self, endpoint: str, prefix: str) -> None:
        self.endpoint = endpoint
        self.prefix = prefix
        self.client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")

    def put(self, name: str, data: bytes) -> None:
        self.client.put_object(Bucket="models", Key=f"{self.prefix}/{name}", Body=data)

    def folder(self, folder: Path) -> str:
        for path in folder.rglob("*"):
            if path.is_file():
                self.put(path.relative_to(folder).as_posix(), path.read_bytes())
        return self.url()

    def url(self, name: str = "") -> str:
        below = f"/{name}" if name else ""
        return f"s3://models/{self.prefix}{below}?endpoint={self.endpoint}"


@pytest.fixture
def uploads(s3_endpoint: str, request: pytest.FixtureRequest) -> Uploads:
    return Uploads(s3_endpoint, re.sub(r"\W", "-", request.node.name))


@pytest.fixture
def told() -> list[str]:
    return []


def digest(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_folder_is_fetched_once_and_a_changed_object_is_seen(
    uploads: Uploads, tmp_path: Path, told: list[str]
) -> None:
    write_folder(tmp_path / "frames", 24)
    source = uploads.folder(tmp_path / "frames")
    uploads.put("masks/", b"")  # the marker of a folder, as consoles make it
    Uploads(uploads.endpoint, f"{uploads.prefix}-2").put("x.png", b"of a neighbour")
    copy = fetched(source, tmp_path / "cache", told.append)
    assert digest(copy) == digest(tmp_path / "frames")
    assert fetched(source, tmp_path / "cache", told.append) == copy
    assert len(told) == 1
    assert told[0].startswith("fetching 74 files (")
    changed = (tmp_path / "frames/masks/00001.png").read_bytes()
    uploads.put("masks/00000.png", changed)
    again = fetched(source, tmp_path / "cache", told.append)
    assert again != copy
    assert told[1].startswith("fetching 1 files (")
    assert (again / "masks/00000.png").read_bytes() == changed
    assert (again / "images/00003.png").samefile(copy / "images/00003.png")
    uploads.client.delete_object(Bucket="models", Key=f"{uploads.prefix}/groups.csv")
    assert not (fetched(source, tmp_path / "cache", told.append) / "groups.csv").exists()


def test_files_are_fetched_by_their_names(
    uploads: Uploads, tmp_path: Path, told: list[str]
) -> None:
    write_npz(tmp_path / "a.npz", 24)
    uploads.put("frames.npz", (tmp_path / "a.npz").read_bytes())
    uploads.put("frames.npz.bak", b"another")
    uploads.put("mine.yaml", b"npz: frames.npz\nimages: a\nmasks: b\n")
    npz = fetched(uploads.url("frames.npz"), tmp_path / "cache", told.append)
    assert npz.name == "frames.npz"
    assert npz.read_bytes() == (tmp_path / "a.npz").read_bytes()
    assert [path.name for path in npz.parent.iterdir()] == ["frames.npz"]
    said = fetched(uploads.url("mine.yaml"), tmp_path / "cache", told.append)
    assert sorted(path.name for path in said.parent.iterdir()) == [
        "frames.npz",
        "frames.npz.bak",
        "mine.yaml",
    ]


def test_a_study_of_a_bucket_is_that_of_the_same_files_and_is_trained(
    uploads: Uploads, database: str, make_study: Callable[..., None], tmp_path: Path
) -> None:
    write_folder(tmp_path / "frames", 40)
    source = uploads.folder(tmp_path / "frames")
    make_study(database, trials=1, source=source, sets=("train.epochs=1",))
    # the same data, wherever they lie: the very same study
    make_study(database, trials=1, source=str(tmp_path / "frames"), sets=("train.epochs=1",))
    study = open_study(database, "small")
    assert study.spec.source == source
    other = tmp_path / "other-host"
    artifacts = str(tmp_path / "artifacts")
    settings = WorkerSettings(artifacts, other, device="cpu", threads=1)
    run_worker(study, settings, Orders(), print)
    assert [trial.state.name for trial in trials_of(study)] == ["COMPLETE"]
    assert (other / SOURCES).is_dir()
    study.close()


@pytest.mark.parametrize("count", [4])
def test_several_processes_of_a_host_fetch_once(
    uploads: Uploads, tmp_path: Path, count: int
) -> None:
    for number in range(60):
        uploads.put(f"{number:03d}.bin", np.random.default_rng(number).bytes(50_000))
    running = [start(uploads.url(), tmp_path / "cache") for _ in range(count)]
    said = [process.communicate(timeout=120)[0].splitlines() for process in running]
    assert sum("fetching" in line for lines in said for line in lines) == 1
    assert len({lines[-1] for lines in said}) == 1
    assert len(list(Path(said[0][-1]).iterdir())) == 60


def start(source: str, cache: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", FETCH, source, str(cache)]
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)


def test_what_was_cut_off_goes_on_where_it_stood(
    uploads: Uploads, tmp_path: Path, told: list[str]
) -> None:
    small = {f"{number:03d}.bin": b"%d" % number for number in range(20)}
    for name, data in small.items():
        uploads.put(name, data)
    large = np.random.default_rng(0).bytes(64 * 2**20)
    uploads.put("large.bin", large)
    cache = tmp_path / "cache"

    def part() -> Path | None:
        """The large file, as soon as some of it is there."""
        for path in cache.glob(f"{SOURCES}/*/.*.parts/*"):
            with suppress(FileNotFoundError):  # a small one that is whole by now
                if path.stat().st_size > 2**20:
                    return path
        return None

    running = start(uploads.url(), cache)
    begun = wait_for(part, 60)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert begun.is_file(), "it was too fast to be cut off"
    there = begun.stat().st_size
    assert there < len(large)
    copy = fetched(uploads.url(), cache, told.append)
    assert digest(copy) == {
        name: hashlib.sha256(data).hexdigest()
        for name, data in {**small, "large.bin": large}.items()
    }
    (line,) = told
    assert re.match(r"fetching [1-9]\d* files", line)
    assert int(line.split()[1]) <= 21
    assert not list(cache.glob(f"{SOURCES}/*/.*"))


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("s3://no-such-bucket/x?endpoint={}", UserError, "the bucket 'no-such-bucket' does not"),
        ("s3://models/nothing-here?endpoint={}", UserError, "nothing lies at s3://models/nothing"),
        ("s3://models/x?endpoint=http://127.0.0.1:1", WorldError, "cannot list s3://models/x/"),
        ("s3://models/x?region=eu", UserError, "the data's URL knows only the option endpoint"),
        ("s3://me:secret@models/x", UserError, r"the data's URL \(s3://...\) must not hold"),
        ("s3://X/y", UserError, "the data's bucket must be 3 to 63"),
    ],
)
def test_what_cannot_be_fetched_is_one_line(
    s3_endpoint: str, tmp_path: Path, source: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        here(data_path(source.format(s3_endpoint)), tmp_path / "cache")
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_no_credentials_is_one_line(
    uploads: Uploads, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(WorldError, match=r"cannot list .*Unable to locate credentials"):
        here(uploads.url(), tmp_path / "cache")


@pytest.mark.parametrize("name", ["a//b.png", "a/../b.png", "n" * 300, "masks/a.png/b.png"])
def test_names_that_no_folder_can_hold_are_named(
    uploads: Uploads, tmp_path: Path, name: str
) -> None:
    uploads.put("masks/a.png", b"mask")
    uploads.put(name, b"odd")
    with pytest.raises(ProblemsError, match="must have a name that a folder can hold"):
        here(uploads.url(), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_full_disk_is_one_line(
    uploads: Uploads, search: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    uploads.put("a.bin", bytes(2**20))
    full = ("search.artifacts.sources.shutil.disk_usage", lambda _: Usage(100))
    with monkeypatch.context() as patched:
        patched.setattr(*full)
        with pytest.raises(WorldError, match=r"needs 0.00 GiB in .*, and 0.00 GiB are free; free"):
            here(uploads.url(), tmp_path / "cache")
    # the space may go meanwhile: as on a disk on which no more than so much can be written
    keys = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    words = ("data", "check", uploads.url())
    refused = search(*words, limit_bytes=2**19, SEARCH_HOME=str(tmp_path / "home"), **keys)
    assert refused.returncode == 1
    (line,) = [each for each in refused.stderr.splitlines() if not each.startswith("fetching")]
    assert "cannot write the copy of s3://models/" in line
    assert "choose another --cache" in line


class Usage:
    """What a disk has."""

    def __init__(self, free: int) -> None:
        self.free = free


def test_the_commands_read_from_a_bucket(uploads: Uploads, search: Any, tmp_path: Path) -> None:
    write_folder(tmp_path / "frames", 24)
    uploads.folder(tmp_path / "frames")
    keys = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    places = {"AWS_ENDPOINT_URL": uploads.endpoint, "SEARCH_HOME": str(tmp_path / "home")} | keys
    source = f"s3://models/{uploads.prefix}"
    checked = search("data", "check", source, **places)
    assert checked.returncode == 0, checked.stderr
    assert f"{source}: 36 frames" in checked.stdout.replace("\n", " ")
    assert checked.stderr.count("fetching 74 files") == 1
    drawn = search("data", "preview", source, "--out", tmp_path / "a.png", **places)
    assert drawn.returncode == 0, drawn.stderr
    assert "fetching" not in drawn.stderr


def test_copies_that_nobody_has_asked_for_go(
    uploads: Uploads, small_study: Study, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    uploads.put("old/a.bin", b"old")
    uploads.put("new/b.bin", b"newer")
    old = fetched(uploads.url("old"), cache, print)
    new = fetched(uploads.url("new"), cache, print)
    then = time.time() - UNTOUCHED_S - 60
    os.utime(old, (then, then))
    swept = {each.kind: each for each in sweep_prepared(small_study.engine, cache)}
    assert (swept["sources"].count, swept["sources"].size_bytes) == (1, 3)
    assert not old.exists()
    assert new.is_dir()
    assert fetched(uploads.url("old"), cache, print) == old
