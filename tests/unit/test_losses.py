"""Mixtures and class weights: what the contract of single losses does not say."""

import numpy as np
import pytest
import torch

from objectives.config import GivenClassWeights, InverseFrequency, Loss, NoClassWeights
from objectives.errors import UserError
from objectives.losses import build_loss, class_weights_K

COUNTS_K = np.array([500, 600, 300, 95, 5])


def test_no_weights_are_one_except_the_ignored_label() -> None:
    assert class_weights_K(NoClassWeights(), COUNTS_K, 0).tolist() == [0, 1, 1, 1, 1]
    assert class_weights_K(NoClassWeights(), COUNTS_K, None).tolist() == [1, 1, 1, 1, 1]
    assert class_weights_K(NoClassWeights(), COUNTS_K, 255).tolist() == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("ignore_label", [None, 0, 3])
def test_inverse_frequency_follows_its_power_and_has_mean_one(power: float, ignore_label: int | None) -> None:
    weights = class_weights_K(InverseFrequency(power=power), COUNTS_K, ignore_label).double().numpy()
    counts = COUNTS_K.copy()
    if ignore_label is not None:
        assert weights[ignore_label] == 0.0
        counts[ignore_label] = 0
    assert (counts * weights).sum() / counts.sum() == pytest.approx(1.0, rel=1e-6)
    assert weights[4] / weights[1] == pytest.approx((600 / 5) ** power, rel=1e-6)


def test_a_class_without_pixels_weighs_as_the_rarest_one() -> None:
    weights = class_weights_K(InverseFrequency(power=1.0), np.array([10, 90, 0]), None)
    assert weights[2] == weights[0] > weights[1]
    assert weights.isfinite().all()


def test_inverse_frequency_without_a_labelled_pixel_is_refused() -> None:
    with pytest.raises(UserError, match=r"loss\.class_weights: .* got none"):
        class_weights_K(InverseFrequency(), np.array([7, 0, 0]), 0)


def test_given_weights_are_taken_as_given_except_the_ignored_label() -> None:
    weights = GivenClassWeights(values=(7, 1, 1, 1, 2))
    assert class_weights_K(weights, COUNTS_K, 0).tolist() == [0, 1, 1, 1, 2]
    assert class_weights_K(weights, COUNTS_K, None).tolist() == [7, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((1, 2), r"loss\.class_weights\.values: the data has 5 classes and needs one weight for each, got 2"),
        ((3, 0, 0, 0, 0), r"loss\.class_weights\.values: at least one class must weigh more than 0, got \[3.0, 0.0, "),
    ],
)
def test_given_weights_that_cannot_work_are_refused(values: tuple[float, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        class_weights_K(GivenClassWeights(values=values), COUNTS_K, 0)


def test_terms_of_weight_zero_are_not_computed() -> None:
    loss = build_loss(Loss(cross_entropy=0.25, dice=0.75), weights_K=torch.ones(2), ignore_label=None)
    assert [weight for weight, _ in loss.terms] == [0.25, 0.75]


def test_a_mixture_is_the_weighted_sum_of_its_terms() -> None:
    logits_BKHW, mask_BHW = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    weights_K = torch.tensor([1.0, 2.0, 3.0])
    shares = {"cross_entropy": 0.2, "focal": 0.3, "dice": 0.5}
    alone = {
        term: build_loss(Loss(**{**dict.fromkeys(shares, 0.0), term: 1.0}), weights_K=weights_K, ignore_label=0)(
            logits_BKHW, mask_BHW
        )
        for term in shares
    }
    mixed = build_loss(Loss(**shares), weights_K=weights_K, ignore_label=0)(logits_BKHW, mask_BHW)
    torch.testing.assert_close(mixed, torch.stack([shares[term] * alone[term] for term in shares]).sum())


def test_a_class_of_weight_zero_is_left_out_of_dice_but_its_pixels_count_against_the_others() -> None:
    logits_BKHW = torch.zeros(1, 2, 1, 4)  # p = 1/2 everywhere
    mask_BHW = torch.tensor([[[0, 0, 0, 1]]])
    loss = build_loss(Loss(cross_entropy=0, dice=1), weights_K=torch.tensor([0.0, 1.0]), ignore_label=None)
    assert loss(logits_BKHW, mask_BHW).item() == pytest.approx(1 - 2 * 0.5 / (2 + 1))


def test_focal_forgives_what_is_nearly_right() -> None:
    right, wrong = torch.tensor([[[[3.0]], [[0.0]]]]), torch.tensor([[[[0.0]], [[3.0]]]])
    mask_BHW = torch.zeros(1, 1, 1, dtype=torch.int64)
    ratios = []
    for gamma in (0.0, 2.0, 4.0):
        loss = build_loss(Loss(cross_entropy=0, focal=1, focal_gamma=gamma), weights_K=torch.ones(2), ignore_label=None)
        ratios.append((loss(right, mask_BHW) / loss(wrong, mask_BHW)).item())
    assert ratios[0] > ratios[1] > ratios[2] > 0
