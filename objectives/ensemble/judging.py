"""What an ensemble gains over its members on the places that it was chosen on, how far off that may
be, and by how much choosing there has flattered it.

The gain is paired: what makes a place hard is hard for the members and for their average. Choosing
on the places that judge is optimistic, the more so the more could be chosen from. So the places are
cut into halves, several times: chosen on one, what the gain loses on the other is what the choice
has made of it.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from objectives.data.preparing.split import deal
from objectives.ensemble.library import Library, Rule, Weights
from objectives.ensemble.selection import Strategy, select, shares_of, single
from objectives.errors import UserError
from objectives.statistics.resampling import score_covariances
from objectives.statistics.scores import Scoring

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

SAMPLED_PIXELS = 200_000  # of a half, for choosing
HALVINGS = 5
# the highest of noisy scores is too high by a multiple of their deviation, which on all places is so
# much of that on half of them
OF_A_HALF = 0.5**0.5


@dataclass(frozen=True)
class JudgedEnsemble:
    """An ensemble of some of M members, chosen on all places, and what these say of it."""

    rule: Rule
    score: float  # on all places
    scores_M: Floats  # of each member alone
    shares_M: Weights  # of each in the ensemble, of sum 1
    optimism: float  # how much of the gain the choice has made, estimated: 0 or more
    # (1 + M, 1 + M), of the score and the members' scores, over places: see `score_covariances`
    covariances: Floats
    places: int

    @property
    def over_members(self) -> float:
        """By how much the ensemble scores more than its members do in their weighted mean."""
        return self.score - float(np.dot(self.shares_M, self.scores_M))


def judged_ensemble(
    library: Library,
    strategy: Strategy,
    *,
    seed: int,
    pixels: int = SAMPLED_PIXELS,
    halvings: int = HALVINGS,
) -> JudgedEnsemble:
    """Choose an ensemble on all places and judge it; equal arguments give an equal one.

    Raises:
        UserError: With fewer than two places that hold a class that counts.
    """
    class_pixels_GK = library.class_pixels_GK()
    counting = list(library.scoring.counting)
    refuse_one_place(int((class_pixels_GK[:, counting].sum(axis=1) > 0).sum()))
    generator = np.random.default_rng(seed)
    members = len(library.members)
    members_MGKK = np.stack(
        [library.confusions_GKK(single(member, members)) for member in range(members)]
    )
    sample = library.sample(np.arange(library.places), 2 * pixels, generator)
    rule = select(sample, strategy, generator)
    whole = _Combination(library, rule, members_MGKK)
    flattery = []
    for turn in range(halvings):
        halves = place_halves(class_pixels_GK, library.scored, seed + turn)
        for choosing, judging in (halves, halves[::-1]):
            sample = library.sample(choosing, pixels, generator)
            half = _Combination(library, select(sample, strategy, generator), members_MGKK)
            flattery.append(half.over_members(choosing) - half.over_members(judging))
    known = [each for each in flattery if not math.isnan(each)]  # each half holds what counts
    refuse_one_place(1 + bool(known))
    return JudgedEnsemble(
        rule=rule,
        score=_score(whole.confusions_GKK, library.scoring),
        scores_M=np.array([_score(each, library.scoring) for each in members_MGKK]),
        shares_M=whole.shares_M,
        optimism=OF_A_HALF * max(0.0, float(np.mean(known))),
        covariances=score_covariances(
            np.concatenate([whole.confusions_GKK[None], members_MGKK]), library.scoring
        ),
        places=library.places,
    )


def refuse_one_place(places: int) -> None:
    """Refuse so few places that none can judge what was chosen on others.

    Raises:
        UserError: With fewer than two.
    """
    if places < 2:
        raise UserError(
            "an ensemble is judged on other places than it was chosen on: one place in the "
            "validation part that holds a class of the score is too few"
        )


def place_halves(
    class_pixels_GK: Counts, scored: tuple[int, ...], seed: int
) -> tuple[Places, Places]:
    """Return two halves of the places, sorted, balanced on the scored classes' pixels, the rarest
    class's before the others'.
    """
    halves = deal(
        np.arange(len(class_pixels_GK)), class_pixels_GK[:, list(scored)], (0.5, 0.5), seed
    )
    return halves[0], halves[1]


class _Combination:
    """A combination of members on all places, which may have been chosen on some of them."""

    def __init__(self, library: Library, rule: Rule, members_MGKK: Counts) -> None:
        self.scoring = library.scoring
        self.shares_M = shares_of(rule, len(members_MGKK))
        self.confusions_GKK = library.confusions_GKK(rule)
        self.members_MGKK = members_MGKK

    def over_members(self, places: Places) -> float:
        """By how much it scores more than its members do in their weighted mean, on some places."""
        alone = sum(
            share * _score(each[places], self.scoring)
            for share, each in zip(self.shares_M, self.members_MGKK, strict=True)
            if share
        )
        return _score(self.confusions_GKK[places], self.scoring) - alone


def _score(confusions_GKK: Counts, scoring: Scoring) -> float:
    return scoring.of(confusions_GKK.sum(axis=0))
