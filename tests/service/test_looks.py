"""Looks at the sealed test part: each is counted once, over all studies that seal the
same frames.
"""

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from objectives.data.options import DataOptions
from search.garbage.store import drop_rows
from search.place import Place
from search.study.looks import count_look, counted_look
from search.study.looks import test_looks as looks_at
from search.study.setup import Request, set_up
from search.study.stored import open_study


def test_looks_are_counted_over_all_studies_that_seal_the_same_frames(
    database: str, make_study: Callable[..., None], tmp_path: Path
) -> None:
    make_study(database, trials=4)
    place = Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")
    for name, seed in (("again", 0), ("other", 1)):  # another seed seals other frames
        list(
            set_up(
                Request(
                    name=name,
                    source="synthetic:40",
                    space="tiny",
                    trials=2,
                    frames=DataOptions(seed=seed),
                ),
                place,
            )
        )
    studies = small, again, other = [
        open_study(database, name) for name in ("small", "again", "other")
    ]
    count_look(small)
    with counted_look(again):
        assert looks_at(again) == 2  # counted first
    assert [looks_at(study) for study in studies] == [2, 2, 0]
    for stop in (ValueError, KeyboardInterrupt):
        with pytest.raises(stop), counted_look(small):
            raise stop
    assert [looks_at(study) for study in studies] == [2, 2, 0]  # nobody has seen anything
    assert other.spec.data_fingerprint != small.spec.data_fingerprint
    for study in studies:
        study.close()


def test_a_look_stays_counted_whatever_is_made_of_the_frames_and_whoever_is_deleted(
    database: str, make_study: Callable[..., None], tmp_path: Path
) -> None:
    make_study(database, trials=4)
    place = Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")
    sizes = {"half": (32, 64), "quarter": (16, 32)}
    for name, size in sizes.items():
        list(
            set_up(
                Request(
                    name=name,
                    source="synthetic:40",
                    space="tiny",
                    trials=2,
                    frames=DataOptions(size=size),
                ),
                place,
            )
        )
    studies = small, half, _ = [open_study(database, name) for name in ("small", *sizes)]
    assert len({study.spec.data_fingerprint for study in studies}) == 3
    for study in studies:
        count_look(study)
    assert [looks_at(study) for study in studies] == [3, 3, 3]
    optuna.delete_study(study_name="quarter", storage=small.storage)
    drop_rows(small.engine, dry_run=False)
    assert looks_at(small) == looks_at(half) == 3
    for study in studies:
        study.close()
