"""Checkpoint pointers: the newest pair and the one before, and what is deleted when they move."""

from pathlib import Path

import pytest
from sqlalchemy import text

from search.artifacts import BlobStore, open_blobs
from search.study.stored import Study
from search.trials import checkpoints
from search.trials.checkpoints import Pointer, point, pointers_of
from search.trials.claims import Claimed, claim
from search.trials.leases import Lease
from tests.support.blob_names import names_in


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return open_blobs(str(tmp_path))


@pytest.fixture
def lease(small_study: Study) -> Lease:
    claimed = claim(small_study, "a", threads=1)
    assert isinstance(claimed, Claimed)
    return claimed.lease


def save(study: Study, blobs: BlobStore, lease: Lease, epoch: int, best_epoch: int) -> None:
    last, best = blobs.put(f"state {epoch}".encode()), blobs.put(f"weights {best_epoch}".encode())
    point(
        study.engine,
        blobs,
        lease,
        {"last": Pointer(last, epoch, 0.5), "best": Pointer(best, best_epoch, 0.6)},
    )


def texts(study: Study, blobs: BlobStore, lease: Lease) -> dict[str, str]:
    return {
        kind: blobs.read(pointer.blob).decode()
        for kind, pointer in pointers_of(study.engine, lease.trial_id).items()
    }


def test_the_newest_checkpoint_and_the_one_before_are_kept(
    small_study: Study, blobs: BlobStore, lease: Lease
) -> None:
    save(small_study, blobs, lease, 1, 1)
    assert texts(small_study, blobs, lease) == {"last": "state 1", "best": "weights 1"}
    save(small_study, blobs, lease, 2, 2)
    save(small_study, blobs, lease, 3, 2)
    kept = {
        "last": "state 3",
        "best": "weights 2",
        "last before": "state 2",
        "best before": "weights 2",
    }
    assert texts(small_study, blobs, lease) == kept
    assert len(names_in(blobs)) == 3  # the state and the weights of epoch 1 are gone
    save(small_study, blobs, lease, 4, 4)
    save(small_study, blobs, lease, 5, 4)
    assert {*texts(small_study, blobs, lease).values()} == {"state 5", "state 4", "weights 4"}
    assert len(names_in(blobs)) == 3


def test_told_twice_it_moves_once(small_study: Study, blobs: BlobStore, lease: Lease) -> None:
    save(small_study, blobs, lease, 1, 1)
    save(small_study, blobs, lease, 2, 1)
    once = texts(small_study, blobs, lease)
    save(small_study, blobs, lease, 2, 1)  # the answer of the first time was lost
    assert texts(small_study, blobs, lease) == once
    assert once["last before"] == "state 1"


def test_back_at_the_checkpoint_before_its_blobs_stay(
    small_study: Study, blobs: BlobStore, lease: Lease
) -> None:
    """The newest was damaged: the one before is told again, and is then both."""
    for epoch in (1, 2):
        save(small_study, blobs, lease, epoch, 1)
    save(small_study, blobs, lease, 1, 1)
    assert texts(small_study, blobs, lease)["last"] == "state 1"
    save(small_study, blobs, lease, 2, 1)
    assert texts(small_study, blobs, lease)["last"] == "state 2"
    assert texts(small_study, blobs, lease)["last before"] == "state 1"


def test_a_finished_trial_keeps_its_best_weights_alone(
    small_study: Study, blobs: BlobStore, lease: Lease
) -> None:
    for epoch in (1, 2):
        save(small_study, blobs, lease, epoch, 1)
    small_study.optuna.tell(small_study.trial(lease.trial_id), 0.5)
    checkpoints.drop_unneeded(small_study.engine, blobs, small_study.id)
    assert texts(small_study, blobs, lease) == {"best": "weights 1"}
    assert len(names_in(blobs)) == 1


def test_recipes_keep_their_weights_whatever_their_score(
    small_study: Study, blobs: BlobStore, lease: Lease
) -> None:
    """So that ensembles of them can be made; of the others a few of the best do, and the
    control.
    """
    save(small_study, blobs, lease, 1, 1)
    trial = small_study.trial(lease.trial_id)
    trial.set_user_attr("recipe", "A1-convolution")
    small_study.optuna.tell(trial, 0.5)
    with small_study.engine.begin() as connection:
        connection.execute(
            text("UPDATE trials SET number = 77 WHERE trial_id = :id"), {"id": lease.trial_id}
        )
    for recipes, kept in (
        (("A1-convolution", "A2-three-convolutions"), 1),
        (("A2-three-convolutions",), 0),
    ):
        checkpoints.drop_unneeded(
            small_study.engine, blobs, small_study.id, checkpoints.Kept(0, recipes)
        )
        assert len(names_in(blobs)) == kept
