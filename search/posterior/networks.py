"""What is believed of trained networks, where `Belief` is of configs; and how probably their ensemble
is truly better than one of them.

A run's score is that of its config, moved by its seed, and by luck. What the seed has done to the
network stays with its weights; the luck is of the frames that scored it, and on others it is gone. How
much of what runs of one config differ by is luck, the places of the frames say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr

from search.posterior.belief import Believer
from search.posterior.carried import Carried
from search.posterior.gaussian import Posterior
from spaces.values import Value

Floats = npt.NDArray[np.float64]

LEAST_SD = 1e-6
# of what runs of one config differ by, in variance, so much at least is luck, whatever the places tell:
# they say too little of what differs from one part of the data to another
LEAST_LUCK = 0.5


@dataclass(frozen=True)
class Networks:
    """What is known of M networks: what is believed of their configs, the scores (M,) of the runs that
    trained them, how far runs of one config differ, and how far off a run's score is but for that.
    """

    configs: Posterior
    runs_M: Floats
    seed_sd: float
    epoch_sds_M: Floats

    @classmethod
    def believed(
        cls, believer: Believer, configs: Sequence[Mapping[str, Value]], runs: Carried
    ) -> Self:
        """Return the networks that runs have trained, by the values of their configs; the believer was
        told these runs, too. (Of one that it was not told, a little too much is believed.)
        """
        believed = believer.of(configs).posterior
        configs_MM = believed.covariances_CC[:-1, :-1]
        posterior = Posterior(believed.means_C[:-1], configs_MM)
        off_M = np.hypot(runs.epoch_sds_N, runs.early_sds_N)
        return cls(posterior, runs.scores_N, believer.process.scales.seed_sd, off_M)

    @classmethod
    def observed(cls, scores_M: Floats) -> Self:
        """Return networks of which nobody has chosen any by its score, and nothing else is known."""
        nothing_MM = np.zeros((len(scores_M), len(scores_M)))
        return cls(Posterior(scores_M, nothing_MM), scores_M, np.inf, np.zeros(len(scores_M)))

    def kept_M(self, luck: float) -> Floats:
        """Return the share (M,) of what a run differs by from its config that its network keeps, with
        ``luck`` the deviation by the frames: ``1 - (n^2 + e^2) / (s^2 + e^2)``, 0 at least.
        """
        epochs_M = self.epoch_sds_M**2
        return np.clip(1.0 - (luck**2 + epochs_M) / (self.seed_sd**2 + epochs_M), 0.0, 1.0)

    def means_M(self, luck: float) -> Floats:
        """Return the expected true scores (M,). With ``y = f + s + e``, of which ``s`` is the network's
        and normal as ``e`` is, ``E[s | y] = kept (y - E[f | y])``: both are the same linear form of the
        observations, times the two variances.
        """
        return self.configs.means_C + self.kept_M(luck) * (self.runs_M - self.configs.means_C)

    def scores(self, luck: float) -> Posterior:
        """Return what is believed of the true scores of the networks themselves: means as in `means_M`,
        and covariances ``(1 - kept) C (1 - kept)`` of their configs', with ``kept (n^2 + e^2)`` beside.
        """
        kept_M = self.kept_M(luck)
        rest_M = 1.0 - kept_M
        covariances_MM = self.configs.covariances_CC * np.outer(rest_M, rest_M)
        covariances_MM[np.diag_indices_from(covariances_MM)] += kept_M * (
            luck**2 + self.epoch_sds_M**2
        )
        return Posterior(self.means_M(luck), covariances_MM)

    def luck(self, by_places: float | None) -> float:
        """Return the deviation by the frames that is believed, from what places tell, if they do."""
        return max(by_places or 0.0, self.seed_sd * float(LEAST_LUCK**0.5))


@dataclass(frozen=True)
class Seen:
    """What the places of the validation part say of an ensemble: each member's share of it, by how
    much its score is above the mean of theirs, so weighted, what its choice has made of that, and
    covariances over places, (1 + M, 1 + M), the ensemble's score first.
    """

    shares_M: Floats
    over_members: float
    optimism: float
    covariances: Floats
    places: int

    @property
    def luck(self) -> float:
        """The deviation of one network's score by the frames alone: differences of two have twice its
        variance.
        """
        return luck_of(self.covariances[1:, 1:])


def luck_of(covariances_MM: Floats) -> float:
    """Return the deviation of one network's score by the frames alone, from the covariances over places
    of the scores of M networks: differences of two have twice its variance.
    """
    variances_M = np.diagonal(covariances_MM)
    pairs_MM = variances_M[:, None] + variances_M[None] - 2.0 * covariances_MM
    pairs = len(pairs_MM) * (len(pairs_MM) - 1)
    return float(max(pairs_MM.sum() / max(pairs, 1) / 2.0, 0.0) ** 0.5)


@dataclass(frozen=True)
class Advantage:
    """By how much an ensemble is expected to be truly better than one network, how far off that may
    be, and how probably it is more than nothing. ``members`` is the part that its members' believed
    scores make of it; their mean is mostly below the best one's.
    """

    gain: float
    sd: float
    probability: float
    members: float


def probability_above(gain: float, sd: float, places: int) -> float:
    """Return how probably a gain is truly more than nothing whose deviation is estimated from so many
    places: by Student's t.
    """
    return float(stdtr(max(places - 1, 1), gain / max(sd, LEAST_SD)))


def advantage(networks: Networks, seen: Seen, single: int) -> Advantage:
    """Return what an ensemble is expected to have over one of the networks, ``single``.

    With ``a`` the members' shares less the single one, ``m`` the networks' believed scores, and ``o``
    the optimism: ``gain = a m + over members - o``. Its variance is that of the configs' scores, of
    what the seeds may have done, and of all scores over places, of which differences are taken: with
    ``kept = 1`` the last is that of ensemble less single, with 0 of ensemble less its members.
    """
    luck = seen.luck
    kept_M, a_M = networks.kept_M(luck), seen.shares_M.copy()
    a_M[single] -= 1.0
    members = float(a_M @ networks.means_M(luck))
    configs_M = a_M * (1.0 - kept_M)
    over_places = np.concatenate([[1.0], a_M * kept_M - seen.shares_M])
    epochs_M = networks.epoch_sds_M**2
    seeds_M = kept_M * (1.0 - kept_M) * (luck**2 + epochs_M) + kept_M**2 * epochs_M
    variance = (
        configs_M @ networks.configs.covariances_CC @ configs_M
        + a_M**2 @ seeds_M
        + over_places @ seen.covariances @ over_places
    )
    gain = members + seen.over_members - seen.optimism
    sd = max(float(variance), 0.0) ** 0.5
    return Advantage(gain, sd, probability_above(gain, sd, seen.places), members)
