"""Our losses against torch, MONAI and segmentation-models-pytorch, where those compute the same thing."""

import pytest
import torch
from monai.losses import DiceLoss as MonaiDice
from monai.losses import FocalLoss as MonaiFocal
from segmentation_models_pytorch.losses import DiceLoss as SmpDice
from torch import Tensor
from torch.nn import functional

from objectives.config import Loss
from objectives.losses import build_loss

FOCAL = Loss(cross_entropy=0, focal=1)
DICE = Loss(cross_entropy=0, dice=1)
WEIGHTS_K = torch.tensor([0.0, 1.0, 1.0, 1.0, 2.0])


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 5, 8, 9, generator=generator), torch.randint(0, 5, (3, 8, 9), generator=generator)


def test_cross_entropy_is_that_of_torch(batch: tuple[Tensor, Tensor]) -> None:
    logits_BKHW, mask_BHW = batch
    ours = build_loss(Loss(), weights_K=WEIGHTS_K, ignore_label=0)(logits_BKHW, mask_BHW)
    torch.testing.assert_close(ours, functional.cross_entropy(logits_BKHW, mask_BHW, weight=WEIGHTS_K, ignore_index=0))


@pytest.mark.parametrize("gamma", [0.0, 2.0, 4.0])
def test_focal_is_that_of_monai_with_softmax(batch: tuple[Tensor, Tensor], gamma: float) -> None:
    """MONAI gives a value for each one-hot class; one of weight 0 there is our ignored label."""
    logits_BKHW, mask_BHW = batch
    theirs = MonaiFocal(to_onehot_y=True, use_softmax=True, gamma=gamma, weight=WEIGHTS_K, reduction="none")
    loss = FOCAL.model_copy(update={"focal_gamma": gamma})
    ours = build_loss(loss, weights_K=WEIGHTS_K, ignore_label=0)(logits_BKHW, mask_BHW)
    torch.testing.assert_close(ours, theirs(logits_BKHW, mask_BHW[:, None]).sum() / WEIGHTS_K[mask_BHW].sum())


def test_dice_is_that_of_monai_over_the_batch(batch: tuple[Tensor, Tensor]) -> None:
    logits_BKHW, mask_BHW = batch
    theirs = MonaiDice(softmax=True, to_onehot_y=True, batch=True, smooth_nr=0.0, smooth_dr=1e-12)
    ours = build_loss(DICE, weights_K=torch.ones(5), ignore_label=None)(logits_BKHW, mask_BHW)
    torch.testing.assert_close(ours, theirs(logits_BKHW, mask_BHW[:, None]))


@pytest.mark.parametrize("ignored", [1, 255])
def test_dice_is_that_of_smp_with_an_ignored_label(batch: tuple[Tensor, Tensor], ignored: int) -> None:
    """smp counts an absent class as 0 and divides by all classes it is told to: so it is told those that are there."""
    logits_BKHW, mask_BHW = batch
    mask_BHW = torch.where(mask_BHW == 1, ignored, mask_BHW)
    mask_BHW[mask_BHW == 3] = 2
    theirs = SmpDice("multiclass", classes=[0, 2, 4], ignore_index=ignored, smooth=0.0)
    ours = build_loss(DICE, weights_K=torch.ones(5), ignore_label=ignored)(logits_BKHW, mask_BHW)
    torch.testing.assert_close(ours, theirs(logits_BKHW, mask_BHW))
