"""What a confirmation says, against textbook formulas, scipy and least squares."""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from objectives.bundle.belief_in_one import Confirmed as Belief
from objectives.bundle.belief_in_one import Unconfirmed
from objectives.errors import UserError
from objectives.statistics.interval import Interval, Unknown
from search.confirm.cell import Cell
from search.confirm.confirmation import CandidateVerdict, Confirmation
from search.confirm.seed_table import SeedTable
from search.confirm.verdict import confirm, probability_above

NAN = math.nan


def runs_of(
    scores: Mapping[int, list[float]], costs: Mapping[int, int] | None = None
) -> list[Cell]:
    costs = costs or {}
    return [
        Cell(number, seed, score, costs.get(number, 1))
        for number, row in scores.items()
        for seed, score in enumerate(row)
    ]


def of(verdict: Confirmation, number: int) -> CandidateVerdict:
    return next(each for each in verdict.candidates if each.candidate == number)


def noisy(candidates: int, seeds: int, seed: int = 0) -> npt.NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    means, shifts = generator.normal(0.6, 0.02, (candidates, 1)), generator.normal(0.0, 0.02, seeds)
    return np.asarray(means + shifts + generator.normal(0.0, 0.01, (candidates, seeds)))


def test_a_full_table_gives_the_textbook_two_way_analysis() -> None:
    scores_CS = noisy(5, 3)
    table, (candidates, seeds) = SeedTable(scores_CS), scores_CS.shape
    row, column = scores_CS.mean(axis=1, keepdims=True), scores_CS.mean(axis=0, keepdims=True)
    residual = ((scores_CS - row - column + scores_CS.mean()) ** 2).sum() / (
        (candidates - 1) * (seeds - 1)
    )
    seed_square = candidates * ((column - scores_CS.mean()) ** 2).sum() / (seeds - 1)
    assert table.noise().value == pytest.approx(residual)
    assert table.noise().degrees == (candidates - 1) * (seeds - 1)
    assert table.spread().value == pytest.approx(scores_CS.var(axis=1, ddof=1).mean())
    parts = seed_square, (candidates - 1) * residual  # Satterthwaite, for their sum
    degrees = sum(parts) ** 2 / (
        parts[0] ** 2 / (seeds - 1) + parts[1] ** 2 / ((candidates - 1) * (seeds - 1))
    )
    assert table.spread().degrees == pytest.approx(degrees)
    for candidate in range(candidates):
        assert table.mean(candidate).value == pytest.approx(scores_CS[candidate].mean())
        assert table.mean(candidate).factor == pytest.approx(1 / seeds)
    assert table.difference(0, 1).factor == pytest.approx(2 / seeds)


def test_two_candidates_are_compared_as_by_the_paired_t_test() -> None:
    scores_CS = noisy(2, 4)
    verdict = confirm(runs_of({0: scores_CS[0].tolist(), 7: scores_CS[1].tolist()}), control=0)
    expected = 1.0 - stats.ttest_rel(scores_CS[1], scores_CS[0], alternative="greater").pvalue
    assert of(verdict, 7).beats_control == pytest.approx(float(expected))


def test_the_interval_is_the_t_interval_of_the_pooled_spread() -> None:
    scores_CS = noisy(6, 3)
    verdict = confirm(runs_of(dict(enumerate(scores_CS.tolist()))), control=0, level=0.9)
    spread = SeedTable(scores_CS).spread()
    low, high = stats.t.interval(
        0.9, spread.degrees, scores_CS[4].mean(), math.sqrt(spread.value / 3)
    )
    found = of(verdict, 4).interval
    assert isinstance(found, Interval)
    assert (found.low, found.high, found.level) == pytest.approx((low, high, 0.9), abs=1e-8)
    assert verdict.spread == pytest.approx(math.sqrt(spread.value))


