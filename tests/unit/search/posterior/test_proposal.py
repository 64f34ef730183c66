"""Proposals: where candidates come from, which is chosen, and that they find more than chance."""

import math
import random
from decimal import Decimal, localcontext

import numpy as np
import pytest

from search.posterior.belief import Believer, Run
from search.posterior.ground import SpaceGround, Tried
from search.posterior.proposal import (
    Origin,
    log_improvement,
    propose,
    shares_of,
)
from spaces import FromParams, load_space
from spaces.dice import share_of

EPOCHS = 12


def exact(z: float) -> float:
    """ln(phi(z) + z Phi(z)) by many digits: Phi by the series or the continued fraction."""
    with localcontext() as context:
        context.prec = 80
        x = Decimal(z)
        density = (-x * x / 2).exp() / (2 * Decimal(math.pi)).sqrt()
        if abs(x) < 6:  # Phi = 1/2 + phi (x + x^3/3 + x^5/15 + ...)
            term, total = x, x
            for n in range(1, 200):
                term *= x * x / (2 * n + 1)
                total += term
            return float((density + x * (Decimal("0.5") + density * total)).ln())
        y, fraction = -x, -x
        for n in range(400, 0, -1):  # Mills' ratio, 1 / (y + 1 / (y + 2 / (y + ...)))
            fraction = y + n / fraction
        return float((density * (1 + x / fraction)).ln())


@pytest.mark.parametrize(
    "z", [-400.0, -60.0, -49.0, -20.0, -6.5, -3.0, -1.001, -0.999, 0.0, 2.0, 5.0]
)
def test_the_improvement_is_exact_also_where_it_is_tiny(z: float) -> None:
    sd = 0.02
    found = log_improvement(np.array([0.6 + z * sd]), np.array([sd]), 0.6)[0]
    assert found == pytest.approx(exact(z) + math.log(sd), rel=1e-6, abs=2e-3 if z < -50 else 1e-6)


def test_a_sure_lead_is_worth_itself() -> None:
    assert log_improvement(np.array([0.7]), np.array([1e-5]), 0.6)[0] == pytest.approx(
        math.log(0.1)
    )
    assert np.isfinite(log_improvement(np.array([0.1]), np.array([0.0]), 0.6)).all()


def truth(params: dict[str, object]) -> float:
    """A score that only the learning rate and the loss decide."""
    rate = params["optimiser.learning_rate"]
    assert isinstance(rate, float)
    away = share_of(rate, 2e-3, 6e-3, log=True) - 0.9
    return 0.6 - 0.2 * away**2 + (0.02 if params["loss.dice.on"] else 0.0)


class Search:
    """A study of `small` whose trainings are made up."""

    def __init__(self, seed: int) -> None:
        self.ground = SpaceGround(load_space("small"))
        self.noise = np.random.default_rng(seed)
        self.dice = random.Random(seed)
        self.tried: list[Tried] = []
        self.runs: list[Run] = []
        self.train(dict(self.ground.control))

    def train(self, params: dict[str, object]) -> None:
        tried = self.ground.tried(params)
        scores = truth(params) + 0.01 * self.noise.normal() + 0.005 * self.noise.normal(size=EPOCHS)
        self.tried.append(tried)
        self.runs.append(Run(tried.values, scores))

    def random(self) -> dict[str, object]:
        return dict(self.ground.drawn(self.dice, None).params)

    @property
    def believer(self) -> Believer:
        return Believer(self.ground.coordinates, self.runs, EPOCHS)


@pytest.fixture(scope="module")
def begun() -> Search:
    search = Search(0)
    for _ in range(7):
        search.train(search.random())
    return search


def proposed(search: Search, seed: int) -> dict[str, object]:
    dice = random.Random(seed)
    return dict(propose(search.ground, search.believer, search.tried, dice).params)


def test_a_proposal_is_a_config_of_the_space_and_repeatable(begun: Search) -> None:
    space = begun.ground.space
    for seed in range(5):
        params = proposed(begun, seed)
        assert space.encode(space.draw(FromParams(params))).keys() <= params.keys()
        assert proposed(begun, seed) == params


def test_what_it_expects_is_what_is_believed(begun: Search) -> None:
    found = propose(begun.ground, begun.believer, begun.tried, random.Random(1))
    belief = begun.believer.of([begun.ground.tried(found.params).values])
    assert found.mean == pytest.approx(belief.means_C[0])
    assert found.sd == pytest.approx(belief.sds_C[0])


def test_shares_follow_where_the_best_lie(begun: Search) -> None:
    control = begun.tried[0].values
    other = begun.tried[1].values
    at_control = shares_of(begun.believer, other, [control, control])
    at_other = shares_of(begun.believer, other, [other, other])
    assert at_control[Origin.CONTROL] > 0.75
    assert at_other[Origin.INCUMBENT] > 0.75
    for shares in (at_control, at_other):
        assert sum(shares.values()) == pytest.approx(1.0)
        assert shares[Origin.UNIFORM] == pytest.approx(0.2)
