"""The cut of frames into parts: whole groups, dealt at random within a tolerance, every class
everywhere.

Parts that differ between seeds as random ones do are what an interval over seeds rests on: a cut
that is balanced as well as can be is nearly the same one for every seed. So the balance is only
kept within `TOLERANCE`; where groups are too few for that, it is no worse than that of a middling
random cut.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from objectives.data.options import PARTS

# of its share: how far a part's frames, and its pixels of the rarest class, may be off
TOLERANCE = 0.25
# the same of its groups, of the rarest class's frames and groups, and of all that other classes
# have
COMMON_TOLERANCE = 0.5
# of the groups: the most that are moved for the balance, so that the rest stay where chance put
# them
MOVED = 0.1
_DEALS = 32  # random cuts that the one is taken from
_ABSENT = 9e3, 3e3  # cost of a class that the first part lacks, or another: training needs it most
_EMPTY = 1e6  # cost of a part without frames
_PROPOSALS = 40, 4000  # for each group, and at most
_CANDIDATES = 200
_NOTHING = 1e-12  # of what is dealt


def split(
    groups: np.ndarray, pixel_counts: np.ndarray, shares: tuple[float, float, float], seed: int
) -> dict[str, np.ndarray]:
    """Return the frames of ``train``, ``validation`` and ``test``: sorted int64 indices, disjoint,
    all frames placed.

    ``groups`` (N,) of 0..G-1: a group never straddles parts. ``pixel_counts`` (N, S) of the scored
    classes: each part gets its share of frames and of the rarest class's pixels within `TOLERANCE`,
    and more loosely of all else, where that can be. A part goes without a class only when too few
    groups hold it, and validation, which chooses the model, has labelled pixels before test has. Of
    a share of 0 the test part is empty. The same arguments give the same parts.
    """
    dealt = deal(groups, pixel_counts, shares if shares[2] else shares[:2], seed)
    train, validation, test = (*dealt, np.zeros(0, np.int64))[: len(PARTS)]
    if pixel_counts[test].any() and not pixel_counts[validation].any():
        validation, test = test, validation
    return dict(zip(PARTS, (train, validation, test), strict=True))


def deal(
    groups: np.ndarray, pixel_counts: np.ndarray, shares: tuple[float, ...], seed: int
) -> list[np.ndarray]:
    """Return the frames of each share, as `split`: sorted int64 indices. The first part is trained
    on.
    """
    generator = np.random.default_rng(seed)
    measures = _Measures.of(groups, pixel_counts[:, pixel_counts.sum(axis=0) > 0], shares)
    part_of = _chosen(measures, generator).part_of if len(measures.loads) else np.zeros(0, np.int64)
    return [np.flatnonzero(part_of[groups] == part) for part in range(len(shares))]


class _Cost(NamedTuple):
    """What is wrong with a cut; compared in this order."""

    lacks: float  # parts without frames, or without a class
    excess: float  # how far beyond the tolerance parts are; 0: within


@dataclass(frozen=True)
class _Measures:
    """What is shared out; a load is a group's share of each measure: frames, groups, per class
    pixels, frames, groups.
    """

    loads: np.ndarray  # (G, M)
    tolerance: np.ndarray  # (M,)
    shares: np.ndarray  # (P, 1)
    num_classes: int

    @classmethod
    def of(
        cls, groups: np.ndarray, pixel_counts: np.ndarray, shares: tuple[float, ...]
    ) -> "_Measures":
        """Of frames whose every class has pixels."""
        num_classes = pixel_counts.shape[1]
        per_frame = np.concatenate(
            [np.ones((len(groups), 1)), pixel_counts, pixel_counts > 0], axis=1
        )
        loads = np.zeros((int(groups.max(initial=-1)) + 1, per_frame.shape[1]))
        np.add.at(loads, groups, per_frame)
        has_class = loads[:, 1 : 1 + num_classes] > 0
        loads = np.concatenate(
            [loads[:, :1], np.ones((len(loads), 1)), loads[:, 1:], has_class], axis=1
        )
        tolerance = np.full(loads.shape[1], COMMON_TOLERANCE)
        tolerance[0] = TOLERANCE
        if num_classes:
            tolerance[2 + int(np.argmin(pixel_counts.sum(axis=0)))] = TOLERANCE
        return cls(
            loads / np.maximum(loads.sum(axis=0), 1),
            tolerance,
            np.array(shares)[:, None],
            num_classes,
        )

    def cost(self, held: np.ndarray) -> _Cost:
        """Return what is wrong where the parts hold this, (P, M)."""
        classes = held[:, 2 : 2 + self.num_classes] <= _NOTHING
        absent = float(classes[0].sum()) * _ABSENT[0] + float(classes[1:].sum()) * _ABSENT[1]
        off = np.abs(held / self.shares - 1.0) - self.tolerance
        excess = float((np.maximum(off, 0.0) ** 2).sum())
        return _Cost(absent + float((held[:, 0] <= _NOTHING).sum()) * _EMPTY, excess)


@dataclass
class _Cut:
    """Groups in parts."""

    measures: _Measures
    part_of: np.ndarray  # (G,)
    held: np.ndarray = field(init=False)  # (P, M): what each part has
    cost: _Cost = field(init=False)

    def __post_init__(self) -> None:
        parts = len(self.measures.shares)
        self.held = (self.part_of == np.arange(parts)[:, None]).astype(
            np.float64
        ) @ self.measures.loads
        self.cost = self.measures.cost(self.held)

    def moved(self, first: int, goal: int, second: int | None = None) -> np.ndarray:
        """Return what the parts hold once ``first`` is in ``goal`` and ``second``, from there, in
        its place.
        """
        loads = self.measures.loads
        held = self.held.copy()
        change = loads[first] if second is None else loads[first] - loads[second]
        held[self.part_of[first]] -= change
        held[goal] += change
        return held

    def move(
        self, held: np.ndarray, cost: _Cost, first: int, goal: int, second: int | None = None
    ) -> None:
        """Make a move that was looked at with `moved`."""
        if second is not None:
            self.part_of[second] = self.part_of[first]
        self.part_of[first] = goal
        self.held = held
        self.cost = cost

    def fill_gaps(self, generator: np.random.Generator) -> None:
        """Give each part that lacks frames or a class a random one of the groups that mend most."""
        for column in (0, *range(2, 2 + self.measures.num_classes)):
            for part in range(len(self.measures.shares)):
                if self.held[part, column] > _NOTHING:
                    continue
                holders = generator.permutation(np.flatnonzero(self.measures.loads[:, column] > 0))[
                    :_CANDIDATES
                ].tolist()
                lacks = [self.measures.cost(self.moved(group, part)).lacks for group in holders]
                chosen = holders[int(np.argmin(lacks))]  # the first of them, which are shuffled
                if min(lacks) < self.cost.lacks:
                    held = self.moved(chosen, part)
                    self.move(held, self.measures.cost(held), chosen, part)

    def improve(self, generator: np.random.Generator) -> None:
        """Move single groups and swap pairs at random until nothing is wrong, or enough is moved
        that chance had placed.
        """
        groups = len(self.part_of)
        parts = len(self.measures.shares)
        room = int(MOVED * groups)
        proposals = min(_PROPOSALS[0] * groups, _PROPOSALS[1])
        for first, second, part, swaps in generator.integers(
            0, (groups, groups, parts, 2), (proposals, 4)
        ).tolist():
            if not self.cost.lacks and (not self.cost.excess or not room):
                return
            goal = int(self.part_of[second]) if swaps else part
            if goal == self.part_of[first]:
                continue
            held = self.moved(first, goal, second if swaps else None)
            cost = self.measures.cost(held)
            fewer = cost.lacks < self.cost.lacks
            if fewer or (
                room > swaps
                and cost.lacks == self.cost.lacks
                and cost.excess < self.cost.excess - 1e-9
            ):
                room -= 0 if fewer else 1 + swaps
                self.move(held, cost, first, goal, second if swaps else None)


def _chosen(measures: _Measures, generator: np.random.Generator) -> _Cut:
    """Return the first of many random cuts that lacks the least and is no worse balanced than most
    of those; then mended a little.
    """
    cuts = [_random_cut(measures, generator) for _ in range(_DEALS)]
    least = min(cut.cost.lacks for cut in cuts)
    whole = [cut for cut in cuts if cut.cost.lacks == least]
    middling = float(np.median([cut.cost.excess for cut in whole]))
    chosen = next(cut for cut in whole if cut.cost.excess <= middling + _NOTHING)
    chosen.improve(generator)
    return chosen


def _random_cut(measures: _Measures, generator: np.random.Generator) -> _Cut:
    """Groups in random order, each given to the next part that it brings nearer to its share of
    frames; the rest train.
    """
    part_of = np.zeros(len(measures.loads), np.int64)
    order = generator.permutation(len(part_of)).tolist()
    frames = measures.loads[:, 0].tolist()
    smallest = min(frames)
    for part, share in list(enumerate(measures.shares[:, 0].tolist()))[1:]:
        room = share
        rest = []
        for place, group in enumerate(order):
            if room <= smallest / 2:
                rest += order[place:]
                break
            if frames[group] < 2 * room:
                part_of[group], room = part, room - frames[group]
            else:
                rest.append(group)
        order = rest
    cut = _Cut(measures, part_of)
    cut.fill_gaps(generator)
    return cut
