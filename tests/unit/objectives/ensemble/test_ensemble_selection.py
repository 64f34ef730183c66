"""Ensembles: averages and their scores against plain ones, the choice, and the halves that judge
it.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from objectives.ensemble.judging import SAMPLED_PIXELS, judged_ensemble, place_halves
from objectives.ensemble.library import Library, Sample, highest
from objectives.ensemble.probability_codes import encode_probabilities
from objectives.ensemble.selection import Even, Greedy, RarePair, best_member, select, single
from objectives.errors import UserError
from objectives.statistics.scores import Scoring, recall


def library(
    members: int = 5, *, pixels: int = 3000, classes: int = 4, seed: int = 0, codes: bool = False
) -> Library:
    """Members that err independently, each a little better than the one before; the last class is
    rare.
    """
    generator = np.random.default_rng(seed)
    chances = np.append(np.full(classes - 1, 0.97 / (classes - 1)), 0.03)
    labels_P = generator.choice(classes, pixels, p=chances)
    probabilities = [
        _softmax(
            generator.normal(0.0, 1.5, (pixels, classes))
            + (1.5 + 0.1 * member) * np.eye(classes)[labels_P]
        )
        for member in range(members)
    ]
    kept = [
        encode_probabilities(each) if codes else each.astype(np.float16) for each in probabilities
    ]
    return Library(
        tuple(kept),
        labels_P,
        np.sort(generator.integers(0, 12, pixels)),
        Scoring(tuple(range(classes))),
    )


def _softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def plain_score(
    library: Library, weights: tuple[float, ...], inside: npt.NDArray[np.bool_] | None = None
) -> float:
    mixed = sum(
        w * member.astype(np.float64) for w, member in zip(weights, library.members, strict=True)
    )
    columns = list(library.scored)
    predicted = np.array(columns)[np.asarray(mixed)[:, columns].argmax(axis=1)]
    inside = np.ones(len(predicted), dtype=bool) if inside is None else inside
    found = []
    for label in library.scored:
        here, said = (library.labels_P == label) & inside, (predicted == label) & inside
        if (here | said).any():
            found.append((here & said).sum() / (here | said).sum())
    return float(np.mean(found))


def whole_sample(of: Library, seed: int = 0) -> Sample:
    return of.sample(np.arange(of.places), 10**9, np.random.default_rng(seed))


def test_members_are_compared_by_the_measure_of_the_study() -> None:
    lib = library()
    by_recall = whole_sample(replace(lib, scoring=Scoring((3, 1), recall)))
    for member, plane in enumerate(by_recall.planes_MSQ):
        confusion_KK = lib_confusion(replace(lib, scoring=Scoring((3, 1))), member)
        recalls = [confusion_KK[k, k] / confusion_KK[k].sum() for k in (3, 1)]
        assert by_recall.score(plane) == pytest.approx(np.mean(recalls))
    by_iou = whole_sample(replace(lib, scoring=Scoring((3, 1))))
    assert by_iou.score(by_iou.planes_MSQ[0]) < by_recall.score(by_recall.planes_MSQ[0])


def lib_confusion(lib: Library, member: int) -> npt.NDArray[np.int64]:
    return np.asarray(lib.confusions_GKK(single(member, len(lib.members))).sum(axis=0))


@pytest.mark.parametrize("scored", [(0, 1, 2, 3), (3, 1)])
def test_scores_of_averages_are_the_plain_ones(scored: tuple[int, ...]) -> None:
    made = library()
    lib = Library(made.members, made.labels_P, made.places_P, Scoring(scored))
    weights = (0.5, 0.0, 0.25, 0.25, 0.0)
    confusions_GKK = lib.confusions_GKK(weights)
    assert confusions_GKK.shape == (12, 4, 4)
    np.testing.assert_array_equal(confusions_GKK.sum(axis=2), lib.class_pixels_GK())
    total = confusions_GKK.sum(axis=0)
    unions = total.sum(axis=0) + total.sum(axis=1) - total.diagonal()
    expected = plain_score(lib, weights)
    # ties of float16
    assert np.mean([total[k, k] / unions[k] for k in scored]) == pytest.approx(expected, abs=1e-3)
    sample = whole_sample(lib)
    total_SQ = np.tensordot(np.array(weights, dtype=np.float32), sample.planes_MSQ, axes=1)
    assert sample.score(total_SQ) == pytest.approx(expected, abs=1e-3)


def test_the_highest_row_is_that_of_argmax() -> None:
    values = np.random.default_rng(0).integers(0, 4, (5, 1000)).astype(np.float32)  # with ties
    np.testing.assert_array_equal(highest(values), values.argmax(axis=0))


def test_large_sets_are_read_in_parts_and_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    lib = library()
    whole_GKK = lib.confusions_GKK((0.2,) * 5)
    monkeypatch.setattr("objectives.ensemble.library._CHUNK", 1000)
    np.testing.assert_array_equal(lib.confusions_GKK((0.2,) * 5), whole_GKK)
    sample = lib.sample(np.array([0, 3, 4]), 200, np.random.default_rng(0))
    assert sample.planes_MSQ.shape == (5, 4, 200)
    monkeypatch.setattr("objectives.ensemble.library._SAMPLE", 5 * 4 * 50)
    assert lib.sample(np.array([0, 3, 4]), 200, np.random.default_rng(0)).planes_MSQ.shape == (
        5,
        4,
        50,
    )


def test_one_byte_scores_nearly_as_the_probabilities_do() -> None:
    kept, exact = library(codes=True, pixels=20_000), library(pixels=20_000)
    score = whole_sample(kept).score(whole_sample(kept).planes_MSQ.sum(axis=0))
    assert score == pytest.approx(
        whole_sample(exact).score(whole_sample(exact).planes_MSQ.sum(axis=0)), abs=2e-3
    )


@pytest.mark.parametrize("size", [1, 2, 4])
def test_the_greedy_choice_keeps_its_size_and_beats_its_best_member(size: int) -> None:
    sample = whole_sample(library(8))
    weights = select(sample, Greedy(size, bags=5), np.random.default_rng(0))
    assert sum(weights) == pytest.approx(1.0)
    assert 1 <= sum(weight > 0 for weight in weights) <= size
    if size > 1:
        mixed = np.tensordot(np.array(weights, dtype=np.float32), sample.planes_MSQ, axes=1)
        assert sample.score(mixed) > max(sample.score(plane) for plane in sample.planes_MSQ)


@pytest.mark.parametrize("seed", range(5))
def test_a_member_far_above_all_others_is_not_cut_off(seed: int) -> None:
    """It is in half of the bags, and alone in each; the others share all picks of the other half."""
    lib = library(9, seed=seed)
    labels = np.eye(4)[lib.labels_P].astype(np.float16)
    members = [np.float16(0.75) * labels + np.float16(0.0625), *lib.members[1:]]
    sample = whole_sample(replace(lib, members=tuple(members)))
    alone = [sample.score(plane) for plane in sample.planes_MSQ]

    weights = np.array(select(sample, Greedy(2, picks=12, bags=7), np.random.default_rng(seed)))

    assert best_member(sample) == 0
    together = sample.score(np.tensordot(weights.astype(np.float32), sample.planes_MSQ, axes=1))
    assert together >= max(alone)


def test_noise_is_given_next_to_no_weight() -> None:
    lib = library(2, seed=3)
    noise = np.random.default_rng(1).dirichlet(np.full(4, 0.05), 3000).astype(np.float16)
    made = Library((lib.members[1], noise, lib.members[1]), lib.labels_P, lib.places_P, lib.scoring)
    weights = select(whole_sample(made), Greedy(2, share=1.0), np.random.default_rng(0))
    assert weights[1] < 0.1
    assert best_member(whole_sample(made)) == 0


def test_picks_are_the_best_at_each_step() -> None:
    """Two members of the same strength that err on different pixels are taken evenly, found here by
    trying all weights.
    """
    sample = whole_sample(library(3, seed=5))
    weights = select(sample, Greedy(3, picks=12, share=1.0), np.random.default_rng(0))
    best = max(
        sample.score(
            np.tensordot(np.array([a, b, 12 - a - b], dtype=np.float32), sample.planes_MSQ, axes=1)
        )
        for a in range(13)
        for b in range(13 - a)
    )
    found = sample.score(
        np.tensordot(np.array(weights, dtype=np.float32), sample.planes_MSQ, axes=1)
    )
    single_best = max(sample.score(plane) for plane in sample.planes_MSQ)
    # greedy: most of what any weights could give
    assert found > single_best + 0.8 * (best - single_best)


def test_the_rare_pair_is_the_best_member_and_the_best_on_the_rarest_class() -> None:
    lib = library(3, seed=1)
    # knows the rarest class only
    expert = np.where(lib.labels_P[:, None] == 3, [0.1, 0.0, 0.0, 0.9], [0.4, 0.3, 0.3, 0.0])
    made = Library(
        (*lib.members, expert.astype(np.float32)), lib.labels_P, lib.places_P, lib.scoring
    )
    weights = select(whole_sample(made), RarePair(rarest=3), np.random.default_rng(0))
    first = best_member(whole_sample(made))
    assert [member for member, weight in enumerate(weights) if weight] == [first, 3]
    pairs = {weight: [0.0, 0.0, 0.0, weight] for weight in RarePair(rarest=3).grid}
    for weight, pair in pairs.items():
        pair[first] = 1.0 - weight
    tried = {weight: plain_score(made, tuple(pair)) for weight, pair in pairs.items()}
    assert tried[round(weights[3], 6)] == pytest.approx(max(tried.values()), abs=1e-3)
    assert max(tried.values()) > plain_score(made, single(first, 4)) + 0.02


def test_one_member_that_is_best_at_both_is_taken_alone() -> None:
    lib = library(2, seed=1)
    made = Library(
        (lib.members[0] * 0 + 0.25, lib.members[1]), lib.labels_P, lib.places_P, lib.scoring
    )
    assert select(whole_sample(made), RarePair(rarest=3), np.random.default_rng(0)) == (0.0, 1.0)


def test_halves_are_disjoint_whole_and_share_the_rarest_class() -> None:
    generator = np.random.default_rng(0)
    counts_GK = generator.integers(500, 2000, (30, 3))
    counts_GK[:, 2] = np.where(np.arange(30) < 8, generator.integers(5, 60, 30), 0)
    first, second = place_halves(counts_GK, (0, 1, 2), seed=0)
    assert sorted([*first, *second]) == list(range(30))
    for label, tolerance in ((0, 0.1), (2, 0.1)):
        share = counts_GK[first, label].sum() / counts_GK[:, label].sum()
        assert share == pytest.approx(0.5, abs=tolerance)
    assert place_halves(counts_GK, (0, 1, 2), seed=1)[0].tolist() != first.tolist()


def test_the_gain_is_over_the_members_and_its_optimism_is_what_halves_lose() -> None:
    lib = library(4)
    found = judged_ensemble(lib, Greedy(2, bags=3), seed=0, halvings=2)
    alone = [plain_score(lib, single(member, 4)) for member in range(4)]
    np.testing.assert_allclose(found.scores_M, alone, atol=2e-3)
    assert found.score == pytest.approx(plain_score(lib, found.rule), abs=2e-3)
    assert found.over_members == pytest.approx(found.score - np.dot(found.rule, found.scores_M))
    assert found.over_members > 0.02
    generator = np.random.default_rng(0)
    lib.sample(np.arange(12), 2 * SAMPLED_PIXELS, generator)
    select(whole_sample(lib), Greedy(2, bags=3), generator)
    lost = []
    for turn in range(2):
        halves = place_halves(lib.class_pixels_GK(), lib.scored, turn)
        for choosing, judging in (halves, halves[::-1]):
            sample = lib.sample(choosing, SAMPLED_PIXELS, generator)
            rule = select(sample, Greedy(2, bags=3), generator)
            gains = []
            for half in (choosing, judging):
                inside = np.isin(lib.places_P, half)
                members = [plain_score(lib, single(m, 4), inside) for m in range(4)]
                gains.append(plain_score(lib, rule, inside) - np.dot(rule, members))
            lost.append(gains[0] - gains[1])
    assert found.optimism == pytest.approx(max(0.0, np.mean(lost)) * 0.5**0.5, abs=2e-3)
    again = judged_ensemble(lib, Greedy(2, bags=3), seed=0, halvings=2)
    assert (again.rule, again.optimism) == (found.rule, found.optimism)


@pytest.mark.parametrize(
    "scoring",
    [
        Scoring((3, 1, 2), weights=((3, 5.0), (1, 1.0))),
        Scoring((0, 1, 2, 3), recall, together="least"),
    ],
)
def test_members_are_chosen_and_judged_by_the_score_of_the_study(scoring: Scoring) -> None:
    lib = replace(library(4), scoring=scoring)
    sample = whole_sample(lib)
    for member in range(4):
        confusion_KK = lib.confusions_GKK(single(member, 4)).sum(axis=0)
        assert sample.score(sample.planes_MSQ[member]) == pytest.approx(scoring.of(confusion_KK))
    found = judged_ensemble(lib, Greedy(3, bags=3), seed=0, halvings=1)
    whole_KK = lib.confusions_GKK(found.rule).sum(axis=0)
    assert found.score == pytest.approx(scoring.of(whole_KK))
    assert found.score > found.scores_M.max()
    assert np.diag(found.covariances).min() > 0


def test_places_without_a_class_that_counts_judge_nothing() -> None:
    lib = library(2)
    labels_P = np.where((lib.labels_P == 3) & (lib.places_P > 0), 0, lib.labels_P)
    rare = replace(lib, labels_P=labels_P, scoring=replace(lib.scoring, weights=((3, 1.0),)))
    with pytest.raises(UserError, match="one place in the validation part that holds a class of"):
        judged_ensemble(rare, Greedy(2), seed=0)


def test_what_was_not_chosen_has_no_optimism() -> None:
    lib = library(4)
    found = judged_ensemble(lib, Even(3), seed=0, halvings=2)
    assert found.shares_M == pytest.approx((1 / 3, 1 / 3, 1 / 3, 0.0))
    assert found.optimism == pytest.approx(0.0, abs=1e-12)


def test_members_that_are_all_alike_gain_nothing() -> None:
    lib = library(1)
    alike = Library(lib.members * 3, lib.labels_P, lib.places_P, lib.scoring)
    found = judged_ensemble(alike, Greedy(3, bags=2), seed=0, halvings=1)
    assert found.over_members == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(found.covariances, found.covariances[0, 0])


def test_one_place_cannot_judge() -> None:
    lib = library(2)
    with pytest.raises(UserError, match="one place"):
        judged_ensemble(
            Library(lib.members, lib.labels_P, lib.places_P * 0, lib.scoring), Greedy(2), seed=0
        )
