"""Boundary scores: against the code of their authors, pixel by pixel, and through every pass that scores."""

import math
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from objectives.config import Config, Train, UNet
from objectives.data.dataset import Dataset
from objectives.data.spec import FrameSpec
from objectives.device import portions
from objectives.device.memory import TooLarge
from objectives.program.segmenter import Segmenter, build_segmenter
from objectives.scoring import passes
from objectives.scoring.boundary import band_width, boundary_confusion_LL
from objectives.scoring.evaluate import Beside, evaluate, predict
from objectives.scoring.inspection import inspect_frames
from objectives.scoring.metrics import confusion_KK
from objectives.statistics.resampling import left_out_scores
from objectives.statistics.scores import Scoring, iou
from objectives.training.fit import fit, prepare

CPU = torch.device("cpu")
CLASSES = 4
Mask = npt.NDArray[np.uint8]
shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))
pairs = shapes.flatmap(
    lambda shape: st.tuples(*[arrays(np.uint8, shape, elements=st.integers(0, CLASSES - 1))] * 2)
)
shares = st.sampled_from([1e-6, 0.02, 0.1, 0.25, 1.0])


def authors_band(mask: Mask, dilation_ratio: float = 0.02) -> Mask:
    """`mask_to_boundary` of https://github.com/bowenc0221/boundary-iou-api, of a mask of 0 and 1."""
    h, w = mask.shape
    img_diag = np.sqrt(h**2 + w**2)
    dilation = round(dilation_ratio * img_diag)
    dilation = max(dilation, 1)
    new_mask = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    kernel = np.ones((3, 3), dtype=np.uint8)
    new_mask_erode = cv2.erode(new_mask, kernel, iterations=dilation)
    mask_erode = new_mask_erode[1 : h + 1, 1 : w + 1]
    return np.asarray(mask - mask_erode, np.uint8)


