"""A specification that an earlier version wrote is read as what it meant there."""

import json
from typing import Any

import pytest

from objectives.data.options import DataOptions
from search.study.learned import Lessons
from search.study.purpose import Candidate, Confirming, Purpose, Retraining, Searching
from search.study.spec import StudySpec
from search.study.stored_forms import in_present_form

# as the revision 1ef228e wrote it; space and fingerprints are cut short
STORED = {
    "name": "small", "source": "/data/terrain.npz", "size": [32, 64], "min_identical": 12, "min_labelled": 0.25,
    "max_deviation": 3.0, "ignore": "none", "scored": [1, 2], "score": "mean IoU of soil, "
                                                                       "rock", "data_fingerprint": "d",
    "space": {"domains": {}, "control": {}}, "space_fingerprint": "s", "trials": 20, "until_s": 60.0, "gpu_s": 0.0, "seed": 7,
    "recipes": ["A5-unet-ra"], "recipe_filters": 0.5, "objective_version": "4", "optuna": "5",
}  # fmt: skip
CONTROL = {"number": 0, "params": {"model.depth": 3}, "last_epoch": 8}
FIFTH = {"number": 5, "params": {"model.depth": 4}, "last_epoch": 6}
SEARCH = {
    "study": "",
    "seeds": 0,
    "resplit": True,
    "everything": False,
    "seed": 0,
    "scores": [],
    "candidates": [],
}
CONFIRM = SEARCH | {"study": "small", "seeds": 3, "resplit": False, "candidates": [CONTROL, FIFTH]}
RETRAIN = SEARCH | {
    "study": "small",
    "seeds": 1,
    "resplit": False,
    "everything": True,
    "seed": 11,
    "candidates": [FIFTH],
}
CANDIDATES = tuple(Candidate.model_validate(each) for each in (CONTROL, FIFTH))


@pytest.mark.parametrize(
    ("confirm", "purpose"),
    [
        (SEARCH, Searching()),
        (CONFIRM, Confirming(study="small", seeds=3, resplit=False, candidates=CANDIDATES)),
        (
            CONFIRM | {"study_id": 4, "top": 2, "heard": []},  # of a later revision
            Confirming(
                study="small", study_id=4, top=2, seeds=3, resplit=False, candidates=CANDIDATES
            ),
        ),
        (
            RETRAIN | {"scores": [0.25, 0.5]},
            Retraining(study="small", candidate=CANDIDATES[1], seed=11, heard=(0.25, 0.5)),
        ),
        (
            {name: value for name, value in RETRAIN.items() if name != "scores"}
            | {"heard": [-0.5]},
            Retraining(study="small", candidate=CANDIDATES[1], seed=11, heard=(-0.5,)),
        ),
    ],
)
def test_a_study_of_before_is_what_it_was(confirm: dict[str, Any], purpose: Purpose) -> None:
    spec = StudySpec.model_validate(in_present_form(STORED | {"confirm": confirm}))
    assert spec.purpose == purpose
    assert spec.frames == DataOptions(
        size=(32, 64),
        min_identical=12,
        min_labelled=0.25,
        max_deviation=3.0,
        ignore="none",
        scored=(1, 2),
        seed=7,
    )
    assert (spec.seed, spec.trials, spec.recipes, spec.recipe_filters) == (
        7,
        20,
        ("A5-unet-ra",),
        0.5,
    )
    assert spec.lessons == Lessons(), "it learned from none"
    assert "confirm" not in STORED
    stored = json.loads(spec.model_dump_json())
    assert in_present_form(stored) == stored
    assert StudySpec.model_validate(stored) == spec


def test_what_no_version_has_written_is_refused() -> None:
    present = json.loads(StudySpec.model_validate(in_present_form(STORED)).model_dump_json())
    with pytest.raises(ValueError, match=r"frames\.crop"):
        StudySpec.model_validate(present | {"frames": {"crop": 3}})
    with pytest.raises(ValueError, match="purpose"):
        StudySpec.model_validate(present | {"purpose": {"kind": "race"}})