def test_a_failed_run_with_a_hard_seed_does_not_lift_its_candidate() -> None:
    scores = {0: [0.60, 0.40, 0.62], 1: [0.61, 0.41, 0.63], 2: [0.605, NAN, 0.625]}
    verdict = confirm(runs_of(scores), control=0)
    # as if seed 1 had taken 0.2 from it too
    assert of(verdict, 2).mean == pytest.approx((0.605 + 0.405 + 0.625) / 3)
    assert of(verdict, 2).runs == 2
    assert verdict.candidates[0].candidate == 1


def test_a_table_with_holes_gives_least_squares() -> None:
    scores_CS = noisy(5, 4, seed=2)
    scores_CS[1, 0] = scores_CS[1, 3] = scores_CS[4, 2] = NAN
    seen = np.argwhere(~np.isnan(scores_CS))
    design = np.zeros((len(seen), 5 + 3))  # the first seed's effect is left out
    for equation, (candidate, seed) in enumerate(seen):
        design[equation, candidate] = 1.0
        if seed:
            design[equation, 4 + seed] = 1.0
    y = scores_CS[~np.isnan(scores_CS)]
    solution, squares, rank, _ = np.linalg.lstsq(design, y)
    covariance = np.linalg.inv(design.T @ design)
    contrast = np.array([0.0, 1.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0])
    table = SeedTable(scores_CS)
    assert table.noise().value == pytest.approx(squares[0] / (len(y) - rank))
    assert table.difference(1, 4).value == pytest.approx(contrast @ solution)
    assert table.difference(1, 4).factor == pytest.approx(contrast @ covariance @ contrast)
    average = np.concatenate([np.eye(5)[1], np.full(3, 0.25)])
    assert table.mean(1).value == pytest.approx(average @ solution)
    assert table.mean(1).factor == pytest.approx(average @ covariance @ average)


def test_candidates_without_a_seed_in_common_are_not_compared() -> None:
    verdict = confirm(
        runs_of({0: [0.5, 0.6, NAN, NAN], 1: [NAN, NAN, 0.6, 0.7], 2: [NAN, NAN, 0.61, 0.72]}),
        control=0,
    )
    found = of(verdict, 1)
    assert found.mean == pytest.approx(0.65)
    assert isinstance(found.beats_control, Unknown)
    assert "no seed" in found.beats_control.reason


def test_ties_go_to_the_cheaper_one_and_clear_differences_do_not() -> None:
    close = {0: [0.50, 0.53, 0.49], 3: [0.600, 0.622, 0.580], 8: [0.601, 0.610, 0.593]}
    verdict = confirm(runs_of(close, {0: 1, 3: 5, 8: 9}), control=0)
    assert verdict.candidates[0].candidate == 8
    assert (verdict.choice.tied, verdict.choice.candidate) == ((3, 8), 3)
    assert confirm(runs_of(close, {0: 1, 3: 9, 8: 5}), control=0).choice.candidate == 8
    far = {0: [0.50, 0.53, 0.49], 3: [0.600, 0.622, 0.580], 8: [0.641, 0.650, 0.633]}
    assert confirm(runs_of(far, {0: 1, 3: 5, 8: 9}), control=0).choice.candidate == 8


def test_a_tie_ends_at_its_share_of_the_standard_error_of_the_difference() -> None:
    scores_CS = noisy(4, 3)
    table = SeedTable(scores_CS)
    best, second = np.argsort(-scores_CS.mean(axis=1))[:2].tolist()
    behind = table.difference(best, second)
    share = behind.value / math.sqrt(table.noise().value * behind.factor)
    runs = runs_of(dict(enumerate(scores_CS.tolist())))
    assert second in confirm(runs, control=99, tie=share * 1.01).choice.tied
    assert second not in confirm(runs, control=99, tie=share * 0.99).choice.tied


def test_the_control_may_win_and_is_not_compared_with_itself() -> None:
    verdict = confirm(runs_of({0: [0.7, 0.71], 4: [0.6, 0.62]}), control=0)
    assert verdict.choice.candidate == 0
    assert isinstance(verdict.choice.beats_control, Unknown)
    assert isinstance(of(verdict, 4).beats_control, float)