def blobs(shape: tuple[int, int], seed: int) -> tuple[Mask, Mask]:
    """A mask of large areas, and labels that differ from it along contours and in single pixels."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, CLASSES, (max(2, shape[0] // 9), max(2, shape[1] // 9)))
    mask = cv2.resize(coarse.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST)
    moved = np.roll(mask, (1, -2), (0, 1))
    labels = np.where(rng.random(shape) < 0.02, rng.integers(0, CLASSES, shape), moved)
    return labels.astype(np.uint8), mask


def authors_counts(
    labels: Mask, mask: Mask, ignore: int | None, share: float
) -> list[tuple[int, int, int]]:
    """Pixels of each class in both bands, in the true one and in the predicted one."""
    known = np.ones(mask.shape, bool) if ignore is None else mask != ignore
    counts = []
    for label in range(CLASSES):
        true, said = (
            authors_band(((each == label) & known).astype(np.uint8), share)
            for each in (mask, labels)
        )
        counts.append((int((true & said).sum()), int(true.sum()), int(said.sum())))
    return counts


def counts_of(confusion_LL: npt.NDArray[np.int64]) -> list[tuple[int, int, int]]:
    return [
        (confusion_LL[k, k], confusion_LL[k].sum(), confusion_LL[:, k].sum())
        for k in range(CLASSES)
    ]


@pytest.mark.parametrize("ignore", [None, 0, 3])
@pytest.mark.parametrize("share", [0.005, 0.02, 0.1])
@pytest.mark.parametrize("shape", [(64, 128), (33, 40), (5, 7), (200, 300)])
def test_bands_are_those_of_the_authors(
    shape: tuple[int, int], share: float, ignore: int | None
) -> None:
    labels, mask = blobs(shape, seed=shape[0])
    found = boundary_confusion_LL(labels, mask, CLASSES, ignore, share)
    expected = authors_counts(labels, mask, ignore, share)
    assert counts_of(found) == expected
    ious = [both / (true + said - both) if true else math.nan for both, true, said in expected]
    scoring = Scoring(tuple(range(CLASSES)), boundary=share)
    np.testing.assert_allclose(scoring.by_class(found)[:CLASSES], ious)
    assert scoring.of(found) == pytest.approx(np.nanmean(ious))


@settings(max_examples=150, deadline=None)
@given(pair=pairs, ignore=st.sampled_from([None, 0, 2]), share=shares)
def test_a_pixel_counts_that_has_another_label_or_the_edge_so_near(
    pair: tuple[Mask, Mask], ignore: int | None, share: float
) -> None:
    labels, mask = pair
    far = band_width(mask.shape, share)
    height, width = mask.shape
    expected = np.zeros((CLASSES + 1, CLASSES + 1), np.int64)
    for row, column in np.ndindex(mask.shape):
        if mask[row, column] == ignore:
            continue
        cell = []
        for each in (mask, labels):
            own = each[row, column]
            near = [
                not (0 <= y < height and 0 <= x < width)
                or mask[y, x] == ignore
                or each[y, x] != own
                for y in range(row - far, row + far + 1)
                for x in range(column - far, column + far + 1)
            ]
            cell.append(own if any(near) else CLASSES)
        expected[tuple(cell)] += cell != [CLASSES, CLASSES]
    found = boundary_confusion_LL(labels, mask, CLASSES, ignore, share)
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(pair=pairs, ignore=st.sampled_from([None, 0]))
def test_a_band_as_wide_as_the_frame_is_all_of_it_and_each_class_that_occurs_has_one(
    pair: tuple[Mask, Mask], ignore: int | None
) -> None:
    labels, mask = pair
    whole = boundary_confusion_LL(labels, mask, CLASSES, ignore, 1.0)
    usual = confusion_KK(labels, mask, CLASSES, ignore)
    np.testing.assert_array_equal(whole[:CLASSES, :CLASSES], usual)
    assert not whole[CLASSES].any()
    thin = boundary_confusion_LL(labels, mask, CLASSES, ignore, 1e-6)
    np.testing.assert_array_equal(thin.sum(1)[:CLASSES] > 0, usual.sum(1) > 0)


def test_the_share_is_of_each_frames_own_diagonal() -> None:
    assert [band_width(shape, 0.02) for shape in ((64, 128), (1024, 2048), (8, 8))] == [3, 46, 1]
    assert band_width((30, 40), 0.1) == 5


def test_labels_may_be_as_many_as_a_mask_holds() -> None:
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    found = boundary_confusion_LL(mask, mask, 256, None, 0.02)
    np.testing.assert_array_equal(found, np.diag([*[1] * 256, 0]))


@pytest.fixture(scope="module")
def segmenter(terrain: Dataset) -> Segmenter:
    torch.manual_seed(0)
    return build_segmenter(Config(model=UNet(depth=2, base_filters=4)), terrain.spec)


def spec_by(data: Dataset, score: str) -> FrameSpec:
    return data.spec.model_copy(update={"measure": score})


def test_every_pass_scores_by_the_bands_of_single_frames(
    segmenter: Segmenter, terrain: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_by(terrain, "boundary-iou:soil=2,sand")
    frames = terrain.images[:10], terrain.masks[:10]
    labels_NHW = predict(segmenter, frames[0], spec, device=CPU)
    single = np.stack(
        [
            boundary_confusion_LL(labels, mask, spec.num_classes, spec.ignore_label, 0.02)
            for labels, mask in zip(labels_NHW, frames[1], strict=True)
        ]
    )
    soil, sand = (
        iou(*np.array(count)[:, None])[0]
        for count in (counts_of(single.sum(0))[1], counts_of(single.sum(0))[3])
    )
    monkeypatch.setattr(portions, "PIXELS", 4 * spec.height * spec.width)
    groups = np.arange(10) % 3
    found = evaluate(
        segmenter, *frames, spec, device=CPU, group_of_N=groups, beside=Beside(soft=True)
    )
    assert found.score == pytest.approx((2 * soil + sand) / 3)
    assert found.measured[[1, 3]] == pytest.approx([soil, sand])
    assert len(found.measured) == len(found.iou) == spec.num_classes
    for group in range(3):
        np.testing.assert_array_equal(found.judged_GKK[group], single[groups == group].sum(0))
    usual = evaluate(segmenter, *frames, terrain.spec, device=CPU)
    np.testing.assert_array_equal(found.iou, usual.iou)
    assert usual.judged_GKK is usual.confusions_GKK
    assert found.soft is not None
    assert math.isnan(found.soft.score(found.scoring))
    inspected = inspect_frames(segmenter, *frames, spec, groups_N=groups, device=CPU)
    np.testing.assert_array_equal(inspected.evaluation.judged_GKK, found.judged_GKK)
    assert inspected.evaluation.score == found.score
    alone = [spec.scoring.of(each) for each in single]
    np.testing.assert_allclose(inspected.frame_scores_N, alone)
    np.testing.assert_array_equal(inspected.measured_K, found.measured)


def test_a_batch_that_is_repeated_in_halves_counts_once(
    segmenter: Segmenter, terrain: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_by(terrain, "boundary-iou")
    frames = terrain.images[:12], terrain.masks[:12]
    whole = evaluate(segmenter, *frames, spec, device=CPU, beside=Beside(soft=True))

    def short(_: torch.device, work: Callable[[list[int]], object], batch: list[int]) -> object:
        """As where memory runs out at the very end."""
        done = work(batch)
        return TooLarge("out of memory") if len(batch) > 3 else done

    monkeypatch.setattr(passes, "attempt", short)
    halved = evaluate(segmenter, *frames, spec, device=CPU, beside=Beside(soft=True))
    np.testing.assert_array_equal(halved.judged_GKK, whole.judged_GKK)
    np.testing.assert_array_equal(halved.confusions_GKK, whole.confusions_GKK)
    assert halved.score == whole.score


def test_a_training_keeps_the_bands_of_its_scored_epoch(terrain: Dataset) -> None:
    data = replace(terrain, spec=spec_by(terrain, "least-boundary-iou"))
    config = Config(
        model=UNet(depth=2, base_filters=4), train=Train(epochs=1, scale=0.5, steps_per_epoch=2)
    )
    training = prepare(config, data, seed=0, device=CPU)
    (result,) = fit(training)
    state = training.state
    (contours_GLL,) = state.contours
    expected = left_out_scores(contours_GLL.numpy(), data.spec.scoring)
    assert state.left_out() == tuple(expected.tolist())
    ious = [result.measured[label] for label in data.spec.scored]
    assert result.score == min(value for value in ious if not math.isnan(value))
    assert math.isnan(result.soft_score)
    again = prepare(config, data, seed=0, device=CPU).state
    again.load_bytes(state.to_bytes())
    assert again.left_out() == state.left_out()
    usual = prepare(config, terrain, seed=0, device=CPU)
    list(fit(usual))
    assert not usual.state.contours
