"""`search gc`: what no trial needs goes, everything else stays, whoever is killed or asleep
meanwhile.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from optuna.artifacts.exceptions import ArtifactNotFound
from sqlalchemy import text

from objectives.errors import UserError
from search.artifacts import BlobMissingError, open_blobs, open_objects
from search.artifacts.marker import mark_store
from search.artifacts.pictures import attach_picture, open_pictures
from search.database.connections import LeaseLostError, open_engine
from search.garbage.store import check_age, collect, total
from search.study.stored import Study, open_study
from search.trials import checkpoints, leases
from search.trials.blob_lock import delete_unnamed
from search.trials.checkpoints import KEEP_BEST, Pointer, point
from search.trials.claims import Claimed, claim
from tests.support.blob_names import names_in
from tests.support.thousand_trials import KINDS, fill, sha

Command = Callable[..., subprocess.CompletedProcess[str]]
Maker = Callable[..., None]

HOUR_S = 3600.0
PNG = b"\x89PNG a picture"


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "artifacts")
    return f"s3://models/{tmp_path.name}?endpoint={request.getfixturevalue('s3_endpoint')}"


@pytest.fixture
def study(database: str, make_study: Maker) -> Iterator[Study]:
    make_study(database, trials=4)
    study = open_study(database, "small")
    study.storage.engine.dispose()
    with study.engine.begin() as connection:
        connection.execute(text("DELETE FROM trial_user_attributes"))
        connection.execute(text("DELETE FROM trial_system_attributes"))
        connection.execute(text("DELETE FROM trials"))
    yield study
    study.close()


def sweep(
    study: Study, artifacts: str, *, older_than_s: float = 0.0, dry_run: bool = False
) -> dict[str, int]:
    swept = total(collect(study.engine, artifacts, older_than_s=older_than_s, dry_run=dry_run))
    return {kind: each.count for kind, each in swept.items() if each.count}


def named(study: Study) -> set[str]:
    with study.engine.connect() as connection:
        return set(connection.execute(text("SELECT blob FROM search_checkpoint")).scalars())


def age(artifacts: str, seconds: float = 2 * HOUR_S) -> None:
    """Let everything in a folder store look so much older; the database's marker too."""
    for file in Path(artifacts).rglob("*"):
        if file.is_file():
            facts = file.stat()
            os.utime(file, (facts.st_atime, facts.st_mtime - seconds))


def unfinished_and_best(study: Study) -> set[str]:
    """The blobs that must stay: all of those at hand, and the best weights of the best and of the
    control.
    """
    with study.engine.connect() as connection:
        best = text("SELECT number FROM trials JOIN trial_values USING (trial_id) WHERE state = "
                    "'COMPLETE' "
                    "ORDER BY value DESC, number LIMIT :keep")  # fmt: skip
        kept = {0, *connection.execute(best, {"keep": KEEP_BEST}).scalars()}
    assert len(kept) == KEEP_BEST + 1
    return {sha(f"{n} best") for n in kept} | {
        sha(f"{n} {kind}") for n in range(990, 1000) for kind in KINDS
    }


@pytest.mark.long
def test_of_a_thousand_trials_the_best_and_the_unfinished_are_kept(
    study: Study, tmp_path: Path
) -> None:
    artifacts = str(tmp_path)
    fill(study, artifacts)
    blobs = open_blobs(artifacts)
    assert len(set(names_in(blobs))) == 4000
    needed = unfinished_and_best(study)
    checkpoints.drop_unneeded(study.engine, blobs, study.id)
    assert named(study) == needed
    assert set(names_in(blobs)) == needed
    mark_store(study.engine, artifacts)
    assert sweep(study, artifacts) == {}
    assert set(names_in(blobs)) == needed


@pytest.mark.long
def test_gc_drops_pointers_and_blobs_that_no_worker_dropped(study: Study, store: str) -> None:
    fill(study, store, range(982, 1000))
    mark_store(study.engine, store)
    blobs = open_blobs(store)
    orphan = blobs.put(b"put, and never pointed at")
    would = sweep(study, store, dry_run=True)
    assert len(set(names_in(blobs))) == 4 * 18 + 1
    assert len(named(study)) == 4 * 18
    swept = sweep(study, store)
    assert swept == would
    ended = [n for n in range(982, 990) if n % 10 not in (3, 7)]
    kept = {sha(f"{n} best") for n in ended} & unfinished_and_best(study)
    at_hand = {sha(f"{n} {kind}") for n in range(990, 1000) for kind in KINDS}
    assert swept == {"pointers": 4 * 8 - len(kept), "blobs": 4 * 8 - len(kept) + 1}
    assert set(names_in(blobs)) == kept | at_hand == named(study)
    assert orphan not in set(names_in(blobs))
    assert sweep(study, store) == {}


