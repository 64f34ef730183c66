"""Places as text, and what is said of how validation parts differ."""

from hypothesis import given
from hypothesis import strategies as st

from search.confirm.cell import Cell
from search.confirm.dealt_parts import parts_told, places_of, places_text


def run_of(
    seed: int, part: str, score: float = 0.5, per_class: dict[str, float] | None = None
) -> Cell:
    return Cell(
        0,
        seed,
        score,
        part=part,
        per_class={"soil": 0.5, "rock": 0.5} if per_class is None else per_class,
    )


@given(st.sets(st.integers(0, 40)))
def test_places_come_back_from_their_text(places: set[int]) -> None:
    assert places_of(places_text(places)) == places


def test_runs_of_neighbours_are_short() -> None:
    assert places_text([3, 1, 2, 0, 7, 13, 12, 7]) == "0-3 7 12-13"


def test_different_parts_are_counted_and_compared() -> None:
    runs = [run_of(0, "0-3"), run_of(0, "0-3"), run_of(1, "2-5"), run_of(2, "0-3")]
    assert parts_told(runs) == (
        "3 seeds validated on 2 different parts, two of which share 50 % of their places on "
        "average; "
        "the data have too few places for more, and intervals count parts, not seeds",
    )
    assert parts_told(runs[:3]) == (
        "2 seeds validated on 2 different parts, two of which share 50 % of their places on "
        "average",
    )


def test_one_part_for_all_seeds_is_named() -> None:
    (said,) = parts_told([run_of(0, "4"), run_of(1, "4")])
    assert said.startswith("all 2 seeds validated on one part")


def test_nothing_is_said_of_one_seed_or_of_parts_that_are_not_dealt_anew() -> None:
    assert parts_told([run_of(0, "1-2")]) == ()
    assert parts_told([run_of(0, ""), run_of(1, "")]) == ()
    assert parts_told([run_of(0, "1"), run_of(1, "2", score=float("nan"))]) == ()


def test_a_class_that_some_parts_lack_is_named() -> None:
    *_, said = parts_told([run_of(0, "1"), run_of(1, "2", per_class={"soil": 0.4})])
    assert said == "rock does not occur in 1 of the 2 parts, whose score is over the other classes"


def test_folds_are_said_to_share_no_place_but_training_frames() -> None:
    runs = [run_of(0, "1"), run_of(1, "2"), run_of(2, "3")]
    (said,) = parts_told(runs, folds=True)
    assert said.startswith("3 folds validated on places of their own each; their trainings share")
    assert parts_told(runs[:1], folds=True) == ()
