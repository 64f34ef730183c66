"""Mixtures, phases and class weights: what the contract of single losses does not say."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from objectives.config import (
    LOSS_TERMS,
    Config,
    GivenClassWeights,
    InverseFrequency,
    Loss,
    Mixture,
    NoClassWeights,
    NoSecondPhase,
    SecondPhase,
    Train,
)
from objectives.errors import UserError
from objectives.losses import Phases, build_loss, build_phases, class_weights_K

COUNTS_K = np.array([500, 600, 300, 95, 5])


def test_no_weights_are_one_except_the_ignored_label() -> None:
    assert class_weights_K(NoClassWeights(), COUNTS_K, 0).tolist() == [0, 1, 1, 1, 1]
    assert class_weights_K(NoClassWeights(), COUNTS_K, None).tolist() == [1, 1, 1, 1, 1]
    assert class_weights_K(NoClassWeights(), COUNTS_K, 255).tolist() == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("ignore_label", [None, 0, 3])
def test_inverse_frequency_follows_its_power_and_has_mean_one(
    power: float, ignore_label: int | None
) -> None:
    weights = (
        class_weights_K(InverseFrequency(power=power), COUNTS_K, ignore_label).double().numpy()
    )
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
        (
            (1, 2),
            r"loss\.class_weights\.values: the data has 5 classes and needs one weight for each, "
            r"got 2",
        ),
        (
            (3, 0, 0, 0, 0),
            r"loss\.class_weights\.values: at least one class must weigh more than 0, got \[3.0, "
            r"0.0, ",
        ),
    ],
)
def test_given_weights_that_cannot_work_are_refused(
    values: tuple[float, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        class_weights_K(GivenClassWeights(values=values), COUNTS_K, 0)


def test_terms_of_weight_zero_are_not_computed() -> None:
    loss = build_loss(
        Loss(cross_entropy=0.25, dice=0.75), weights_K=torch.ones(2), ignore_label=None
    )
    assert [weight for weight, _ in loss.terms] == [0.25, 0.75]


def test_a_class_of_weight_zero_is_left_out_of_dice_but_its_pixels_count_against_the_others() -> (
    None
):
    logits_BKHW = torch.zeros(1, 2, 1, 4)  # p = 1/2 everywhere
    mask_BHW = torch.tensor([[[0, 0, 0, 1]]])
    loss = build_loss(
        Loss(cross_entropy=0, dice=1), weights_K=torch.tensor([0.0, 1.0]), ignore_label=None
    )
    assert loss(logits_BKHW, mask_BHW).item() == pytest.approx(1 - 2 * 0.5 / (2 + 1))


def test_focal_forgives_what_is_nearly_right() -> None:
    right, wrong = torch.tensor([[[[3.0]], [[0.0]]]]), torch.tensor([[[[0.0]], [[3.0]]]])
    mask_BHW = torch.zeros(1, 1, 1, dtype=torch.int64)
    ratios = []
    for gamma in (0.0, 2.0, 4.0):
        loss = build_loss(
            Loss(cross_entropy=0, focal=1, focal_gamma=gamma),
            weights_K=torch.ones(2),
            ignore_label=None,
        )
        ratios.append((loss(right, mask_BHW) / loss(wrong, mask_BHW)).item())
    assert ratios[0] > ratios[1] > ratios[2] > 0


def only(term: str, **parameters: float) -> Loss:
    return Loss(**{"cross_entropy": 0, term: 1, **parameters})


def value(
    mixture: Mixture, logits_BKHW: Tensor, mask_BHW: Tensor, ignore_label: int | None = None
) -> float:
    weights_K = torch.ones(logits_BKHW.shape[1])
    return build_loss(mixture, weights_K=weights_K, ignore_label=ignore_label)(
        logits_BKHW, mask_BHW
    ).item()


def random_batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, 6, 6, generator=generator), torch.randint(
        0, 3, (2, 6, 6), generator=generator
    )


def test_a_mixture_of_any_terms_is_their_weighted_sum() -> None:
    logits_BKHW, mask_BHW = random_batch()
    alone = {term: value(only(term), logits_BKHW, mask_BHW) for term in LOSS_TERMS}
    assert len({round(v, 4) for v in alone.values()}) == len(LOSS_TERMS)
    for size in range(1, len(LOSS_TERMS) + 1):
        for terms in combinations(LOSS_TERMS, size):
            shares = {term: (i + 1) / (size * (size + 1) / 2) for i, term in enumerate(terms)}
            mixture = Mixture(**{"cross_entropy": 0, **shares})
            expected = sum(share * alone[term] for term, share in shares.items())
            assert value(mixture, logits_BKHW, mask_BHW) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("term", "parameter"),
    [
        ("focal", "focal_gamma"),
        ("tversky", "tversky_alpha"),
        ("unified_focal", "unified_delta"),
        ("unified_focal", "unified_gamma"),
    ],
)
def test_every_parameter_changes_its_term(term: str, parameter: str) -> None:
    low, high = (value(only(term, **{parameter: at}), *random_batch()) for at in (0.2, 0.7))
    assert abs(low - high) > 1e-4


def test_tversky_at_one_half_is_dice_and_alpha_is_on_the_false_positives() -> None:
    assert value(only("tversky", tversky_alpha=0.5), *random_batch()) == pytest.approx(
        value(only("dice"), *random_batch())
    )
    # p = 1/2 everywhere
    logits_BKHW, mask_BHW = torch.zeros(1, 2, 1, 4), torch.tensor([[[0, 0, 0, 1]]])
    misses = [1 - 1.5 / (1.5 + 0.1 * 0.5 + 0.9 * 1.5), 1 - 0.5 / (0.5 + 0.1 * 1.5 + 0.9 * 0.5)]
    assert value(only("tversky", tversky_alpha=0.1), logits_BKHW, mask_BHW) == pytest.approx(
        np.mean(misses)
    )


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_a_class_that_is_nowhere_predicted_is_wholly_missed_whatever_the_weights(
    alpha: float,
) -> None:
    mask_BHW = torch.tensor([[[0, 0, 1, 1]]])
    logits_BKHW = torch.tensor([0.0, -1e4])[:, None, None].expand(1, 2, 1, 4)
    first = alpha * 2 / (2 + alpha * 2)
    assert value(only("tversky", tversky_alpha=alpha), logits_BKHW, mask_BHW) == pytest.approx(
        (first + 1) / 2
    )


def test_unified_focal_without_focus_is_cross_entropy_and_dice() -> None:
    loss = only("unified_focal", unified_delta=0.5, unified_gamma=0)
    expected = value(Loss(), *random_batch()) / 4 + value(only("dice"), *random_batch()) / 2
    assert value(loss, *random_batch()) == pytest.approx(expected)


def test_generalised_dice_by_hand() -> None:
    """Sizes 3 and 1, p = 1/2 everywhere: weights 1/9 and 1, overlaps 3/2 and 1/2, sums 5 and 3."""
    logits_BKHW, mask_BHW = torch.zeros(1, 2, 1, 4), torch.tensor([[[0, 0, 0, 1]]])
    expected = 1 - 2 * (1.5 / 9 + 0.5) / (5 / 9 + 3)
    assert value(only("generalised_dice"), logits_BKHW, mask_BHW) == pytest.approx(expected)


def halves(edge: int, width: int = 16) -> Tensor:
    """Two classes side by side, the second from column ``edge`` on."""
    return (torch.arange(width) >= edge).long().expand(1, 8, width)


def certain(mask_BHW: Tensor, classes: int = 2) -> Tensor:
    return 60.0 * torch.nn.functional.one_hot(mask_BHW, classes).movedim(-1, 1).float()


def test_boundary_forgives_an_edge_two_pixels_off_and_no_more() -> None:
    losses = [value(only("boundary"), certain(halves(8 - off)), halves(8)) for off in range(6)]
    assert losses[:3] == pytest.approx([0, 0, 0], abs=1e-6)
    assert losses[3:] == pytest.approx([1, 1, 1], abs=1e-6)


def test_boundary_punishes_edges_where_none_are() -> None:
    inside = certain(halves(8))
    inside[:, :, 3, 2] = inside[:, :, 3, 12]  # one pixel of the other class, far from the edge
    assert 0.05 < value(only("boundary"), inside, halves(8)) < 0.7


def test_boundary_sees_no_edge_at_ignored_pixels_nor_at_the_frame() -> None:
    """The second class lies beyond a strip without labels, wider than the reach of an edge; neither
    has an edge then.
    """
    mask_BHW = halves(8)
    mask_BHW = torch.where((torch.arange(16) >= 7) & (torch.arange(16) < 9), 255, mask_BHW)
    noise_BKHW = torch.randn(1, 2, 8, 16, generator=torch.Generator().manual_seed(0))
    assert value(only("boundary"), noise_BKHW, mask_BHW, 255) == 0.0
    assert value(only("boundary"), noise_BKHW, halves(8), 255) > 0.1


def test_boundary_wants_no_least_size() -> None:
    for height, width in ((1, 1), (1, 2), (2, 1)):
        mask_BHW = torch.arange(height * width).reshape(1, height, width)
        assert value(only("boundary"), certain(mask_BHW), mask_BHW) == 0.0


def phases(second: SecondPhase | NoSecondPhase, epochs: int) -> Phases:
    config = Config(loss=only("dice"), second_loss=second, train=Train(epochs=epochs))
    return build_phases(config, weights_K=torch.tensor([0.0, 2.0, 1.0]), ignore_label=0)


@pytest.mark.parametrize(
    ("start", "epochs", "second_from"),
    [
        (0.5, 10, 5),
        (0.25, 10, 2),
        (0.3, 9, 3),
        (0.01, 10, 1),
        (0.99, 10, 9),
        (0.9, 2, 1),
        (0.1, 2, 1),
        (0.9, 1, 1),
    ],
)
def test_the_second_phase_takes_over_at_its_share_of_the_epochs(
    start: float, epochs: int, second_from: int
) -> None:
    plan = phases(SecondPhase(start=start), epochs)
    assert [plan.at(epoch) is plan.second for epoch in range(epochs)] == [
        epoch >= second_from for epoch in range(epochs)
    ]


def test_each_phase_is_its_own_mixture_with_the_class_weights_of_the_first() -> None:
    plan = phases(SecondPhase(cross_entropy=0.5, jaccard=0.5), 4)
    weights_K = torch.tensor([0.0, 2.0, 1.0])
    for epoch, mixture in ((0, only("dice")), (3, Mixture(cross_entropy=0.5, jaccard=0.5))):
        alone = build_loss(mixture, weights_K=weights_K, ignore_label=0)
        assert plan.at(epoch)(*random_batch()) == alone(*random_batch())


def test_without_a_second_phase_one_mixture_stays() -> None:
    plan = phases(NoSecondPhase(), 3)
    assert plan.at(0) is plan.at(2)


def test_outputs_of_deep_supervision_weigh_half_of_the_one_before() -> None:
    logits_BKHW, mask_BHW = random_batch()
    loss = build_loss(Loss(cross_entropy=0.5, dice=0.5), weights_K=torch.ones(3), ignore_label=0)
    outputs = [(scale * logits_BKHW).requires_grad_() for scale in (1.0, 2.0, -1.0)]
    torch.testing.assert_close(
        loss.over_outputs(outputs[:1], mask_BHW), loss(outputs[0], mask_BHW), rtol=0, atol=0
    )
    first, second, third = (loss(output, mask_BHW) for output in outputs)
    together = loss.over_outputs(outputs, mask_BHW)
    torch.testing.assert_close(together, (4 * first + 2 * second + third) / 7)
    together.backward()
    assert all(output.grad is not None and output.grad.abs().sum() > 0 for output in outputs)
