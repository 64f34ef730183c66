"""One contract for every loss: a new term only adds entries to LOSSES and to REFERENCES."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from objectives.config import Loss
from objectives.losses import MixtureLoss, build_loss

Array = npt.NDArray[np.float64]

LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss(),
    "focal-2": Loss(cross_entropy=0, focal=1),
    "focal-0.5": Loss(cross_entropy=0, focal=1, focal_gamma=0.5),
    "dice": Loss(cross_entropy=0, dice=1),
    "mixture": Loss(cross_entropy=0.2, focal=0.5, dice=0.3, focal_gamma=4),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
every_ignore = pytest.mark.parametrize("ignore_label", [None, 0, 3, 255])
WEIGHTS_K = torch.tensor([0.5, 1.0, 1.0, 2.0, 3.0])


def built(loss: Loss, ignore_label: int | None = 0) -> MixtureLoss:
    return build_loss(loss, weights_K=WEIGHTS_K, ignore_label=ignore_label)


def batch(ignore_label: int | None = 0, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits_BKHW = 2 * torch.randn(2, 5, 6, 7, generator=generator)
    mask_BHW = torch.randint(0, 5, (2, 6, 7), generator=generator)
    if ignore_label is not None:
        mask_BHW[:, :2] = ignore_label
    return logits_BKHW.requires_grad_(), mask_BHW


def reference_cross_entropy(p_NK: Array, label_N: Any, w_N: Array, loss: Loss) -> float:
    p_N = p_NK[np.arange(len(label_N)), label_N]
    return float((w_N * -np.log(p_N)).sum() / w_N.sum())


def reference_focal(p_NK: Array, label_N: Any, w_N: Array, loss: Loss) -> float:
    p_N = p_NK[np.arange(len(label_N)), label_N]
    return float((w_N * (1 - p_N) ** loss.focal_gamma * -np.log(p_N)).sum() / w_N.sum())


def reference_dice(p_NK: Array, label_N: Any, w_N: Array, loss: Loss) -> float:
    there = np.unique(label_N)
    return float(np.mean([1 - 2 * p_NK[label_N == k, k].sum() / (p_NK[:, k].sum() + (label_N == k).sum()) for k in there]))


REFERENCES: dict[str, Callable[[Array, Any, Array, Loss], float]] = {
    "cross_entropy": reference_cross_entropy,
    "focal": reference_focal,
    "dice": reference_dice,
}


def reference(loss: Loss, logits_BKHW: Tensor, mask_BHW: Tensor, ignore_label: int | None) -> float:
    """The loss in numpy, from labelled pixels alone, in float64."""
    z_NK = np.moveaxis(logits_BKHW.detach().double().numpy(), 1, -1).reshape(-1, logits_BKHW.shape[1])
    label_N = mask_BHW.numpy().reshape(-1)
    z_NK, label_N = z_NK[label_N != ignore_label], label_N[label_N != ignore_label]
    p_NK = np.exp(z_NK) / np.exp(z_NK).sum(1, keepdims=True)
    w_N = WEIGHTS_K.double().numpy()[label_N]
    return sum(getattr(loss, term) * value(p_NK, label_N, w_N, loss) for term, value in REFERENCES.items())


@every_loss
@every_ignore
def test_it_equals_the_numpy_reference(loss: Loss, ignore_label: int | None) -> None:
    logits_BKHW, mask_BHW = batch(ignore_label)
    expected = reference(loss, logits_BKHW, mask_BHW, ignore_label)
    assert built(loss, ignore_label)(logits_BKHW, mask_BHW).item() == pytest.approx(expected, rel=1e-5)


@every_loss
@pytest.mark.parametrize("ignore_label", [None, 0])
def test_its_gradient_is_that_of_the_reference(loss: Loss, ignore_label: int | None) -> None:
    logits_BKHW, mask_BHW = batch(ignore_label)
    built(loss, ignore_label)(logits_BKHW, mask_BHW).backward()
    assert logits_BKHW.grad is not None
    direction = torch.randn(logits_BKHW.shape, generator=torch.Generator().manual_seed(3))
    above, below = (logits_BKHW.detach() + step * direction.double() for step in (1e-5, -1e-5))
    slope = (reference(loss, above, mask_BHW, ignore_label) - reference(loss, below, mask_BHW, ignore_label)) / 2e-5
    assert (logits_BKHW.grad * direction).sum().item() == pytest.approx(slope, rel=1e-3)


@every_loss
def test_it_is_zero_at_a_perfect_prediction_and_more_elsewhere(loss: Loss) -> None:
    _, mask_BHW = batch()
    perfect_BKHW = 60.0 * torch.nn.functional.one_hot(mask_BHW, 5).movedim(-1, 1).float()
    assert built(loss)(perfect_BKHW, mask_BHW).item() == pytest.approx(0.0, abs=1e-6)
    assert built(loss)(-perfect_BKHW, mask_BHW).item() > 0.5


@every_loss
def test_ignored_pixels_change_neither_value_nor_gradient(loss: Loss) -> None:
    logits_BKHW, mask_BHW = batch()
    ignored_B1HW = (mask_BHW == 0)[:, None]
    other_BKHW = torch.where(ignored_B1HW, 50.0 * torch.randn(logits_BKHW.shape), logits_BKHW.detach()).requires_grad_()
    one, other = built(loss)(logits_BKHW, mask_BHW), built(loss)(other_BKHW, mask_BHW)
    one.backward()
    other.backward()
    assert logits_BKHW.grad is not None
    assert other_BKHW.grad is not None
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(logits_BKHW.grad, other_BKHW.grad)
    assert (logits_BKHW.grad * ignored_B1HW == 0).all()
    assert logits_BKHW.grad.abs().sum() > 0


@every_loss
@pytest.mark.parametrize("label", [1, 4])
def test_it_is_finite_with_one_class_only(loss: Loss, label: int) -> None:
    logits_BKHW, mask_BHW = batch()
    mask_BHW = torch.where(mask_BHW == 0, 0, label)
    assert built(loss)(logits_BKHW, mask_BHW).item() == pytest.approx(reference(loss, logits_BKHW, mask_BHW, 0), rel=1e-5)


@every_loss
@pytest.mark.parametrize("ignore_label", [0, 3, 255])
def test_a_batch_of_only_ignored_pixels_gives_zero_and_a_gradient_path(loss: Loss, ignore_label: int) -> None:
    logits_BKHW, mask_BHW = batch()
    value = built(loss, ignore_label)(logits_BKHW, torch.full_like(mask_BHW, ignore_label))
    value.backward()
    assert value.item() == 0.0
    assert logits_BKHW.grad is not None
    assert (logits_BKHW.grad == 0).all()


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_is_finite_over_the_range_of_half_precision(loss: Loss, dtype: torch.dtype) -> None:
    logits_BKHW, mask_BHW = batch()
    wide_BKHW = (logits_BKHW.detach() * 20_000).clamp(-60_000, 60_000).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = built(loss)(wide_BKHW, mask_BHW)
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert wide_BKHW.grad is not None
    assert wide_BKHW.grad.isfinite().all()


@every_loss
def test_the_memory_format_does_not_matter(loss: Loss) -> None:
    logits_BKHW, mask_BHW = batch()
    other_BKHW = logits_BKHW.detach().contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(built(loss)(other_BKHW, mask_BHW), built(loss)(logits_BKHW, mask_BHW).detach())
