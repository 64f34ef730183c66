"""An ensemble judged on places that it was not chosen on, against the best single member judged the
same way.

The score that a choice was made by is optimistic, and the more so the more could be chosen from. So
the places are cut into two halves: chosen on one, judged on the other, both ways round, until each
place has judged a choice that it had no part in. What is used in the end is chosen on all places;
its judged score is that of the same procedure with half of them.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from objectives.data.preparing.split import deal
from objectives.ensemble.library import Library, Rule
from objectives.ensemble.selection import Strategy, best_member, select, single
from objectives.errors import UserError
from objectives.statistics.resampling import (
    PLAIN,
    ResampledScores,
    Resampling,
    difference_interval,
    score_interval,
)
from objectives.statistics.scores import Scoring

Counts = npt.NDArray[np.int64]
Places = npt.NDArray[np.int64]

SAMPLED_PIXELS = 200_000  # of a half, for choosing


@dataclass(frozen=True)
class Turn:
    """One way round: chosen on one half of the places, scored on both."""

    rule: Rule
    member: int  # the best single member on the choosing half
    choosing: float  # score of the ensemble on the half that it was chosen on: optimistic
    judging: float  # on the other half
    member_choosing: float
    member_judging: float


@dataclass(frozen=True)
class JudgedEnsemble:
    """An ensemble to use, and what was judged of its procedure. Confusion matrices (G, K, K) are of
    the judging turns.
    """

    rule: Rule  # chosen on all places
    member: int  # the best single member on all places
    turns: tuple[Turn, Turn]
    confusions_GKK: Counts
    member_confusions_GKK: Counts
    scoring: Scoring
    how: Resampling

    @property
    def score(self) -> float:
        """The score over all places, each judged by the ensemble that was chosen on the others."""
        return _score(self.confusions_GKK, self.scoring)

    @property
    def member_score(self) -> float:
        """The same of the best single member, chosen on the same halves."""
        return _score(self.member_confusions_GKK, self.scoring)

    @property
    def beats_member(self) -> bool:
        """Whether the ensemble was judged better than the best single member."""
        return self.score > self.member_score

    @cached_property
    def gain(self) -> ResampledScores:
        """Ensemble minus best single member, judged, with intervals over places."""
        return difference_interval(
            self.confusions_GKK, self.member_confusions_GKK, self.scoring, self.how
        )

    @cached_property
    def interval(self) -> ResampledScores:
        """The judged score of the ensemble, with intervals over places."""
        return score_interval(self.confusions_GKK, self.scoring, self.how)


def judged_ensemble(
    library: Library,
    strategy: Strategy,
    *,
    seed: int,
    pixels: int = SAMPLED_PIXELS,
    how: Resampling = PLAIN,
) -> JudgedEnsemble:
    """Choose an ensemble on all places and judge its procedure on halves; equal arguments give an
    equal one.

    Raises:
        UserError: With fewer than two places.
    """
    refuse_one_place(library.places)
    generator = np.random.default_rng(seed)
    halves = place_halves(library.class_pixels_GK(), library.scored, seed)
    ways = [
        _turn(library, strategy, choosing, judging, pixels, generator)
        for choosing, judging in (halves, halves[::-1])
    ]
    sample = library.sample(np.arange(library.places), 2 * pixels, generator)
    return JudgedEnsemble(
        rule=select(sample, strategy, generator),
        member=best_member(sample),
        turns=(ways[0].turn, ways[1].turn),
        confusions_GKK=ways[0].judged_GKK + ways[1].judged_GKK,
        member_confusions_GKK=ways[0].member_judged_GKK + ways[1].member_judged_GKK,
        scoring=library.scoring,
        how=how,
    )


def refuse_one_place(places: int) -> None:
    """Refuse so few places that none can judge what was chosen on others.

    Raises:
        UserError: With fewer than two.
    """
    if places < 2:
        raise UserError(
            "an ensemble is judged on other places than it was chosen on: one place in the "
            "validation part is too few"
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


@dataclass(frozen=True)
class _Way:
    """A turn, and the confusion matrices (G, K, K) of its judging half; those of other places are
    0.
    """

    turn: Turn
    judged_GKK: Counts
    member_judged_GKK: Counts


def _turn(
    library: Library,
    strategy: Strategy,
    choosing: Places,
    judging: Places,
    pixels: int,
    generator: np.random.Generator,
) -> _Way:
    sample = library.sample(choosing, pixels, generator)
    member = best_member(sample)
    rule = select(sample, strategy, generator)
    ensemble_GKK = library.confusions_GKK(rule)
    member_GKK = library.confusions_GKK(single(member, len(library.members)))
    scoring = library.scoring
    turn = Turn(
        rule=rule,
        member=member,
        choosing=_score(ensemble_GKK[choosing], scoring),
        judging=_score(ensemble_GKK[judging], scoring),
        member_choosing=_score(member_GKK[choosing], scoring),
        member_judging=_score(member_GKK[judging], scoring),
    )
    return _Way(turn, _only(ensemble_GKK, judging), _only(member_GKK, judging))


def _only(confusions_GKK: Counts, places: Places) -> Counts:
    kept = np.zeros_like(confusions_GKK)
    kept[places] = confusions_GKK[places]
    return kept


def _score(confusions_GKK: Counts, scoring: Scoring) -> float:
    return scoring.of(confusions_GKK.sum(axis=0))
