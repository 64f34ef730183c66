"""By how much a study's best score is too high, told from its curves, where the truth is known."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import minimize

from objectives.statistics.interval import Unknown
from search.confirm.optimism import (
    LIKE_EPOCHS,
    MeasuredNoise,
    Optimism,
    SeedNoise,
    optimism,
    true_means,
)


def estimate(histories: list[list[float]], seed_noise: SeedNoise = LIKE_EPOCHS) -> Optimism:
    found = optimism(histories, seed_noise)
    assert isinstance(found, Optimism), found
    return found


def study(
    generator: np.random.Generator,
    *,
    trials: int,
    epochs: int,
    seed_noise: float,
    epoch_noise: float,
) -> tuple[list[list[float]], float]:
    """Curves that rise and level off, with a long tail of bad trials, and how much too high the
    best score of all is.
    """
    truth = 0.62 - generator.gamma(1.5, 0.02, trials)
    rise = 0.4 * np.exp(-np.arange(1, epochs + 1) / (0.15 * epochs))
    shown = truth + generator.normal(0.0, seed_noise, trials)
    scores = shown[:, None] - rise + generator.normal(0.0, epoch_noise, (trials, epochs))
    best, epoch = np.unravel_index(int(scores.argmax()), scores.shape)
    return scores.tolist(), float(scores.max() - (truth[best] - rise[epoch]))


def test_true_means_are_those_of_the_likeliest_distribution() -> None:
    values = np.array([0.40, 0.52, 0.55, 0.555, 0.58, 0.60, 0.605])
    variances = np.full(7, 0.03**2)
    grid = np.linspace(values.min(), values.max(), 50)
    likelihood = np.exp(-0.5 * ((values[:, None] - grid) / 0.03) ** 2)

    def loss(logits: npt.NDArray[np.float64]) -> float:
        weights = np.exp(logits - logits.max())
        return -float(np.log(likelihood @ (weights / weights.sum())).sum())

    logits = minimize(
        loss, np.zeros(50), method="L-BFGS-B", options={"maxiter": 5000, "maxfun": 10**6}
    ).x
    share = likelihood * np.exp(logits - logits.max())
    # a flat top
    np.testing.assert_allclose(
        true_means(values, variances), share @ grid / share.sum(axis=1), atol=0.003
    )


def test_values_in_two_crowds_go_to_their_own_crowd() -> None:
    generator = np.random.default_rng(0)
    values = np.concatenate([generator.normal(0.3, 0.01, 40), generator.normal(0.6, 0.01, 40)])
    found = true_means(values, np.full(80, 0.01**2))
    np.testing.assert_allclose(found, np.repeat([0.3, 0.6], 40), atol=0.01)
    assert found[:40].std() < 0.7 * values[:40].std()


@pytest.mark.parametrize(
    ("trials", "epochs", "seed_noise", "epoch_noise"), [(30, 30, 0.01, 0.01), (12, 15, 0.01, 0.01)]
)
def test_the_mean_estimate_is_near_the_mean_truth(
    trials: int, epochs: int, seed_noise: float, epoch_noise: float
) -> None:
    generator = np.random.default_rng(1)
    studies = [
        study(
            generator, trials=trials, epochs=epochs, seed_noise=seed_noise, epoch_noise=epoch_noise
        )
        for _ in range(100)
    ]
    truth = np.array([too_high for _, too_high in studies])
    # both are right here: seeds move scores as epochs do
    for noise in (MeasuredNoise(seed_noise), LIKE_EPOCHS):
        wrong = np.array([estimate(histories, noise).value for histories, _ in studies]) - truth
        error = wrong.std() / np.sqrt(len(wrong))
        # 0.2: the likeliest distribution is a little too wide
        assert abs(wrong.mean()) < 0.2 * truth.mean() + 3 * error


def test_noise_that_curves_do_not_show_is_missed_unless_it_was_measured() -> None:
    generator = np.random.default_rng(2)
    studies = [
        study(generator, trials=30, epochs=30, seed_noise=0.02, epoch_noise=0.004)
        for _ in range(60)
    ]
    truth = np.mean([too_high for _, too_high in studies])
    assert np.mean([estimate(histories).value for histories, _ in studies]) < 0.5 * truth
    assert (
        np.mean([estimate(histories, MeasuredNoise(0.02)).value for histories, _ in studies])
        > 0.7 * truth
    )
    assert "too low" in estimate(studies[0][0]).basis
    assert "0.0200" in estimate(studies[0][0], MeasuredNoise(0.02)).basis


def test_curves_without_noise_are_not_too_high() -> None:
    rising = [
        [top * epoch / 10 for epoch in range(1, 11)] for top in (0.5, 0.55, 0.6, 0.62, 0.65, 0.66)
    ]
    found = estimate(rising)
    assert found.value == pytest.approx(0.0, abs=1e-9)


def test_a_peak_before_a_decline_is_measured_against_its_neighbours() -> None:
    generator = np.random.default_rng(3)
    curves = [
        (0.6 - 0.002 * abs(np.arange(30) - 10) + generator.normal(0, 0.001, 30)).tolist()
        for _ in range(8)
    ]
    curves[0][10] = 0.65
    found = estimate(curves)
    # the peak is itself one of ten epochs of its level
    assert found.of_epochs == pytest.approx(0.05 * 0.9, abs=0.006)
    assert found.value == found.of_epochs + found.of_trials


def test_a_diverging_trial_does_not_speak_for_the_best() -> None:
    generator = np.random.default_rng(4)
    histories, _ = study(generator, trials=12, epochs=20, seed_noise=0.003, epoch_noise=0.003)
    wild = [*histories, *(generator.uniform(0.0, 0.3, 20).tolist() for _ in range(6))]
    assert estimate(wild).value < 2.0 * estimate(histories).value


@pytest.mark.parametrize(
    ("histories", "why"),
    [
        ([], "0 complete trials"),
        ([[0.1, 0.2, 0.3, 0.4, 0.5]] * 4, "4 complete trials"),
        ([[0.5] * 4] * 20, "0 complete trials"),
        ([[0.5] * 10] * 6 + [[0.6, 0.7]], "the best trial has fewer"),
        ([[float("nan")] * 10] * 9, "0 complete trials"),
    ],
)
def test_too_little_data_has_no_estimate(histories: list[list[float]], why: str) -> None:
    found = optimism(histories)
    assert isinstance(found, Unknown)
    assert why in found.reason
