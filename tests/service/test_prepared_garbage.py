"""`search gc` and prepared data: what no study uses goes once it is old, what is read or locked
stays.
"""

import os
import time
from pathlib import Path

from filelock import FileLock
from sqlalchemy import update

from objectives.data.dataset import DataOptions, open_dataset
from search.artifacts.kept import KEPT
from search.database.tables import STUDY
from search.garbage.cache import UNTOUCHED_S, check_cache, sweep_prepared
from search.garbage.store import Swept
from search.study.stored import Study


def untouch(folder: Path, seconds: float = UNTOUCHED_S + 60) -> None:
    then = time.time() - seconds
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (then, then))


def test_prepared_data_that_no_study_uses_goes(small_study: Study, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    check_cache(cache)
    used = open_dataset(small_study.spec.source, small_study.spec.frames, cache).directory
    read, idle, held = (
        open_dataset(f"synthetic:{25 + n}", DataOptions(), cache).directory for n in range(3)
    )
    (cache / ".0123456789abcdef01234567.4711").mkdir()
    (cache / "notes").mkdir()
    (cache / "fedcba9876543210fedcba98.lock").touch()
    untouch(cache)
    os.utime(
        read / "masks.npy", (time.time() - UNTOUCHED_S / 2, (read / "masks.npy").stat().st_mtime)
    )
    with FileLock(cache / f"{held.name}.lock"):
        would = [
            (each.kind, each.count)
            for each in sweep_prepared(small_study.engine, cache, dry_run=True)
        ]
        swept = [(each.kind, each.count) for each in sweep_prepared(small_study.engine, cache)]
    assert would == [("prepared", 3), ("copies", 0), ("sources", 0), ("locks", 1)]
    assert swept == [("prepared", 2), ("copies", 0), ("sources", 0), ("locks", 1)]
    left = {path.name for path in cache.iterdir()}
    assert left == {
        "notes",
        *(f"{kept.name}{end}" for kept in (used, read, held) for end in ("", ".lock")),
    }
    assert not idle.exists()
    assert open_dataset("synthetic:26", DataOptions(), cache).directory == idle


def test_copies_of_weights_that_no_study_was_given_go(small_study: Study, tmp_path: Path) -> None:
    kept = tmp_path / KEPT
    kept.mkdir()
    for name in ("a" * 64, "b" * 64, "c" * 64, ".draft"):
        (kept / name).write_bytes(b"weights")
    untouch(kept)
    (kept / ("c" * 64)).write_bytes(b"just fetched")
    spec = {"space": {"weights": [{"start": {"sha256": "b" * 64}}]}}
    with small_study.engine.begin() as connection:
        connection.execute(update(STUDY).values(spec={**small_study.spec.model_dump(), **spec}))

    assert sweep_prepared(small_study.engine, tmp_path)[1] == Swept("copies", 2, 14)
    assert {path.name for path in kept.iterdir()} == {"b" * 64, "c" * 64}
