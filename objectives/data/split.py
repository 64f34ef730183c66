"""The cut of frames into parts: whole groups, balanced on the rarest class, every class everywhere."""

from dataclasses import dataclass, field

import numpy as np

from objectives.data.options import PARTS

_ABSENT = 9e3, 3e3  # cost of a class that the first part lacks, or another: training needs it most
_EMPTY = 1e6  # cost of a part without frames
_COMMON, _RAREST = 0.2, (2.0, 1.0, 1.0)  # weight of a common class; of the rarest one's pixels, frames and groups
_PROPOSALS = 6000
_CANDIDATES = 200


def split(groups: np.ndarray, pixel_counts: np.ndarray, shares: tuple[float, float, float], seed: int) -> dict[str, np.ndarray]:
    """The frames of ``train``, ``validation`` and ``test``: sorted int64 indices, disjoint, all frames placed.

    ``groups`` (N,) of 0..G-1: a group never straddles parts. ``pixel_counts`` (N, S) of the scored classes: each part gets
    about its share of frames, of groups, and of every class's pixels, frames and groups, the rarest class's before the others'.
    A part goes without a class only when too few groups hold it, and validation, which chooses the model, has labelled pixels
    before test has. The same arguments give the same parts.
    """
    train, validation, test = deal(groups, pixel_counts, shares, seed)
    if pixel_counts[test].any() and not pixel_counts[validation].any():
        validation, test = test, validation
    return dict(zip(PARTS, (train, validation, test), strict=True))


def deal(groups: np.ndarray, pixel_counts: np.ndarray, shares: tuple[float, ...], seed: int) -> list[np.ndarray]:
    """The frames of each share, as `split`: sorted int64 indices. The first part is trained on."""
    generator = np.random.default_rng(seed)
    cut = _Cut.of(groups, pixel_counts[:, pixel_counts.sum(axis=0) > 0], shares)
    for group in _large_first(cut.loads, generator):
        cut.deal(int(group))
    if len(cut.loads):
        cut.fill_gaps()
        cut.improve(generator)
    return [np.flatnonzero(cut.part_of[groups] == part) for part in range(len(shares))]


@dataclass
class _Cut:
    """Groups dealt to parts; a load is a group's share of each measure: frames, groups, per class pixels, frames, groups."""

    loads: np.ndarray  # (G, M)
    weight: np.ndarray  # (M,)
    shares: np.ndarray  # (P, 1)
    num_classes: int
    part_of: np.ndarray = field(init=False)  # (G,) the part, -1: not dealt yet
    held: np.ndarray = field(init=False)  # (P, M): what each part has
    absent: np.ndarray = field(init=False)  # (P,): what it costs a part to lack a class

    def __post_init__(self) -> None:
        self.part_of = np.full(len(self.loads), -1)
        self.held = np.zeros((len(self.shares), self.loads.shape[1]))
        self.absent = np.array([_ABSENT[0], *[_ABSENT[1]] * (len(self.shares) - 1)])

    @classmethod
    def of(cls, groups: np.ndarray, pixel_counts: np.ndarray, shares: tuple[float, ...]) -> "_Cut":
        """An empty cut; every class has pixels."""
        num_classes = pixel_counts.shape[1]
        per_frame = np.concatenate([np.ones((len(groups), 1)), pixel_counts, pixel_counts > 0], axis=1)
        loads = np.zeros((int(groups.max(initial=-1)) + 1, per_frame.shape[1]))
        np.add.at(loads, groups, per_frame)
        has_class = loads[:, 1 : 1 + num_classes] > 0
        loads = np.concatenate([loads[:, :1], np.ones((len(loads), 1)), loads[:, 1:], has_class], axis=1)
        weight = np.full(loads.shape[1], _COMMON)
        weight[0] = 1.0
        if num_classes:
            rarest = int(np.argmin(pixel_counts.sum(axis=0)))
            weight[[2 + rarest + column * num_classes for column in range(3)]] = _RAREST
        return cls(loads / np.maximum(loads.sum(axis=0), 1), weight, np.array(shares)[:, None], num_classes)

    def deviation(self, held: np.ndarray) -> float:
        """How far parts that hold this (P, M) are from their shares of what is dealt; 0 is exact."""
        return float((((held - self.shares * held.sum(axis=0)) / self.shares) ** 2 @ self.weight).sum())

    def cost(self, held: np.ndarray) -> float:
        """The deviation, and far above it what parts lack."""
        absent = (held[:, 2 : 2 + self.num_classes] <= 1e-12).sum(axis=1) @ self.absent
        return self.deviation(held) + float(absent) + int((held[:, 0] <= 1e-12).sum()) * _EMPTY

    def deal(self, group: int) -> None:
        """Give a group to the part that makes the least deviation."""
        deviations = []
        for part in range(len(self.shares)):
            held = self.held.copy()
            held[part] += self.loads[group]
            deviations.append(self.deviation(held))
        self.part_of[group] = int(np.argmin(deviations))
        self.held[self.part_of[group]] += self.loads[group]

    def moved(self, first: int, goal: int, second: int | None = None) -> np.ndarray:
        """What the parts hold once ``first`` is in ``goal`` and ``second``, from there, in its place."""
        held = self.held.copy()
        change = self.loads[first] if second is None else self.loads[first] - self.loads[second]
        held[self.part_of[first]] -= change
        held[goal] += change
        return held

    def fill_gaps(self) -> None:
        """Give each part that lacks frames or a class the group that has them and costs least, where that helps."""
        for column in (0, *range(2, 2 + self.num_classes)):
            for part in range(len(self.shares)):
                if self.held[part, column] > 1e-12:
                    continue
                holders = np.flatnonzero(self.loads[:, column] > 0)
                smallest = holders[np.argsort(self.loads[holders].sum(axis=1), kind="stable")][:_CANDIDATES]
                costs = [self.cost(self.moved(group, part)) for group in smallest.tolist()]
                chosen = int(np.argmin(costs))
                if costs[chosen] < self.cost(self.held):
                    self.held = self.moved(int(smallest[chosen]), part)
                    self.part_of[smallest[chosen]] = part

    def improve(self, generator: np.random.Generator) -> None:
        """Move single groups and swap pairs at random, keeping what costs less."""
        best = self.cost(self.held)
        bounds = (len(self.loads), len(self.loads), len(self.shares), 2)
        for first, second, part, swaps in generator.integers(0, bounds, (_PROPOSALS, 4)).tolist():
            source = int(self.part_of[first])
            goal = int(self.part_of[second]) if swaps else part
            if goal == source:
                continue
            held = self.moved(first, goal, second if swaps else None)
            cost = self.cost(held)
            if cost < best - 1e-9:
                best, self.held = cost, held
                self.part_of[first] = goal
                if swaps:
                    self.part_of[second] = source


def _large_first(loads: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Groups by their largest share of any measure, about equal ones in random order, which is where the seed acts."""
    size = np.round(np.log2(np.maximum(loads.max(axis=1), 1e-12)))
    return np.lexsort((generator.random(len(loads)), -size))
