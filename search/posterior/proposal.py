"""What to train next: of many candidates the one that is expected to improve most on what is known."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx, ndtr

from search.posterior.belief import Believer
from search.posterior.coordinates import points_of
from search.posterior.feasibility import LIKELY, Feasibility
from search.posterior.ground import Ground, Params, Tried
from spaces.dice import Near
from spaces.values import Value

Floats = npt.NDArray[np.float64]

CANDIDATES = 64
MOST_LEARNED = 16  # candidates more, those of other studies that are believed best
UNIFORM = 0.2  # the share of candidates from all of the space
CHANGES = 0.5  # of the incumbent's values, those that a candidate draws anew
FAR = (-50.0, -1.0)  # deviations below the best, between which one form of the improvement is exact
TOP = 1 / 3  # of what has been tried, by which the other shares are dealt


class Origin(StrEnum):
    """Where a candidate comes from."""

    UNIFORM = "uniform"  # all of the space
    CONTROL = "control"  # near it
    INCUMBENT = "incumbent"  # near the config that is believed best
    LEARNED = "learned"  # a config of another study


@dataclass(frozen=True)
class Proposal:
    """A config to train, and what is expected of it."""

    params: Params
    origin: Origin
    mean: float
    sd: float


def propose(
    ground: Ground,
    believer: Believer,
    tried: Sequence[Tried],
    dice: random.Random,
    infeasible: Sequence[Tried] = (),
    elsewhere: Sequence[Tried] = (),
) -> Proposal:
    """Return the candidate with the largest expected improvement over the best posterior mean of
    what was tried, or of the control, by the probability that it can be trained. None that probably
    cannot, by those that were ``infeasible``, and none that was tried before, where there is another.

    A fifth of the candidates are from all of the space; the others lie near the control, or near
    the incumbent with half of its values kept, by how likely the better third of what was tried is
    under each. What was tried ``elsewhere``, in studies that this one learns from, may be the
    incumbent, and the best of it are candidates as they are.

    Source: Mallik et al. 2023 (PriorBand: Practical Hyperparameter Optimization in the Age of Deep
    Learning), section 5, for the candidates.
    """
    seen = [*tried, *elsewhere]
    known = believer.of([each.values for each in seen])
    order = np.argsort(-known.means_C[:-1], kind="stable")
    incumbent = seen[int(order[0])]
    top = [seen[place].values for place in order[: max(1, math.ceil(TOP * len(seen)))]]
    near = {
        Origin.UNIFORM: None,
        Origin.CONTROL: ground.near(ground.control),
        Origin.INCUMBENT: ground.near(incumbent.params, changes=CHANGES),
    }
    shares = shares_of(believer, incumbent.values, top)
    origins = dice.choices(list(shares), list(shares.values()), k=CANDIDATES)
    candidates = [ground.drawn(dice, near[origin]) for origin in origins]
    learned = [seen[place] for place in order if place >= len(tried)][:MOST_LEARNED]
    candidates += learned
    origins += [Origin.LEARNED] * len(learned)
    found = believer.of([candidate.values for candidate in candidates])
    means_C, sds_C = found.means_C[:-1], found.sds_C[:-1]
    here_C = np.append(known.means_C[: len(tried)], known.means_C[-1])
    gains_C = log_improvement(means_C, sds_C, float(here_C.max()))
    feasible_C = Feasibility(
        believer.coordinates,
        [each.values for each in tried],
        [each.values for each in infeasible],
    ).of([candidate.values for candidate in candidates])
    gains_C += np.log(feasible_C)
    for wanted_C in (feasible_C >= LIKELY, news_among(believer, candidates, [*tried, *infeasible])):
        if (wanted_C & np.isfinite(gains_C)).any():
            gains_C = np.where(wanted_C, gains_C, -np.inf)
    chosen = int(np.argmax(gains_C))
    return Proposal(
        candidates[chosen].params, origins[chosen], float(means_C[chosen]), float(sds_C[chosen])
    )


def news_among(
    believer: Believer, candidates: Sequence[Tried], tried: Sequence[Tried]
) -> npt.NDArray[np.bool_]:
    """Return which candidates (C,) are no config that was tried."""
    coordinates = believer.coordinates
    here = points_of(coordinates, [each.values for each in candidates])
    there = points_of(coordinates, [each.values for each in tried])
    return np.asarray((coordinates.distances(here, there) > 0).all(axis=1))


def shares_of(
    believer: Believer, incumbent: Mapping[str, Value], top: Sequence[Mapping[str, Value]]
) -> dict[Origin, float]:
    """Return the share of candidates of each origin. What lies near the control and near the
    incumbent is dealt by the likelihood of the top configs, the best first, under a normal density
    around each, weighted by rank.
    """
    coordinates = believer.coordinates
    points = np.array([coordinates.of(values) for values in top])
    centres = np.stack([coordinates.of({}), coordinates.of(incumbent)])
    squared_CT = coordinates.distances(centres, points)
    ranks_T = np.arange(len(top), 0, -1)
    # in units of the density's width; less the smallest, so that not both are 0
    exponents_CT = -squared_CT / (2 * Near({}).width ** 2)
    likelihoods = (np.exp(exponents_CT - exponents_CT.max()) * ranks_T).sum(axis=1)
    control, near_best = (1 - UNIFORM) * likelihoods / likelihoods.sum()
    return {
        Origin.UNIFORM: UNIFORM,
        Origin.CONTROL: float(control),
        Origin.INCUMBENT: float(near_best),
    }


def log_improvement(means_C: Floats, sds_C: Floats, best: float) -> Floats:
    """Return the logarithm of the expected improvement over ``best``, also where that is too small
    for a float.

    Source: Jones et al. 1998 (Efficient Global Optimization of Expensive Black-Box Functions),
    equation 15; its logarithm: Ament et al. 2023 (Unexpected Improvements to Expected Improvement
    for Bayesian Optimization), section 4.1.
    """
    sds_C = np.maximum(sds_C, 1e-12)
    z_C = (means_C - best) / sds_C
    high_C = np.maximum(z_C, FAR[1])
    low_C = np.clip(z_C, FAR[0], FAR[1])
    density_C = np.exp(-0.5 * high_C**2) / math.sqrt(2 * math.pi)
    above_C = np.log(density_C + high_C * ndtr(high_C))
    # phi + z Phi = phi (1 + z Phi / phi), where the ratio is Mills'; far below, 1 + ... is 1 / z^2
    shrunk_C = 1 + low_C * math.sqrt(math.pi / 2) * erfcx(-low_C / math.sqrt(2))
    shrunk_C = np.where(z_C < FAR[0], np.minimum(z_C, FAR[0]) ** -2.0, shrunk_C)
    below_C = -0.5 * np.minimum(z_C, 0.0) ** 2 - 0.5 * math.log(2 * math.pi) + np.log(shrunk_C)
    return np.asarray(np.where(z_C > FAR[1], above_C, below_C) + np.log(sds_C))
