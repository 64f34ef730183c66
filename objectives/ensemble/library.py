"""The probabilities of several models on the same labelled pixels, and the scores of what combines
them. Imports no torch.

Averages are over probabilities, and a pixel is given the scored class with the highest average, as
one model's label is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from objectives.ensemble.probability_codes import decode_probabilities
from objectives.ensemble.stacking import Stack
from objectives.statistics.scores import Scoring, iou, measured

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.integer]
Counts = npt.NDArray[np.int64]
Weights = tuple[float, ...]  # of each member of a library, of sum 1
Rule = Weights | Stack  # how members are combined

_CHUNK = 4_000_000  # probabilities of one member that are decoded at once
_SAMPLE = 64_000_000  # probabilities of all members together that a sample may hold: 256 MB


@dataclass(frozen=True)
class Library:
    """Members' probabilities (P, K) on P labelled pixels: uint8 codes of `encode_probabilities`, or
    floats.

    Arrays may be memory maps; they are read a part at a time. A member should have been chosen (its
    epoch, its config) before, and by a rule that treats all members alike: what that made
    optimistic stays so in every score here, equally for all.
    """

    members: tuple[npt.NDArray[np.uint8] | npt.NDArray[np.floating], ...]
    labels_P: Integers  # 0..K-1, ignored pixels left out
    places_P: Integers  # which place each pixel belongs to: 0..G-1
    scoring: Scoring

    def __post_init__(self) -> None:
        assert self.members, "no member"
        assert len({member.shape for member in self.members}) == 1, [
            member.shape for member in self.members
        ]
        assert len(self.labels_P) == len(self.places_P) == len(self.members[0]), len(self.labels_P)

    @property
    def scored(self) -> tuple[int, ...]:
        """The labels that are predicted."""
        return self.scoring.scored

    @property
    def num_classes(self) -> int:
        """K."""
        return int(self.members[0].shape[1])

    @property
    def places(self) -> int:
        """G."""
        return int(self.places_P.max(initial=-1)) + 1

    def class_pixels_GK(self) -> Counts:
        """Labelled pixels of each class in each place."""
        cells = self.places_P.astype(np.int64) * self.num_classes + self.labels_P
        size = self.places * self.num_classes
        return np.bincount(cells, minlength=size).reshape(self.places, self.num_classes)

    def confusions_GKK(self, rule: Rule) -> Counts:
        """Confusion matrices by place of a combination, over all pixels; members that have no part
        in it are not read.
        """
        size = self.places * self.num_classes**2
        total = np.zeros(size, dtype=np.int64)
        for part in self._parts():
            chosen = highest(self._combined(rule, part))
            predicted = np.array(self.scored, dtype=np.int64)[chosen]
            cells = (
                self.places_P[part].astype(np.int64) * self.num_classes + self.labels_P[part]
            ) * self.num_classes + predicted
            total += np.bincount(cells, minlength=size)
        return total.reshape(self.places, self.num_classes, self.num_classes)

    def sample(self, places: Integers, pixels: int, generator: np.random.Generator) -> "Sample":
        """Pixels of some places, ready for many trials of averages: all of them, or a random
        ``pixels`` where there are more.

        With many members or classes it may be fewer, so that it fits into memory.
        """
        inside = np.flatnonzero(np.isin(self.places_P, places))
        most = max(1, min(pixels, _SAMPLE // (len(self.members) * len(self.scored))))
        if len(inside) > most:
            inside = np.sort(generator.choice(inside, most, replace=False, shuffle=False))
        planes = np.stack(
            [_decoded(member[inside])[:, list(self.scored)].T for member in self.members]
        )
        position = np.full(self.num_classes, len(self.scored), dtype=np.int64)
        position[list(self.scored)] = np.arange(len(self.scored))
        return Sample(
            np.ascontiguousarray(planes), position[self.labels_P[inside]], self.scoring.renumbered()
        )

    def _parts(self) -> Iterator[slice]:
        step = max(1, _CHUNK // self.num_classes)
        for start in range(0, len(self.labels_P), step):
            yield slice(start, start + step)

    def _combined(self, rule: Rule, part: slice) -> Floats:
        """Values (S, p) whose highest is the label: an average, or a second model's logits."""
        if isinstance(rule, Stack):
            return rule.logits_SQ(
                np.stack([self._plane_SQ(member, part) for member in rule.members])
            )
        assert len(rule) == len(self.members), (len(rule), len(self.members))
        total_SQ = np.zeros((len(self.scored), len(self.labels_P[part])), dtype=np.float32)
        for member, weight in enumerate(rule):
            if weight:
                total_SQ += np.float32(weight) * self._plane_SQ(member, part)
        return total_SQ

    def _plane_SQ(self, member: int, part: slice) -> Floats:
        return _decoded(self.members[member][part])[:, list(self.scored)].T


@dataclass(frozen=True)
class Sample:
    """Pixels on which averages are tried: decoded probabilities of the S scored classes, and labels
    as 0..S-1, S for others; ``scoring`` is of labels so numbered.
    """

    planes_MSQ: Floats
    labels_Q: Counts
    scoring: Scoring

    def iou_S(self, sum_SQ: Floats) -> npt.NDArray[np.float64]:
        """IoU of each scored class for a sum of members' probabilities; NaN where a class does not
        occur.
        """
        return measured(iou, *self._counts(sum_SQ))

    def score(self, sum_SQ: Floats) -> float:
        """The score of a sum of members' probabilities; 0 when no class that counts occurs."""
        values_S = measured(self.scoring.measure, *self._counts(sum_SQ))
        return float(np.nan_to_num(self.scoring.over(values_S)))

    def _counts(self, sum_SQ: Floats) -> tuple[Counts, Counts, Counts]:
        """Hits, true and predicted pixels of each scored class."""
        classes = len(sum_SQ)
        labels = highest(sum_SQ)
        hits = np.bincount(labels[labels == self.labels_Q], minlength=classes)
        true = np.bincount(self.labels_Q, minlength=classes + 1)[:classes]
        return hits, true, np.bincount(labels, minlength=classes)


def highest(values_SQ: Floats) -> npt.NDArray[np.int64]:
    """Return the first row with the highest value of each column: argmax over few rows, several
    times as fast as numpy's own.
    """
    best = values_SQ[0].copy()
    chosen = np.zeros(best.shape, dtype=np.int64)
    for row, values in enumerate(values_SQ[1:], start=1):
        np.putmask(chosen, values > best, row)
        np.maximum(best, values, out=best)
    return chosen


def _decoded(probabilities: npt.NDArray[np.uint8] | npt.NDArray[np.floating]) -> Floats:
    if probabilities.dtype == np.uint8:
        return decode_probabilities(probabilities.astype(np.uint8, copy=False))
    return probabilities.astype(np.float32)
