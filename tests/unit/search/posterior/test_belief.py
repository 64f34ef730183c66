"""What is believed of a study's configs: the choice by it is truly better than the highest score's."""

import numpy as np
import numpy.typing as npt
import pytest

from search.posterior.belief import MOST_FITTED, Believer, Run, chosen_for_scales, pressed
from search.posterior.carried import final_score
from search.posterior.coordinates import Coordinates, Number
from spaces.values import Value

Floats = npt.NDArray[np.float64]
FIELDS = 5
EPOCHS = 20
CONTROL = {f"x{place}": 0.5 for place in range(FIELDS)}
COORDINATES = Coordinates({name: Number(0, 1) for name in CONTROL}, CONTROL)
SEED_SD, EPOCH_SD = 0.015, 0.008


class World:
    """Scores of configs: an optimum not far from the control, curves that rise, seeds, jumps."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.best = 0.5 + 0.12 * self.random.normal(size=FIELDS)
        self.weights = np.array([0.3, 0.15, 0.1, 0.05, 0.0])

    def truth(self, values: dict[str, Value]) -> float:
        point = np.array([values[name] for name in CONTROL], float)
        return float(0.65 - self.weights @ (point - self.best) ** 2)

    def run(self, values: dict[str, Value], epochs: int = EPOCHS) -> Run:
        rise = 1 - np.exp(-4 * np.arange(1, EPOCHS + 1) / EPOCHS)
        noise = SEED_SD * self.random.normal() + EPOCH_SD * self.random.normal(size=EPOCHS)
        return Run(values, (self.truth(values) * rise + noise)[:epochs], epochs == EPOCHS)

    def configs(self, count: int) -> list[dict[str, Value]]:
        return [
            {name: float(self.random.uniform(0, 1)) for name in CONTROL}
            if place % 2
            else {name: float(np.clip(0.5 + 0.2 * self.random.normal(), 0, 1)) for name in CONTROL}
            for place in range(count)
        ]


def gains(seeds: range) -> tuple[Floats, Floats, Floats]:
    """Of studies of 24 whole runs: what the choice is truly better by than the control, by the
    highest score and by the posterior, and how far off the latter's leads are, in the deviations
    that it states, for the better half of the configs.
    """
    found, off = [], []
    for seed in seeds:
        world = World(seed)
        configs: list[dict[str, Value]] = [dict(CONTROL), *world.configs(23)]
        runs = [world.run(config) for config in configs]
        belief = Believer(COORDINATES, runs, EPOCHS).of(configs)
        highest = int(np.argmax([run.scores_E.max() for run in runs]))
        chosen = int(np.argmax(belief.means_C[:-1]))
        truth = np.array([world.truth(config) - world.truth(dict(CONTROL)) for config in configs])
        found.append((truth[highest], truth[chosen]))
        covariances = belief.posterior.covariances_CC[:-1, :-1]
        variances = np.diagonal(covariances) + covariances[0, 0] - 2 * covariances[0]
        leads = belief.means_C[:-1] - belief.means_C[0]
        better = np.argsort(-truth)[:12]
        off.append([(truth[i] - leads[i]) / variances[i] ** 0.5 for i in better if i])
    highest_S, chosen_S = np.array(found).T
    return highest_S, chosen_S, np.concatenate(off)


def test_the_choice_is_truly_better_than_that_of_the_highest_score() -> None:
    highest_S, chosen_S, off = gains(range(60))
    lead_S = chosen_S - highest_S
    assert lead_S.mean() > 2 * lead_S.std() / len(lead_S) ** 0.5
    assert (chosen_S < 0).mean() < (highest_S < 0).mean()
    assert 0.7 < np.std(off) < 1.3, "it is as far off as it says"


def test_a_control_without_a_run_is_believed_too() -> None:
    world = World(0)
    configs = world.configs(10)
    belief = Believer(COORDINATES, [world.run(config) for config in configs], EPOCHS).of(configs)
    assert belief.control == 10
    assert belief.beats_control_C[belief.control] == pytest.approx(0.5)
    assert belief.means_C[belief.control] == pytest.approx(world.truth(dict(CONTROL)), abs=0.05)


def test_a_second_run_makes_surer() -> None:
    world = World(1)
    configs: list[dict[str, Value]] = [dict(CONTROL), *world.configs(12)]
    runs = [world.run(config) for config in configs]
    once = Believer(COORDINATES, runs, EPOCHS).of(configs)
    more = [world.run(dict(CONTROL)) for _ in range(5)]
    often = Believer(COORDINATES, [*runs, *more], EPOCHS).of(configs)
    assert often.sds_C[0] < once.sds_C[0]


def test_an_early_run_is_believed_less_than_a_whole_one() -> None:
    world = World(2)
    configs: list[dict[str, Value]] = [dict(CONTROL), *world.configs(12)]
    early = [world.run(config, 3 if place == 5 else EPOCHS) for place, config in enumerate(configs)]
    whole = [*early[:5], world.run(configs[5]), *early[6:]]
    sds = [Believer(COORDINATES, runs, EPOCHS).of(configs).sds_C[5] for runs in (early, whole)]
    assert sds[0] > sds[1]


def test_what_is_believed_of_runs_at_work_makes_surer_and_moves_no_mean() -> None:
    world = World(4)
    configs = world.configs(14)
    believer = Believer(COORDINATES, [world.run(config) for config in configs[:10]], EPOCHS)
    before = believer.of(configs)
    after = believer.believing(configs[10:]).of(configs)
    np.testing.assert_allclose(after.means_C, before.means_C, atol=1e-6)
    assert (after.sds_C[10:14] < before.sds_C[10:14]).all()
    assert (after.sds_C <= before.sds_C + 1e-9).all()


def test_one_run_is_enough_for_a_belief() -> None:
    run = World(3).run(dict(CONTROL))
    belief = Believer(COORDINATES, [run], EPOCHS).of([CONTROL])
    assert belief.means_C[0] == pytest.approx(final_score(run.scores_E), abs=0.01)


def test_bad_scores_are_pressed_together_in_their_order() -> None:
    scores = np.array([0.6, 0.61, 0.62, 0.63, 0.64, 0.1, 0.2, 0.58])
    found = pressed(scores)
    assert (np.argsort(found) == np.argsort(scores)).all()
    assert (found[:5] == scores[:5]).all()
    assert found[5] > 0.2


def test_scales_are_chosen_by_some_of_many_runs() -> None:
    assert chosen_for_scales(5).tolist() == [0, 1, 2, 3, 4]
    places = chosen_for_scales(1000)
    assert len(places) == MOST_FITTED
    assert (places[0], places[-1]) == (0, 999)