def test_what_is_expected_of_the_chosen_one_lies_between_its_mean_and_the_others() -> None:
    scores_CS = noisy(6, 3, seed=4)
    scores_CS[0] -= 0.3  # the control: far off, and no part of what is pulled together
    verdict = confirm(runs_of(dict(enumerate(scores_CS.tolist()))), control=0, tie=0.0)
    chosen = of(verdict, verdict.choice.candidate)
    assert scores_CS[1:].mean() < verdict.choice.expected < chosen.mean
    assert isinstance(verdict.choice.beats_control, float)
    assert verdict.choice.beats_control > 0.99


def test_one_seed_gives_means_and_says_what_it_cannot() -> None:
    verdict = confirm(runs_of({0: [0.5], 3: [0.6]}), control=0)
    assert (verdict.choice.candidate, verdict.choice.expected) == (3, pytest.approx(0.6))
    for unknown in (
        verdict.noise,
        verdict.spread,
        of(verdict, 3).interval,
        of(verdict, 3).beats_control,
    ):
        assert isinstance(unknown, Unknown)


def test_equal_scores_leave_no_doubt() -> None:
    verdict = confirm(runs_of({0: [0.5, 0.5], 3: [0.6, 0.6], 4: [0.5, 0.5]}), control=0)
    assert (of(verdict, 3).beats_control, of(verdict, 4).beats_control) == (1.0, 0.5)
    assert of(verdict, 3).interval == Interval(pytest.approx(0.6), pytest.approx(0.6), 0.95)
    assert probability_above(-0.1, 0.0, 3.0) == 0.0


def test_failed_candidates_and_a_failed_control_are_named() -> None:
    verdict = confirm(runs_of({0: [NAN, NAN], 3: [0.6, 0.62], 5: [0.61, 0.6]}), control=0)
    assert verdict.without_score == (0,)
    assert isinstance(of(verdict, 3).beats_control, Unknown)
    with pytest.raises(UserError, match="no run"):
        confirm(runs_of({0: [NAN]}), control=0)


def test_class_means_leave_out_runs_without_the_class() -> None:
    runs = [
        Cell(1, 0, 0.6, per_class={"soil": 0.5, "rock": NAN}),
        Cell(1, 1, 0.6, per_class={"soil": 0.7, "rock": 0.2}),
    ]
    found = (
        confirm(
            [*runs, Cell(1, 2, 0.6, per_class={"soil": 0.6, "rock": NAN, "sky": NAN})], control=0
        )
        .candidates[0]
        .per_class
    )
    assert found == {
        "soil": pytest.approx(0.6),
        "rock": pytest.approx(0.2),
        "sky": pytest.approx(NAN, nan_ok=True),
    }


def test_class_means_are_taken_as_the_mean_is() -> None:
    """Two seeds share a part, and count as one there too: the classes' mean is the candidate's."""
    ious = {0: (0.2, 0.4), 1: (0.4, 0.8), 2: (0.7, 0.9)}
    runs = [Cell(1, seed, sum(iou) / 2, per_class=dict(zip("ab", iou, strict=True)), part="5" if seed else "1-3")
            for seed, iou in ious.items()]  # fmt: skip
    found = confirm(runs, control=0).candidates[0]
    assert found.per_class == {
        "a": pytest.approx((0.2 + 0.55) / 2),
        "b": pytest.approx((0.4 + 0.85) / 2),
    }
    assert sum(found.per_class.values()) / 2 == pytest.approx(found.mean)


