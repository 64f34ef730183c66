"""Our losses against torch, MONAI and segmentation-models-pytorch, where those compute the same
thing.

The boundary loss has no counterpart there: MONAI's of that name weighs pixels by their distance
(Kervadec et al. 2019).
"""

import pytest
import torch
from monai.losses import DiceLoss as MonaiDice
from monai.losses import FocalLoss as MonaiFocal
from monai.losses import GeneralizedDiceLoss as MonaiGeneralisedDice
from monai.losses import TverskyLoss as MonaiTversky
from monai.losses.unified_focal_loss import AsymmetricFocalLoss as MonaiAsymmetricFocal
from monai.losses.unified_focal_loss import AsymmetricFocalTverskyLoss as MonaiAsymmetricTversky
from segmentation_models_pytorch.losses import DiceLoss as SmpDice
from segmentation_models_pytorch.losses import JaccardLoss as SmpJaccard
from segmentation_models_pytorch.losses import TverskyLoss as SmpTversky
from torch import Tensor
from torch.nn import functional

from objectives.config import Loss
from objectives.losses import build_loss

FOCAL = Loss(cross_entropy=0, focal=1)
DICE = Loss(cross_entropy=0, dice=1)
WEIGHTS_K = torch.tensor([0.0, 1.0, 1.0, 1.0, 2.0])


def only(term: str, **parameters: float) -> Loss:
    return Loss(**{"cross_entropy": 0, term: 1, **parameters})


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 5, 8, 9, generator=generator), torch.randint(
        0, 5, (3, 8, 9), generator=generator
    )


def test_cross_entropy_is_that_of_torch(batch: tuple[Tensor, Tensor]) -> None:
    logits_BKHW, mask_BHW = batch
    ours = build_loss(Loss(), weights_K=WEIGHTS_K, ignore_label=0)(logits_BKHW, mask_BHW)
    torch.testing.assert_close(
        ours, functional.cross_entropy(logits_BKHW, mask_BHW, weight=WEIGHTS_K, ignore_index=0)
    )


@pytest.mark.parametrize("gamma", [0.0, 2.0, 4.0])
def test_focal_is_that_of_monai_with_softmax(batch: tuple[Tensor, Tensor], gamma: float) -> None:
    """MONAI gives a value for each one-hot class; one of weight 0 there is our ignored label."""
    logits_BKHW, mask_BHW = batch
    theirs = MonaiFocal(
        to_onehot_y=True, use_softmax=True, gamma=gamma, weight=WEIGHTS_K, reduction="none"
    )
    loss = FOCAL.model_copy(update={"focal_gamma": gamma})
    ours = build_loss(loss, weights_K=WEIGHTS_K, ignore_label=0)(logits_BKHW, mask_BHW)
    torch.testing.assert_close(
        ours, theirs(logits_BKHW, mask_BHW[:, None]).sum() / WEIGHTS_K[mask_BHW].sum()
    )


def test_dice_is_that_of_monai_over_the_batch(batch: tuple[Tensor, Tensor]) -> None:
    logits_BKHW, mask_BHW = batch
    theirs = MonaiDice(softmax=True, to_onehot_y=True, batch=True, smooth_nr=0.0, smooth_dr=1e-12)
    ours = build_loss(DICE, weights_K=torch.ones(5), ignore_label=None)(logits_BKHW, mask_BHW)
    torch.testing.assert_close(ours, theirs(logits_BKHW, mask_BHW[:, None]))


@pytest.mark.parametrize("ignored", [1, 255])
def test_dice_is_that_of_smp_with_an_ignored_label(
    batch: tuple[Tensor, Tensor], ignored: int
) -> None:
    """smp counts an absent class as 0 and divides by all classes it is told to: so it is told those
    that are there.
    """
    logits_BKHW, mask_BHW = batch
    mask_BHW = torch.where(mask_BHW == 1, ignored, mask_BHW)
    mask_BHW[mask_BHW == 3] = 2
    theirs = SmpDice("multiclass", classes=[0, 2, 4], ignore_index=ignored, smooth=0.0)
    ours = build_loss(DICE, weights_K=torch.ones(5), ignore_label=ignored)(logits_BKHW, mask_BHW)
    torch.testing.assert_close(ours, theirs(logits_BKHW, mask_BHW))


