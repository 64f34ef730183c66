"""Made studies of networks whose true scores are known: how often is a rule wrong that exports an
ensemble, or refuses one, and what does it gain?

A network gives each pixel of some places its true class's logit, as strong as its config and its seed
have made it, and errors: of the place and of the pixel, which all networks share in part. The study
has seen few places; the truth is of many others. Which networks are kept, which one would be handed
out, and what the posterior believes are the product's own code, told the scores of 24 trainings.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from objectives.ensemble.judging import JudgedEnsemble, judged_ensemble, place_halves
from objectives.ensemble.library import Library, Rule
from objectives.ensemble.selection import Greedy, best_member, members_in, select, single
from objectives.statistics.resampling import covariances_of, left_out_scores
from objectives.statistics.scores import Scoring
from search.posterior.belief import Believer, Run, beats
from search.posterior.carried import carry
from search.posterior.coordinates import Coordinates, Number
from search.posterior.gaussian import Posterior
from search.posterior.networks import Advantage, Networks, Seen, advantage, luck_of
from search.posterior.standing import standing_of
from search.study.luck import NETWORKS

Floats = npt.NDArray[np.float64]

CLASSES = 3
FIELDS = ("a", "b", "c")
COORDINATES = Coordinates({name: Number(0, 1) for name in FIELDS}, dict.fromkeys(FIELDS, 0.5))
RUNS, KEPT, EPOCHS = 24, 8, 12
PIXELS = 40  # of a place
TRUE_PLACES = 300
STRATEGY = Greedy(4, picks=10, bags=6)


@dataclass(frozen=True)
class World:
    """How networks differ: ``places`` have scored them; ``common`` is the share of their errors'
    variance that all have alike; ``seeds`` the deviation of a network's strength by its seed.
    """

    places: int
    common: float
    seeds: float


def chosen(believed: Posterior) -> int:
    """Return what would be handed out, of networks or of configs of which the first is the control."""
    beats_C = beats(believed, 0)
    ranks = [
        (-standing_of(None if n == 0 else float(beats_C[n])), -float(mean), n)
        for n, mean in enumerate(believed.means_C)
    ]
    return min(ranks)[-1]


@dataclass(frozen=True)
class _Network:
    strength: float
    noise: int  # what its own errors are drawn by


class MadeStudy:
    """A study of 24 trainings, of which the networks of the best eight and the control are kept."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.seed = world, seed
        self.random = np.random.default_rng(seed)
        best = 0.5 + 0.15 * self.random.normal(size=len(FIELDS))
        points = self.random.normal(0.5, 0.18, (RUNS, len(FIELDS))).clip(0, 1)
        points[0] = 0.5
        strengths = 1.6 - ((points - best) ** 2) @ np.array([2.5, 1.0, 0.3])
        strengths += world.seeds * self.random.normal(size=RUNS)
        networks = [_Network(float(each), seed * 1000 + n) for n, each in enumerate(strengths)]
        values = [dict(zip(FIELDS, map(float, point), strict=True)) for point in points]
        here = [self._library([network], world.places, 0) for network in networks]
        self.scores = np.array([_score_of(each, single(0, 1)) for each in here])
        runs = [Run(*each) for each in zip(values, map(self._curve, self.scores), strict=True)]
        self.believer = Believer(COORDINATES, runs, EPOCHS)
        self.networks = Networks.believed(
            self.believer, values, carry([run.scores_E for run in runs], [True] * RUNS, EPOCHS)
        )
        left_out = [
            left_out_scores(each.confusions_GKK(single(0, 1)), each.scoring) for each in here
        ]
        best = np.argsort(-self.scores, kind="stable")[:NETWORKS]
        self.luck = luck_of(covariances_of(np.stack(left_out)[best]))
        believed = self.networks.scores(self.networks.luck(self.luck))
        self.first = chosen(believed)
        by_mean = np.argsort(-believed.means_C, kind="stable")[:KEPT].tolist()
        self.kept = sorted({0, self.first, *by_mean}, key=lambda n: (-self.scores[n], n))
        self.winner = self.kept.index(self.first)
        self._all = networks
        kept = [networks[n] for n in self.kept]
        self.library = self._library(kept, world.places, 0)
        self.fresh = self._library(kept, TRUE_PLACES, 1)

    @cached_property
    def judged(self) -> JudgedEnsemble:
        """The ensemble, chosen as the export chooses it."""
        return judged_ensemble(self.library, STRATEGY, seed=self.seed, halvings=2)

    @cached_property
    def advantage(self) -> Advantage:
        """What the product believes of it."""
        judged = self.judged
        seen = Seen(
            np.array(judged.shares_M),
            judged.over_members,
            judged.optimism,
            judged.covariances,
            judged.places,
        )
        kept, every = self.kept, self.networks
        configs = every.configs
        some = Posterior(configs.means_C[kept], configs.covariances_CC[np.ix_(kept, kept)])
        networks = Networks(some, every.runs_M[kept], every.seed_sd, every.epoch_sds_M[kept])
        return advantage(networks, seen, self.winner)

    @cached_property
    def truths(self) -> Floats:
        """The true score of each network."""
        fresh = [self._library([network], TRUE_PLACES, 1) for network in self._all]
        return np.array([_score_of(each, single(0, 1)) for each in fresh])

    @cached_property
    def truth(self) -> float:
        """By how much the ensemble is truly better than the network that would be handed out."""
        alone = single(self.winner, len(self.kept))
        return _score_of(self.fresh, self.judged.rule) - _score_of(self.fresh, alone)

    @property
    def is_single(self) -> bool:
        """Whether the best of all averages is one network, which no rule exports as an ensemble."""
        return len(members_in(self.judged.rule)) == 1

    @cached_property
    def lead_by_halves(self) -> float:
        """What the rule of before went by: ensemble less best network, both chosen on one half of
        the places and scored on the other, both ways round.
        """
        library, random = self.library, np.random.default_rng(self.seed)
        halves = place_halves(library.class_pixels_GK(), library.scored, self.seed)
        total_2KK = np.zeros((2, CLASSES, CLASSES), np.int64)
        for choosing, judging in (halves, halves[::-1]):
            sample = library.sample(choosing, 200_000, random)
            rules = select(sample, STRATEGY, random), single(best_member(sample), len(self.kept))
            for place, rule in enumerate(rules):
                total_2KK[place] += library.confusions_GKK(rule)[judging].sum(axis=0)
        return library.scoring.of(total_2KK[0]) - library.scoring.of(total_2KK[1])

    def _curve(self, score: float) -> Floats:
        rise = 1 - np.exp(-5 * np.arange(1, EPOCHS + 1) / EPOCHS)
        return np.asarray(score * rise / rise[-1] + 0.006 * self.random.normal(size=EPOCHS))

    def _library(self, networks: list[_Network], places: int, which: int) -> Library:
        """Networks' probabilities on the same places, which are others for another ``which``."""
        common = np.random.default_rng([self.seed, which])
        labels_P = common.integers(0, CLASSES, places * PIXELS)
        shared_PK = self._errors(common, places, self.world.common)
        members = []
        for network in networks:
            own = np.random.default_rng([network.noise, which])
            logits_PK = network.strength * np.eye(CLASSES)[labels_P] + shared_PK
            raised_PK = np.exp(logits_PK + self._errors(own, places, 1.0 - self.world.common))
            members.append((raised_PK / raised_PK.sum(axis=1, keepdims=True)).astype(np.float32))
        where_P = np.repeat(np.arange(places), PIXELS)
        return Library(tuple(members), labels_P, where_P, Scoring(tuple(range(CLASSES))))

    @staticmethod
    def _errors(random: np.random.Generator, places: int, share: float) -> Floats:
        of_places = np.repeat(random.normal(0, 0.4, (places, CLASSES)), PIXELS, axis=0)
        return np.asarray(
            share**0.5 * (of_places + random.normal(0, 1.0, (places * PIXELS, CLASSES)))
        )


def _score_of(library: Library, rule: Rule) -> float:
    return library.scoring.of(library.confusions_GKK(rule).sum(axis=0))
