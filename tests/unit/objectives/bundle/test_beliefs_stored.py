"""What bundles of before say of ensembles and flips is still read and said."""

from pydantic import TypeAdapter

from objectives.bundle.belief import Belief
from objectives.bundle.belief_in_ensemble import Judged
from objectives.bundle.provenance import FlipScores


def test_an_ensemble_of_before_is_read_and_said_as_it_was_judged() -> None:
    stored = {
        "kind": "judged",
        "members": [
            {"study": "mars", "trial": 3, "weight": 0.75},
            {"study": "mars", "trial": 5, "weight": 0.25},
        ],
        "score": 0.61,
        "member_score": 0.6,
        "gain": [-0.01, 0.03],
        "places": 20,
        "single": {"kind": "unconfirmed"},
    }
    read: Belief = TypeAdapter(Belief).validate_python(stored)
    assert isinstance(read, Judged)
    assert "a gain of +0.0100 (95 %: -0.0100 to +0.0300)" in str(read)


def test_flips_of_before_have_no_probability() -> None:
    stored = {"flips": ["horizontal", "vertical"], "without": 0.25, "averaged": 0.5, "used": True}
    read = FlipScores.model_validate(stored)
    assert read.better is None
    assert str(read).endswith("without 0.2500, at 4 times the multiply-adds. The program does it.")
    assert "0.2500, better with 90 %, at" in str(read.model_copy(update={"better": 0.9}))
