"""One contract for every loss: a new term only adds entries to LOSSES and to REFERENCES."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from objectives.config import LOSS_TERMS, Loss
from objectives.losses import MixtureLoss, build_loss

Array = npt.NDArray[np.float64]


def only(term: str, **parameters: float) -> Loss:
    return Loss(**{"cross_entropy": 0, term: 1, **parameters})


LOSSES: dict[str, Loss] = {
    "cross_entropy": Loss(),
    "focal-2": only("focal"),
    "focal-0.5": only("focal", focal_gamma=0.5),
    "dice": only("dice"),
    "generalised_dice": only("generalised_dice"),
    "tversky-0.3": only("tversky"),
    "tversky-0": only("tversky", tversky_alpha=0),
    "tversky-1": only("tversky", tversky_alpha=1),
    "unified_focal": only("unified_focal"),
    "unified_focal-0-1": only("unified_focal", unified_gamma=0, unified_delta=1),
    "unified_focal-0.9-0": only("unified_focal", unified_gamma=0.9, unified_delta=0),
    "jaccard": only("jaccard"),
    "boundary": only("boundary"),
    "mixture": Loss(cross_entropy=0.2, focal=0.5, dice=0.3, focal_gamma=4),
    "mixture of all": Loss(**dict.fromkeys(LOSS_TERMS, 1 / len(LOSS_TERMS))),
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


class Known(NamedTuple):
    """A batch in float64: its labelled pixels in one row, and where they lie."""

    p_NK: Array
    label_N: Any
    w_N: Array
    place_BHW: Any  # True where a pixel has a label

    def spread_BHW(self, value_N: Array) -> Array:
        value_BHW = np.full(self.place_BHW.shape, np.nan)
        value_BHW[self.place_BHW] = value_N
        return value_BHW

    def around_NWW(self, value_N: Array, reach: int) -> Array:
        """The square around every labelled pixel; NaN where there is no labelled pixel."""
        padded_BHW = np.pad(
            self.spread_BHW(value_N),
            ((0, 0), (reach, reach), (reach, reach)),
            constant_values=np.nan,
        )
        return sliding_window_view(padded_BHW, (2 * reach + 1, 2 * reach + 1), axis=(1, 2))[
            self.place_BHW
        ]


def positives(known: Known, k: int) -> tuple[float, float, float]:
    """True positives, false positives and false negatives of a class, pixel by pixel."""
    p_N, is_N = known.p_NK[:, k], known.label_N == k
    return p_N[is_N].sum(), p_N[~is_N].sum(), (1 - p_N[is_N]).sum()


def reference_cross_entropy(known: Known, loss: Loss) -> float:
    p_N = known.p_NK[np.arange(len(known.label_N)), known.label_N]
    return float((known.w_N * -np.log(p_N)).sum() / known.w_N.sum())


def reference_focal(known: Known, loss: Loss) -> float:
    p_N = known.p_NK[np.arange(len(known.label_N)), known.label_N]
    return float((known.w_N * (1 - p_N) ** loss.focal_gamma * -np.log(p_N)).sum() / known.w_N.sum())


def reference_dice(known: Known, loss: Loss) -> float:
    p_NK, label_N = known.p_NK, known.label_N
    there = np.unique(label_N)
    return float(
        np.mean(
            [
                1 - 2 * p_NK[label_N == k, k].sum() / (p_NK[:, k].sum() + (label_N == k).sum())
                for k in there
            ]
        )
    )


def reference_generalised_dice(known: Known, loss: Loss) -> float:
    counts = [(np.sum(known.label_N == k), *positives(known, k)) for k in np.unique(known.label_N)]
    above = sum(tp / size**2 for size, tp, _, _ in counts)
    below = sum((2 * tp + fp + fn) / size**2 for size, tp, fp, fn in counts)
    return float(1 - 2 * above / below)


def tversky_misses(known: Known, alpha: float, beta: float) -> Array:
    counts = [positives(known, k) for k in np.unique(known.label_N)]
    return np.array(
        [(alpha * fp + beta * fn) / (tp + alpha * fp + beta * fn) for tp, fp, fn in counts]
    )


def reference_tversky(known: Known, loss: Loss) -> float:
    return float(tversky_misses(known, loss.tversky_alpha, 1 - loss.tversky_alpha).mean())


def reference_jaccard(known: Known, loss: Loss) -> float:
    return float(tversky_misses(known, 1.0, 1.0).mean())


def reference_unified_focal(known: Known, loss: Loss) -> float:
    """The mean over every choice of the rare class: its pixels and its overlap by one rule, all
    others by the other rule.

    Each choice weighs the two rules alike, whatever the number of classes (with two classes this is
    the paper's sum).
    """
    delta, gamma = loss.unified_delta, loss.unified_gamma
    p_N = known.p_NK[np.arange(len(known.label_N)), known.label_N]
    share_N = known.w_N / known.w_N.sum()
    misses = dict(
        zip(np.unique(known.label_N), tversky_misses(known, 1 - delta, delta), strict=True)
    )
    rare, common = 0.0, 0.0
    for r in misses:
        own_N = known.label_N == r
        rare += delta * (share_N * -np.log(p_N))[own_N].sum() + misses[r] ** (1 - gamma) / len(
            misses
        )
        common += (1 - delta) * (share_N * (1 - p_N) ** gamma * -np.log(p_N))[own_N].sum() + misses[
            r
        ] / len(misses)
    return float(0.5 * (0.5 * rare + 0.5 * common))


def reference_boundary(known: Known, loss: Loss) -> float:
    """An edge pixel differs from a labelled neighbour among 8; edges match up to two
    pixels apart.
    """
    losses = []
    for k in np.unique(known.label_N):
        p_N, g_N = known.p_NK[:, k], (known.label_N == k).astype(np.float64)
        p_edge_N, g_edge_N = (
            y_N - np.nanmin(known.around_NWW(y_N, 1), axis=(1, 2)) for y_N in (p_N, g_N)
        )
        if not g_edge_N.any():
            continue
        near_p_N, near_g_N = (
            np.nanmax(known.around_NWW(edge_N, 2), axis=(1, 2)) for edge_N in (p_edge_N, g_edge_N)
        )
        precision, recall = (
            np.average(near_g_N, weights=p_edge_N),
            np.average(near_p_N, weights=g_edge_N),
        )
        losses.append(1 - 2 / (1 / precision + 1 / recall))
    return float(np.mean(losses)) if losses else 0.0


REFERENCES: dict[str, Callable[[Known, Loss], float]] = {
    "cross_entropy": reference_cross_entropy,
    "focal": reference_focal,
    "dice": reference_dice,
    "generalised_dice": reference_generalised_dice,
    "tversky": reference_tversky,
    "unified_focal": reference_unified_focal,
    "jaccard": reference_jaccard,
    "boundary": reference_boundary,
}


def reference(loss: Loss, logits_BKHW: Tensor, mask_BHW: Tensor, ignore_label: int | None) -> float:
    """The loss in numpy, from labelled pixels alone, in float64."""
    place_BHW = mask_BHW.numpy() != ignore_label
    z_NK = np.moveaxis(logits_BKHW.detach().double().numpy(), 1, -1)[place_BHW]
    label_N = mask_BHW.numpy()[place_BHW]
    p_NK = np.exp(z_NK) / np.exp(z_NK).sum(1, keepdims=True)
    known = Known(p_NK, label_N, WEIGHTS_K.double().numpy()[label_N], place_BHW)
    return sum(
        getattr(loss, term) * value(known, loss)
        for term, value in REFERENCES.items()
        if getattr(loss, term)
    )


def test_every_term_is_under_contract() -> None:
    assert set(REFERENCES) == set(LOSS_TERMS), "REFERENCES needs each term in numpy"
    assert {
        term for term in LOSS_TERMS if any(getattr(loss, term) == 1 for loss in LOSSES.values())
    } == set(LOSS_TERMS)


@every_loss
@every_ignore
def test_it_equals_the_numpy_reference(loss: Loss, ignore_label: int | None) -> None:
    logits_BKHW, mask_BHW = batch(ignore_label)
    expected = reference(loss, logits_BKHW, mask_BHW, ignore_label)
    assert built(loss, ignore_label)(logits_BKHW, mask_BHW).item() == pytest.approx(
        expected, rel=1e-5
    )


@every_loss
@pytest.mark.parametrize("ignore_label", [None, 0])
def test_its_gradient_is_that_of_the_reference(loss: Loss, ignore_label: int | None) -> None:
    logits_BKHW, mask_BHW = batch(ignore_label)
    built(loss, ignore_label)(logits_BKHW, mask_BHW).backward()
    assert logits_BKHW.grad is not None
    direction = torch.randn(logits_BKHW.shape, generator=torch.Generator().manual_seed(3))
    # past no tie
    above, below = (logits_BKHW.detach() + step * direction.double() for step in (1e-7, -1e-7))
    slope = (
        reference(loss, above, mask_BHW, ignore_label)
        - reference(loss, below, mask_BHW, ignore_label)
    ) / 2e-7
    assert (logits_BKHW.grad * direction).sum().item() == pytest.approx(slope, rel=1e-3)


@every_loss
def test_it_is_zero_at_a_perfect_prediction_and_more_elsewhere(loss: Loss) -> None:
    _, mask_BHW = batch()
    perfect_BKHW = 60.0 * torch.nn.functional.one_hot(mask_BHW, 5).movedim(-1, 1).float()
    assert built(loss)(perfect_BKHW, mask_BHW).item() == pytest.approx(0.0, abs=1e-6)
    assert built(loss)(-perfect_BKHW, mask_BHW).item() > 0.1


@every_loss
def test_ignored_pixels_change_neither_value_nor_gradient(loss: Loss) -> None:
    logits_BKHW, mask_BHW = batch()
    ignored_B1HW = (mask_BHW == 0)[:, None]
    other_BKHW = torch.where(
        ignored_B1HW, 50.0 * torch.randn(logits_BKHW.shape), logits_BKHW.detach()
    ).requires_grad_()
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
    assert built(loss)(logits_BKHW, mask_BHW).item() == pytest.approx(
        reference(loss, logits_BKHW, mask_BHW, 0), rel=1e-5
    )


@every_loss
@pytest.mark.parametrize("absent", [[4], [1, 3]])
def test_it_is_finite_with_classes_absent(loss: Loss, absent: list[int]) -> None:
    logits_BKHW, mask_BHW = batch()
    mask_BHW = torch.where(torch.isin(mask_BHW, torch.tensor(absent)), 2, mask_BHW)
    value = built(loss)(logits_BKHW, mask_BHW)
    value.backward()
    assert value.item() == pytest.approx(reference(loss, logits_BKHW, mask_BHW, 0), rel=1e-5)
    assert logits_BKHW.grad is not None
    assert logits_BKHW.grad.isfinite().all()


@every_loss
@pytest.mark.parametrize("ignore_label", [0, 3, 255])
def test_a_batch_of_only_ignored_pixels_gives_zero_and_a_gradient_path(
    loss: Loss, ignore_label: int
) -> None:
    logits_BKHW, mask_BHW = batch()
    value = built(loss, ignore_label)(logits_BKHW, torch.full_like(mask_BHW, ignore_label))
    value.backward()
    assert value.item() == 0.0
    assert logits_BKHW.grad is not None
    assert (logits_BKHW.grad == 0).all()


@every_loss
@pytest.mark.parametrize("certain", ["random", "right", "wrong", "one class"])
@pytest.mark.parametrize(
    ("dtype", "largest"), [(torch.float16, 6e4), (torch.bfloat16, 1e30), (torch.bfloat16, 20.0)]
)
def test_it_is_finite_over_the_range_of_half_precision(
    loss: Loss, dtype: torch.dtype, largest: float, certain: str
) -> None:
    logits_BKHW, mask_BHW = batch()
    right_BKHW = torch.nn.functional.one_hot(mask_BHW, 5).movedim(-1, 1).float()
    shape = {
        "random": (logits_BKHW.detach() / 3).clamp(-1, 1),
        "right": 2 * right_BKHW - 1,
        "wrong": 1 - 2 * right_BKHW,
        "one class": torch.tensor([-1.0, -1, 1, -1, -1])[:, None, None].expand_as(right_BKHW),
    }
    wide_BKHW = (largest * shape[certain]).to(dtype).requires_grad_()
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
    torch.testing.assert_close(
        built(loss)(other_BKHW, mask_BHW), built(loss)(logits_BKHW, mask_BHW).detach()
    )
