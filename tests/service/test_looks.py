"""Looks at the sealed test part: each is counted once, over all studies that seal the same frames."""

from collections.abc import Callable
from pathlib import Path

import pytest

from search.commands.options import Place
from search.looks import count_look, counted_look
from search.looks import test_looks as looks_at
from search.setup import Request, set_up
from search.study import open_study


def test_looks_are_counted_over_all_studies_that_seal_the_same_frames(
    database: str, make_study: Callable[..., None], tmp_path: Path
) -> None:
    make_study(database, trials=4)
    place = Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")
    for name, seed in (("again", 0), ("other", 1)):  # another seed seals other frames
        list(set_up(Request(name=name, source="synthetic:40", space="tiny", trials=2, seed=seed), place))
    studies = small, again, other = [open_study(database, name) for name in ("small", "again", "other")]
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