@pytest.mark.parametrize(
    ("scores", "corrected"),
    [
        ({0: [0.5, 0.6], 1: [0.6, 0.66], 2: [0.6, 0.64]}, True),
        ({0: [0.5], 1: [0.6], 2: [0.55]}, False),  # one seed
        ({0: [0.5, 0.6], 1: [0.6, 0.66]}, False),  # nothing was chosen from
    ],
)
def test_what_is_not_corrected_is_not_called_so(
    scores: dict[int, list[float]], corrected: bool
) -> None:
    verdict = confirm(runs_of(scores), control=0)
    choice = verdict.choice
    assert choice.corrected is corrected
    assert (choice.expected == of(verdict, choice.candidate).mean) is not corrected
    told = str(Belief(seeds=len(scores[0]), candidates=len(scores), mean=choice.expected, expected=choice.expected,
                      interval=None, beats_control=None, corrected=corrected))  # fmt: skip
    assert ("corrected for the choice among" in told) is (corrected or len(scores) > 2)
    assert ("not corrected" in told) is (not corrected and len(scores) > 2)


def test_a_lonely_trial_is_not_said_to_be_chosen_among_others() -> None:
    assert "No other trial has a score" in str(Unconfirmed(alone=True))
    assert "among others" not in str(Unconfirmed(alone=True))
    assert "among others" in str(Unconfirmed())


def test_seeds_that_share_a_part_count_as_one_of_their_average() -> None:
    scores = {0: [0.50, 0.54, 0.62, 0.60], 1: [0.55, 0.57, 0.66, 0.61]}
    parts = ["1-2", "1-2", "4", "4"]
    shared = [
        Cell(number, seed, score, part=parts[seed])
        for number, row in scores.items()
        for seed, score in enumerate(row)
    ]
    averaged = runs_of(
        {number: [(row[0] + row[1]) / 2, (row[2] + row[3]) / 2] for number, row in scores.items()}
    )
    ours, theirs = confirm(shared, 0), confirm(averaged, 0)
    assert [of(ours, number).runs for number in (0, 1)] == [4, 4]
    for number in (0, 1):
        one, other = of(ours, number), of(theirs, number)
        assert (one.mean, one.interval, one.beats_control) == (
            other.mean,
            other.interval,
            other.beats_control,
        )
    assert ours.choice == theirs.choice


def test_one_part_for_all_seeds_tells_nothing_of_other_parts() -> None:
    runs = [
        Cell(number, seed, 0.5 + 0.01 * number + 0.001 * seed, part="3")
        for number in range(3)
        for seed in range(5)
    ]
    verdict = confirm(runs, 0)
    assert of(verdict, 1).mean == pytest.approx(0.512)
    assert of(verdict, 1).interval == Unknown(
        "one validation part: nothing is known of how much parts move a score"
    )
    assert isinstance(of(verdict, 1).beats_control, Unknown)
    # parts that were not to be dealt: seeds are what differs
    anew = [Cell(run.candidate, run.seed, run.score) for run in runs]
    assert isinstance(of(confirm(anew, 0), 1).interval, Interval)


def test_within_a_margin_the_cheapest_is_chosen_that_surely_is() -> None:
    """Against the t distribution of a paired difference by hand."""
    scores = noisy(5, 6, seed=3)
    runs = runs_of(
        {number: list(row) for number, row in enumerate(scores)},
        {number: 100 - number for number in range(5)},
    )
    means = scores.mean(axis=1)
    best = int(np.argmax(means))
    residual = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
    noise = (residual**2).sum() / (4 * 5)
    error = math.sqrt(noise * 2 / 6)
    chosen = {}
    for margin in (0.005, 0.02, 0.06, 0.2):
        sure = [
            number
            for number in range(5)
            if number == best
            or stats.t.cdf((margin - (means[best] - means[number])) / error, 20) >= 0.8
        ]
        chosen[margin] = confirm(runs, 0, within=margin).choice.candidate
        assert chosen[margin] == max(sure), "the last one costs least"
    assert len(set(chosen.values())) > 1
    assert chosen[0.2] == 4


def test_with_one_seed_nothing_is_surely_within_a_margin() -> None:
    runs = runs_of({0: [0.5], 1: [0.6], 2: [0.599]}, {0: 1, 1: 9, 2: 1})
    assert confirm(runs, 0, within=0.01).choice.candidate == 1