def test_what_is_young_stays(small_study: Study, tmp_path: Path) -> None:
    artifacts = str(tmp_path)
    mark_store(small_study.engine, artifacts)
    blobs, pictures = open_blobs(artifacts), open_objects(artifacts, "pictures")
    blobs.put(b"of a crash, long ago")
    pictures.write("00000000-0000-4000-8000-000000000000", PNG)
    (tmp_path / "blobs" / "partial" / "draft").write_bytes(b"half")
    age(artifacts)
    young = blobs.put(b"in the making")
    pictures.write("11111111-0000-4000-8000-000000000000", PNG)
    (tmp_path / "blobs" / "partial" / "another").write_bytes(b"half")
    assert sweep(small_study, artifacts, older_than_s=HOUR_S) == {
        "blobs": 1,
        "pictures": 1,
        "drafts": 1,
    }
    assert set(names_in(blobs)) == {young}
    assert {each.key for each in pictures.stored()} == {"11111111-0000-4000-8000-000000000000"}
    assert [file.name for file in (tmp_path / "blobs" / "partial").iterdir()] == ["another"]


def test_an_orphan_that_is_put_again_is_young_again(small_study: Study, tmp_path: Path) -> None:
    """A resumed trial computes the very bytes that a killed worker had put and not pointed at."""
    artifacts = str(tmp_path)
    mark_store(small_study.engine, artifacts)
    blobs, objects = open_blobs(artifacts), open_objects(artifacts, "blobs")
    blobs.put(b"weights")
    age(artifacts)
    (listed,) = objects.stored()
    again = blobs.put(b"weights")  # after gc has listed it, and before it is deleted
    assert not delete_unnamed(small_study.engine, objects, listed)
    assert sweep(small_study, artifacts, older_than_s=HOUR_S) == {}
    assert blobs.exists(again)


def test_a_blob_that_is_named_meanwhile_stays(small_study: Study, tmp_path: Path) -> None:
    artifacts = str(tmp_path)
    blobs, objects = open_blobs(artifacts), open_objects(artifacts, "blobs")
    claimed = claim(small_study, "a", threads=1)
    assert isinstance(claimed, Claimed)
    sha256 = blobs.put(b"weights")
    (listed,) = objects.stored()
    point(
        small_study.engine,
        blobs,
        claimed.lease,
        dict.fromkeys(("last", "best"), Pointer(sha256, 1, 0.5)),
    )
    assert not delete_unnamed(small_study.engine, objects, listed)
    assert blobs.exists(sha256)


def test_a_worker_that_slept_between_put_and_point_is_fenced(
    small_study: Study, tmp_path: Path
) -> None:
    artifacts = str(tmp_path)
    mark_store(small_study.engine, artifacts)
    blobs = open_blobs(artifacts)
    awake, asleep = (claim(small_study, name, threads=1) for name in "ab")
    assert isinstance(awake, Claimed)
    assert isinstance(asleep, Claimed)
    blobs.put(b"put before it fell asleep")
    age(artifacts)
    with small_study.engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE search_lease SET expires_at = clock_timestamp() - interval '2 hours' WHERE "
                "owner = 'b'"
            )
        )
    assert sweep(small_study, artifacts, older_than_s=HOUR_S, dry_run=True) == {"blobs": 1}
    assert sweep(small_study, artifacts, older_than_s=HOUR_S) == {"blobs": 1}
    pointers = dict.fromkeys(
        ("last", "best"), Pointer(blobs.put(b"put before it fell asleep"), 1, 0.5)
    )
    with pytest.raises(LeaseLostError):
        point(small_study.engine, blobs, asleep.lease, pointers)
    with small_study.engine.begin() as connection:
        leases.renew(connection, awake.lease, 30.0)
    assert not named(small_study)
    again = claim(small_study, "c", threads=1)  # and whoever comes next takes it over
    assert isinstance(again, Claimed)
    assert (again.lease.trial_id, again.lease.vanished) == (asleep.lease.trial_id, 1)


def test_a_blob_that_gc_took_meanwhile_is_never_named(small_study: Study, tmp_path: Path) -> None:
    """Its worker was alive all along, and waited longer than the age for a store or a database."""
    artifacts = str(tmp_path)
    mark_store(small_study.engine, artifacts)
    blobs = open_blobs(artifacts)
    claimed = claim(small_study, "a", threads=1)
    assert isinstance(claimed, Claimed)
    late = blobs.put(b"put long ago")
    age(artifacts)
    assert sweep(small_study, artifacts, older_than_s=HOUR_S) == {"blobs": 1}
    pointers = dict.fromkeys(("last", "best"), Pointer(late, 1, 0.5))
    with pytest.raises(BlobMissingError, match="lay there unnamed for too long"):
        point(small_study.engine, blobs, claimed.lease, pointers)
    assert not named(small_study)
    blobs.put(b"put long ago")
    point(small_study.engine, blobs, claimed.lease, pointers)
    assert named(small_study) == {late}


