"""Which configs can be trained, learned from those that could and those that could not."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from search.posterior.coordinates import Coordinates, points_of
from spaces.values import Value

Floats = npt.NDArray[np.float64]

PRIOR = 0.1  # configs that the usual share is worth, beside those that are alike
SHARPNESS = (
    0.0,
    4.0,
    25.0,
    100.0,
)  # by field: of one that does not matter, to a tenth of the range
SWEEPS = 2
MOST = 150  # configs that it learns from, the newest
LIKELY = 0.8  # what is less likely to be trained is not proposed, where there is anything else


class Feasibility:
    """The share of configs that could be trained among those that are alike. Which fields make
    configs alike is chosen by how well each config is told from the others.

    Source: Nadaraya 1964 (On Estimating Regression), for the share; Stone 1974 (Cross-Validatory
    Choice and Assessment of Statistical Predictions), for the choice.
    """

    def __init__(
        self,
        coordinates: Coordinates,
        could: Sequence[Mapping[str, Value]],
        could_not: Sequence[Mapping[str, Value]],
    ) -> None:
        self.coordinates = coordinates
        share = MOST // 2
        good, bad = could[-max(share, MOST - len(could_not)) :], could_not[-share:]
        self.points_ND = points_of(coordinates, [*good, *bad])
        self.could_N = np.concatenate([np.ones(len(good)), np.zeros(len(bad))])
        # one more of each, so that neither is impossible
        self.usual = float((len(good) + 1) / (len(good) + len(bad) + 2))
        self.sharpness_D = self._chosen() if len(bad) else np.zeros(len(coordinates.fields))

    def of(self, configs: Sequence[Mapping[str, Value]]) -> Floats:
        """Return the probability (C,) that configs can be trained; 1 where all could."""
        if self.could_N.all():
            return np.ones(len(configs))
        points_CD = points_of(self.coordinates, configs)
        squared_DCN = self.coordinates.squared(points_CD, self.points_ND)
        return self._share(np.tensordot(self.sharpness_D, squared_DCN, 1))

    def _chosen(self) -> Floats:
        squared_DNN = self.coordinates.squared(self.points_ND, self.points_ND)
        best_D = np.zeros(len(squared_DNN))
        distances_NN = np.zeros(squared_DNN.shape[1:])
        most = self._left_out(distances_NN)
        for _ in range(SWEEPS):
            before = most
            for field, squared_NN in enumerate(squared_DNN):
                rest_NN = distances_NN - best_D[field] * squared_NN
                for sharpness in SHARPNESS:
                    moved_NN = rest_NN + sharpness * squared_NN
                    if (found := self._left_out(moved_NN)) > most:
                        best_D[field], most, distances_NN = sharpness, found, moved_NN
            if most == before:
                break
        return best_D

    def _left_out(self, distances_NN: Floats) -> float:
        """Return how likely each config's fate is by the others'."""
        alone_NN = distances_NN.copy()
        np.fill_diagonal(alone_NN, np.inf)
        share_N = np.clip(self._share(alone_NN), 1e-6, 1 - 1e-6)
        return float(np.log(np.where(self.could_N > 0, share_N, 1 - share_N)).sum())

    def _share(self, distances_CN: Floats) -> Floats:
        alike_CN = np.exp(-distances_CN)
        good_C = PRIOR * self.usual + alike_CN @ self.could_N
        return np.asarray(good_C / (PRIOR + alike_CN.sum(axis=1)))
