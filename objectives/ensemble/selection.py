"""Which members to combine, and how: chosen on some places. Imports no torch.

Hill climbing on a sample of the pixels: a score of some 200,000 pixels tells members apart well
enough, and the judging, which is reported, is over all pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from objectives.ensemble.library import Rule, Sample, Weights
from objectives.ensemble.stacking import Stack, fit_stack


@dataclass(frozen=True)
class Greedy:
    """Forward selection with replacement, begun with the best members, averaged over bags of
    members and cut to ``size``. Where that scores less than the best member, the one from all
    members at once: the cut may leave out a member that is in few bags and by far the best.

    Source: Caruana et al. 2004 (Ensemble Selection from Libraries of Models), sections 2.1
    (replacement), 2.2 (sorted initialisation) and 2.3 (bags).
    """

    size: int  # members at most, whatever their weights
    picks: int = 20  # in a bag, those of the start among them
    bags: int = 20
    share: float = 0.5  # of the members that a bag holds, drawn at random


@dataclass(frozen=True)
class RarePair:
    """The member with the best score and the one with the best IoU of the rarest class; the weight
    from a grid.

    Which class is rarest is an argument: of what the members were trained on, so that both halves of a
    judging mean the same one.
    """

    rarest: int  # its place among the scored classes
    grid: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # weights of the second


@dataclass(frozen=True)
class Stacked:
    """The best members, read by a second model: see `objectives.ensemble.stacking`."""

    size: int = 4  # members at most


@dataclass(frozen=True)
class Even:
    """The first members with equal weights: nothing is chosen."""

    members: int


Strategy = Greedy | RarePair | Stacked | Even


def select(sample: Sample, strategy: Strategy, generator: np.random.Generator) -> Rule:
    """Return the weights of all members, 0 for those that are not in the ensemble; or the second
    model.
    """
    match strategy:
        case Greedy():
            return _greedy(sample, strategy, generator)
        case RarePair():
            return _rare_pair(sample, strategy)
        case Stacked():
            return _stacked(sample, strategy)
        case Even():
            others = len(sample.planes_MSQ) - strategy.members
            return (1.0 / strategy.members,) * strategy.members + (0.0,) * others
        case _:
            assert_never(strategy)


def best_member(sample: Sample) -> int:
    """Return the member with the highest score by itself, the first of equal ones."""
    return int(np.argmax([sample.score(plane) for plane in sample.planes_MSQ]))


def single(member: int, members: int) -> Weights:
    """Return all weight on one member."""
    return tuple(float(each == member) for each in range(members))


def members_in(rule: Rule) -> list[int]:
    """Return the members that have a part in a combination, the one with the largest weight first,
    of a stack the best first.
    """
    if isinstance(rule, Stack):
        return list(rule.members)
    return sorted(
        (member for member, weight in enumerate(rule) if weight),
        key=lambda member: (-rule[member], member),
    )


def shares_of(rule: Rule, members: int) -> Weights:
    """Return each member's part in a combination, of sum 1; those in a stack count alike."""
    if isinstance(rule, Stack):
        return tuple(float(member in rule.members) / len(rule.members) for member in range(members))
    return rule


def _greedy(sample: Sample, strategy: Greedy, generator: np.random.Generator) -> Weights:
    members = len(sample.planes_MSQ)
    alone = [sample.score(plane) for plane in sample.planes_MSQ]
    best_first = sorted(range(members), key=lambda member: (-alone[member], member))
    at_once = _climb(sample, best_first, strategy)
    held = min(members, max(2, round(strategy.share * members)))
    if held == members:
        return _weights(at_once)
    times = np.zeros(members, dtype=np.int64)
    for _ in range(strategy.bags):
        bag = set(generator.choice(members, held, replace=False).tolist())
        times += _climb(sample, [member for member in best_first if member in bag], strategy)
    most_first = sorted(range(members), key=lambda member: (-times[member], -alone[member], member))
    times[most_first[strategy.size :]] = 0
    bagged = _weights(times)
    return bagged if _score_of(sample, bagged) >= max(alone) else _weights(at_once)


def _weights(times_M: np.ndarray) -> Weights:
    return tuple((times_M / times_M.sum()).tolist())


def _score_of(sample: Sample, weights: Weights) -> float:
    return sample.score(np.tensordot(np.array(weights, np.float32), sample.planes_MSQ, axes=1))


def _climb(sample: Sample, bag: Sequence[int], strategy: Greedy) -> np.ndarray:
    """Return how often each member was picked, (M,), from a bag sorted by score: the best of all
    ensembles on the way.
    """
    picked = _start(sample, bag, max(1, strategy.size // 2))
    total_SQ = sample.planes_MSQ[picked].sum(axis=0)
    best = list(picked)
    best_score = sample.score(total_SQ)
    trial_SQ = np.empty_like(total_SQ)
    while len(picked) < strategy.picks:
        allowed = bag if len(set(picked)) < strategy.size else sorted(set(picked))
        scores = [
            sample.score(np.add(total_SQ, sample.planes_MSQ[member], out=trial_SQ))
            for member in allowed
        ]
        member = allowed[int(np.argmax(scores))]
        picked.append(member)
        total_SQ += sample.planes_MSQ[member]
        if max(scores) > best_score:
            best = list(picked)
            best_score = max(scores)
    return np.bincount(best, minlength=len(sample.planes_MSQ))


def _start(sample: Sample, bag: Sequence[int], most: int) -> list[int]:
    """So many of the best members, ``most`` at most, that their even average is highest; the rest
    is left to the climb.
    """
    total_SQ = np.zeros_like(sample.planes_MSQ[0])
    scores = []
    for member in bag[:most]:
        total_SQ += sample.planes_MSQ[member]
        scores.append(sample.score(total_SQ))
    return list(bag[: int(np.argmax(scores)) + 1])


def _rare_pair(sample: Sample, strategy: RarePair) -> Weights:
    members = len(sample.planes_MSQ)
    first = best_member(sample)
    iou = [
        float(np.nan_to_num(sample.iou_S(plane))[strategy.rarest]) for plane in sample.planes_MSQ
    ]
    second = first if iou[first] == max(iou) else int(np.argmax(iou))
    if second == first:
        return single(first, members)
    planes = sample.planes_MSQ
    mixed = [
        sample.score(np.float32(1.0 - weight) * planes[first] + np.float32(weight) * planes[second])
        for weight in strategy.grid
    ]
    weight = strategy.grid[int(np.argmax(mixed))]
    return tuple(
        (1.0 - weight) * one + weight * other
        for one, other in zip(single(first, members), single(second, members), strict=True)
    )


def _stacked(sample: Sample, strategy: Stacked) -> Stack:
    alone = [sample.score(plane) for plane in sample.planes_MSQ]
    best = sorted(range(len(alone)), key=lambda member: (-alone[member], member))[: strategy.size]
    return fit_stack(tuple(best), sample.planes_MSQ[best], sample.labels_Q)
