"""The first trials, the start-up and the rungs of a study."""

import pytest

from search.sampling import NEIGHBOUR_KEEPS, build_sampler, first_trials, rungs, startup_trials
from search.spec import StudySpec
from spaces import load_space


def spec(trials: int, seed: int = 0) -> StudySpec:
    space = load_space("small")
    return StudySpec(
        name="s", source="synthetic", size=None, min_identical=10, scored=(), score="", data_fingerprint="",
        space=space.to_dict(), space_fingerprint=space.fingerprint, trials=trials, until_s=0.0, seed=seed,
    )  # fmt: skip


@pytest.mark.parametrize(("trials", "startup", "first"), [(1, 4, 1), (4, 4, 2), (12, 4, 4), (20, 5, 5), (100, 10, 10)])
def test_small_budgets_start_near_the_control(trials: int, startup: int, first: int) -> None:
    assert startup_trials(spec(trials)) == startup
    assert len(first_trials(spec(trials))) == first <= trials


def test_the_control_comes_first_and_its_neighbours_keep_most_of_it() -> None:
    control = dict(load_space("small").control)
    (params, attributes), *neighbours = first_trials(spec(100))
    assert params == control
    assert attributes == {"recipe": "control"}
    assert all(neighbour.items() <= control.items() for neighbour, _ in neighbours)
    sizes = [len(params) for seed in range(10) for params, _ in first_trials(spec(100, seed=seed))[1:]]
    assert sum(sizes) / (len(sizes) * len(control)) == pytest.approx(NEIGHBOUR_KEEPS, abs=0.06)
    assert len({tuple(neighbour) for neighbour, _ in neighbours}) == len(neighbours)
    assert first_trials(spec(100)) == first_trials(spec(100))
    assert first_trials(spec(100, seed=1)) != first_trials(spec(100))


@pytest.mark.parametrize(
    ("epochs", "expected"), [(1, (2,)), (2, (2,)), (4, (2,)), (8, (2, 6)), (27, (3, 9)), (36, (4, 12)), (90, (10, 30))]
)
def test_rungs_are_a_warm_up_and_its_triples_below_the_end(epochs: int, expected: tuple[int, ...]) -> None:
    assert rungs(epochs) == expected


def test_a_sampler_depends_on_study_and_number_alone() -> None:
    draws = [build_sampler(spec(20), number)._rng.rng.randint(2**31) for number in (3, 3, 4)]
    assert draws[0] == draws[1] != draws[2]