@pytest.mark.parametrize("alpha", [0.3, 0.8])
def test_tversky_is_that_of_monai_over_the_batch(
    batch: tuple[Tensor, Tensor], alpha: float
) -> None:
    logits_BKHW, mask_BHW = batch
    theirs = MonaiTversky(
        softmax=True,
        to_onehot_y=True,
        batch=True,
        alpha=alpha,
        beta=1 - alpha,
        smooth_nr=0.0,
        smooth_dr=1e-12,
    )
    ours = build_loss(
        only("tversky", tversky_alpha=alpha), weights_K=torch.ones(5), ignore_label=None
    )(logits_BKHW, mask_BHW)
    torch.testing.assert_close(ours, theirs(logits_BKHW, mask_BHW[:, None]))


@pytest.mark.parametrize("ignored", [1, 255])
@pytest.mark.parametrize("term", ["tversky", "jaccard"])
def test_tversky_and_jaccard_are_those_of_smp_with_an_ignored_label(
    batch: tuple[Tensor, Tensor], term: str, ignored: int
) -> None:
    """As for Dice, smp is told the classes that are there. Its alpha too is on the false
    positives.
    """
    logits_BKHW, mask_BHW = batch
    mask_BHW = torch.where(mask_BHW == 1, ignored, mask_BHW)
    mask_BHW[mask_BHW == 3] = 2
    there = {"mode": "multiclass", "classes": [0, 2, 4], "ignore_index": ignored, "smooth": 0.0}
    theirs = SmpJaccard(**there) if term == "jaccard" else SmpTversky(**there, alpha=0.3, beta=0.7)
    ours = build_loss(only(term), weights_K=torch.ones(5), ignore_label=ignored)(
        logits_BKHW, mask_BHW
    )
    torch.testing.assert_close(ours, theirs(logits_BKHW, mask_BHW))


def test_generalised_dice_is_that_of_monai_when_every_class_is_there(
    batch: tuple[Tensor, Tensor],
) -> None:
    """An absent class gets the weight of the rarest there, and none here: what its formula gives, 1
    / 0, is neither.
    """
    logits_BKHW, mask_BHW = batch
    theirs = MonaiGeneralisedDice(
        softmax=True, to_onehot_y=True, batch=True, smooth_nr=0.0, smooth_dr=1e-12
    )
    ours = build_loss(only("generalised_dice"), weights_K=torch.ones(5), ignore_label=None)(
        logits_BKHW, mask_BHW
    )
    torch.testing.assert_close(ours, theirs(logits_BKHW, mask_BHW[:, None]))


def test_unified_focal_is_the_mean_of_monais_two_halves_over_both_choices_of_the_rare_class() -> (
    None
):
    """MONAI knows two classes, the second rare, and counts by frame, so: one frame, and once with
    the classes swapped.

    Its own sum of the halves is not compared: it takes a sigmoid, and its mean over pixels also
    halves the focal part.
    """
    generator = torch.Generator().manual_seed(0)
    logits_BKHW = torch.randn(1, 2, 8, 9, generator=generator)
    mask_B1HW = torch.randint(0, 2, (1, 1, 8, 9), generator=generator)
    by_pixel = MonaiAsymmetricFocal(to_onehot_y=True, delta=0.7, gamma=0.4, reduction="sum")
    by_class = MonaiAsymmetricTversky(to_onehot_y=True, delta=0.7, gamma=0.4)
    halves = [
        by_pixel(p_BKHW, mask) / mask.numel() + by_class(p_BKHW, mask)
        for p_BKHW, mask in (
            (logits_BKHW.softmax(1), mask_B1HW),
            (logits_BKHW.flip(1).softmax(1), 1 - mask_B1HW),
        )
    ]
    loss = build_loss(
        only("unified_focal", unified_delta=0.7, unified_gamma=0.4),
        weights_K=torch.ones(2),
        ignore_label=None,
    )
    torch.testing.assert_close(loss(logits_BKHW, mask_B1HW[:, 0]), torch.stack(halves).mean() / 2)
