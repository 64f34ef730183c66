"""The second model of a stack: its fit against an independent one, what it can mend, and how it is
judged.
"""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn import functional

from objectives.ensemble.judging import judged_ensemble
from objectives.ensemble.library import Floats, Library
from objectives.ensemble.selection import Stacked, members_in, select
from objectives.ensemble.stacking import FLOOR, PENALTY, Stack, fit_stack
from objectives.statistics.scores import Scoring


def library(*strengths: float, pixels: int = 4000, classes: int = 3, seed: int = 0) -> Library:
    """Members that err independently, by strength."""
    generator = np.random.default_rng(seed)
    labels_P = generator.integers(0, classes, pixels)
    members = []
    for strength in strengths:
        logits_PK = (
            generator.normal(0.0, 1.5, (pixels, classes)) + strength * np.eye(classes)[labels_P]
        )
        raised = np.exp(logits_PK)
        members.append((raised / raised.sum(axis=1, keepdims=True)).astype(np.float32))
    return Library(
        tuple(members),
        labels_P,
        np.sort(generator.integers(0, 12, pixels)),
        Scoring(tuple(range(classes))),
    )


def planes_of(made: Library) -> Floats:
    return np.stack([np.asarray(member, dtype=np.float32).T for member in made.members])


def test_the_fit_is_the_minimum_that_an_independent_one_finds() -> None:
    made = library(2.0, 1.0)
    # the last are of no scored class
    planes_MSQ, labels = planes_of(made), np.append(made.labels_P[:-100], np.full(100, 3))
    found = fit_stack((0, 1), planes_MSQ, labels)
    inside = labels < 3
    inputs = (
        torch.from_numpy(np.concatenate([np.log(np.maximum(plane, FLOOR)) for plane in planes_MSQ]))
        .double()
        .T[inside]
    )
    centre = torch.cat([torch.eye(3), torch.eye(3)], dim=1).double() / 2
    weights, offsets = (
        centre.clone().requires_grad_(),
        torch.zeros(3, dtype=torch.float64, requires_grad=True),
    )
    optimiser = torch.optim.LBFGS(
        [weights, offsets], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        penalty = ((weights - centre) ** 2).sum() + (offsets**2).sum()
        value = (
            functional.cross_entropy(inputs @ weights.T + offsets, torch.from_numpy(labels[inside]))
            + PENALTY / 2 * penalty
        )
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    assert not np.allclose(found.weights_SF, centre.numpy(), atol=0.05)
    np.testing.assert_allclose(found.weights_SF, weights.detach().numpy(), atol=5e-3)
    np.testing.assert_allclose(found.offsets_S, offsets.detach().numpy(), atol=5e-3)


def test_its_logits_are_the_formula() -> None:
    generator = np.random.default_rng(0)
    planes_MSQ = generator.dirichlet(np.ones(3), (2, 5)).transpose(0, 2, 1).astype(np.float32)
    planes_MSQ[0, 1, 2] = 0.0  # its logarithm is that of FLOOR
    weights, offsets = (
        generator.normal(size=(3, 6)).astype(np.float32),
        generator.normal(size=3).astype(np.float32),
    )
    found = Stack((4, 1), weights, offsets).logits_SQ(planes_MSQ)
    for s in range(3):
        for q in range(5):
            inputs = [np.log(max(planes_MSQ[m, j, q], FLOOR)) for m in range(2) for j in range(3)]
            assert found[s, q] == pytest.approx(float(weights[s] @ inputs + offsets[s]), abs=1e-4)


def test_without_a_label_it_is_the_geometric_mean() -> None:
    planes_MSQ = planes_of(library(2.0, 1.0))
    found = fit_stack((0, 1), planes_MSQ, np.full(planes_MSQ.shape[2], 3))
    raised = np.exp(found.logits_SQ(planes_MSQ))
    mean = np.sqrt(planes_MSQ[0] * planes_MSQ[1])
    np.testing.assert_allclose(raised / raised.sum(axis=0), mean / mean.sum(axis=0), atol=1e-4)


def test_the_best_members_are_stacked_the_best_first() -> None:
    made = library(0.5, 2.0, 1.0, 2.5, 1.5)
    rule = select(
        made.sample(np.arange(12), 10**9, np.random.default_rng(0)),
        Stacked(3),
        np.random.default_rng(0),
    )
    assert members_in(rule) == [3, 1, 4]


def test_what_is_systematic_is_mended_and_judged_so() -> None:
    """Members that take two classes for each other: no average helps, a second model turns them
    back.
    """
    made = library(2.5, 2.0)
    swapped = Library(
        tuple(member[:, [1, 0, 2]] for member in made.members),
        made.labels_P,
        made.places_P,
        made.scoring,
    )
    found = judged_ensemble(swapped, Stacked(), seed=0, halvings=1)
    assert found.scores_M.max() < 0.35
    assert found.over_members - found.optimism > 0.4
    assert found.score == pytest.approx(by_hand(swapped, found.rule), abs=0.02)


def by_hand(made: Library, rule: object) -> float:
    assert isinstance(rule, Stack)
    labels: npt.NDArray[np.int64] = rule.logits_SQ(planes_of(made)[list(rule.members)]).argmax(
        axis=0
    )
    assert (
        made.confusions_GKK(rule).sum(axis=0)[0, 1] == ((made.labels_P == 0) & (labels == 1)).sum()
    )
    iou = [
        ((made.labels_P == k) & (labels == k)).sum() / ((made.labels_P == k) | (labels == k)).sum()
        for k in range(3)
    ]
    return float(np.mean(iou))


def test_members_that_are_all_alike_gain_next_to_nothing() -> None:
    one = library(2.0)
    found = judged_ensemble(
        Library(one.members * 3, one.labels_P, one.places_P, one.scoring),
        Stacked(),
        seed=0,
        halvings=1,
    )
    assert found.over_members - found.optimism == pytest.approx(0.0, abs=0.01)