@pytest.mark.long
def test_what_the_dashboard_deleted_goes_with_its_rows_and_pictures(
    small_study: Study, store: str
) -> None:
    mark_store(small_study.engine, store)
    blobs, pictures = open_blobs(store), open_pictures(store)
    claimed = claim(small_study, "a", threads=1)
    assert isinstance(claimed, Claimed)
    trial = small_study.trial(claimed.lease.trial_id)
    kept, gone = (
        attach_picture(trial, small_study.storage, pictures, PNG, f"{n}.png") for n in "ab"
    )
    of_study = attach_picture(small_study.optuna, small_study.storage, pictures, PNG, "study.png")
    # as it deletes one
    small_study.storage.set_trial_system_attr(
        trial._trial_id, f"artifacts:{gone}", json.dumps(None)
    )
    held = blobs.put(b"weights")
    point(
        small_study.engine,
        blobs,
        claimed.lease,
        dict.fromkeys(("last", "best"), Pointer(held, 1, 0.5)),
    )
    assert sweep(small_study, store) == {"pictures": 1}
    assert pictures.open_reader(kept).read() == pictures.open_reader(of_study).read() == PNG
    with pytest.raises(ArtifactNotFound):
        pictures.open_reader(gone)
    # without its pictures, as by Optuna's own command
    small_study.storage.delete_study(small_study.id)
    assert sweep(small_study, store, dry_run=True) == {
        "rows": 2,
        "pointers": 2,
        "blobs": 1,
        "pictures": 2,
    }
    assert blobs.exists(held)
    assert sweep(small_study, store) == {"rows": 2, "pointers": 2, "blobs": 1, "pictures": 2}
    assert names_in(blobs) == []
    assert sweep(small_study, store) == {}


@pytest.mark.long
def test_a_store_of_two_databases_is_left_alone(
    small_study: Study, store: str, make_database: Callable[[], str]
) -> None:
    blobs = open_blobs(store)
    orphan = blobs.put(b"whose?")
    with pytest.raises(UserError, match=r"does not belong to this database \(no database"):
        sweep(small_study, store)
    other = open_engine(make_database())
    mark_store(other, store)
    with pytest.raises(UserError, match="its owner is database test_"):
        sweep(small_study, store)
    mark_store(small_study.engine, store)
    mark_store(small_study.engine, store)
    for engine in (small_study.engine, other):
        with pytest.raises(UserError, match="also belongs to database test_") as caught:
            collect(engine, store, older_than_s=0.0)
        assert "\n" not in str(caught.value)
    assert blobs.exists(orphan)
    markers = open_objects(store, "databases")
    (theirs,) = (
        each.key
        for each in markers.stored()
        if str(other.url.database) in markers.read(each.key).decode()
    )
    markers.delete(theirs)
    assert sweep(small_study, store) == {"blobs": 1}
    other.dispose()


def test_an_age_too_close_to_the_leases_is_refused(small_study: Study) -> None:
    check_age(small_study.engine, 600.0)
    with pytest.raises(UserError, match="at least 10m"):
        check_age(small_study.engine, 599.0)
    assert isinstance(claim(small_study, "a", threads=1, lease_s=300.0), Claimed)
    with pytest.raises(UserError, match="at least 100m"):
        check_age(small_study.engine, HOUR_S)


@pytest.mark.long
def test_killed_in_the_middle_it_loses_nothing(
    study: Study, database: str, tmp_path: Path, search: Command
) -> None:
    artifacts = str(tmp_path / "artifacts")
    fill(study, artifacts, range(700, 1000))
    mark_store(study.engine, artifacts)
    age(artifacts)
    blobs = open_blobs(artifacts)
    needed = unfinished_and_best(study) & named(study)
    process = search.start("gc", "--storage", database, "--artifacts", artifacts)  # type: ignore[attr-defined]
    deadline = time.monotonic() + 120
    while len(names_in(blobs)) > 1100 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = set(names_in(blobs))
    assert len(needed) < len(left) <= 1100
    assert named(study) == needed <= left
    done = search("gc", "--storage", database, "--artifacts", artifacts, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["removed"]["blobs"]["count"] == len(left) - len(needed)
    assert set(names_in(blobs)) == needed
    assert all(blobs.read(each) for each in needed)


def test_the_command_says_what_would_go(
    small_study: Study, database: str, tmp_path: Path, search: Command
) -> None:
    artifacts, cache = str(tmp_path / "artifacts"), tmp_path / "cache"
    words = ("gc", "--storage", database, "--artifacts", artifacts, "--cache", cache)
    refused = search(*words)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    mark_store(small_study.engine, artifacts)
    open_blobs(artifacts).put(b"x" * 2_000_000)
    age(artifacts)
    told = search(*words, "--prepared", "--dry-run", "--json")
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["dry_run"] is True
    assert found["removed"]["blobs"] == {"count": 1, "bytes": 2_000_000}
    assert found["removed"]["prepared"] == {"count": 0, "bytes": 0}
    assert "removed 1 weights and states, 2.0 MB" in search(*words).stdout
    early = search(*words, "--older-than", "1m")
    assert (early.returncode, "at least 10m" in early.stderr) == (2, True)
