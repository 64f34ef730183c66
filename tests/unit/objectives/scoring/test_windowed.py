"""Frames of several sizes, seen in windows: every way to a score gives what ten lines of numpy give."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from objectives.config import Config, Train, UNet
from objectives.data.ragged import one_behind_the_other
from objectives.device import portions
from objectives.ensemble.probabilities import LabelledFrames, measure_member
from objectives.ensemble.probability_codes import decode_probabilities
from objectives.program.segmenter import Segmenter, build_segmenter
from objectives.scoring.evaluate import Beside, evaluate, predict
from objectives.scoring.inspection import inspect_frames
from objectives.scoring.passes import seen_batches
from objectives.windows.layout import cut
from tests.support.frame_specs import frame_spec

CPU = torch.device("cpu")
SPEC = frame_spec(
    (16, 24),
    ("void", "soil", "rock", "sky"),
    2,
    mean=(0.4, 0.5),
    std=(0.2, 0.3),
    scored=(1, 3),
    overlap=0.3,
)
SIZES = ((40, 30), (16, 24), (9, 60), (33, 5))


@dataclass(frozen=True)
class World:
    """Frames, their truth, a network, and what its windows say when they are put together by hand."""

    images: list[np.ndarray]
    masks: list[np.ndarray]
    segmenter: Segmenter
    probable: list[np.ndarray]  # (S, H, W)

    @property
    def labels(self) -> list[np.ndarray]:
        return [np.array(SPEC.scored)[each.argmax(axis=0)] for each in self.probable]


@pytest.fixture(scope="module")
def world() -> World:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 2)).astype(np.uint8) for size in SIZES]
    masks = [rng.integers(0, 4, size).astype(np.uint8) for size in SIZES]
    torch.manual_seed(0)
    segmenter = build_segmenter(
        Config(model=UNet(depth=2, base_filters=4), train=Train(scale=0.5)), SPEC
    ).eval()
    return World(images, masks, segmenter, [by_hand(segmenter, image) for image in images])


@torch.inference_mode()
def by_hand(segmenter: nn.Module, image_HWC: np.ndarray) -> np.ndarray:
    assert SPEC.windows
    height, width = image_HWC.shape[:2]
    total = np.zeros((2, max(height, 16), max(width, 24)))
    weight = np.zeros(total.shape[1:])
    for corner in SPEC.windows.corners(height, width):
        pixels = torch.from_numpy(cut(image_HWC, corner, 16, 24).copy()).permute(2, 0, 1)[None]
        said = torch.softmax(segmenter(pixels)[0, [1, 3]], dim=0).double().numpy()
        rows = slice(corner.row, corner.row + 16)
        columns = slice(corner.column, corner.column + 24)
        total[:, rows, columns] += said * SPEC.windows.weights_HW
        weight[rows, columns] += SPEC.windows.weights_HW
    return (total / weight)[:, :height, :width]


def confusion(world: World, frames: list[int]) -> np.ndarray:
    counts = np.zeros((4, 4), int)
    for frame in frames:
        judged = world.masks[frame] != 0
        np.add.at(counts, (world.masks[frame][judged], world.labels[frame][judged]), 1)
    return counts


@pytest.mark.parametrize("at_once", [1, 5, 1000])
def test_the_score_is_that_of_probabilities_averaged_by_hand(
    world: World, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portions, "PIXELS", at_once * 16 * 24)
    groups = np.array([1, 0, 1, 0])
    found = evaluate(
        world.segmenter,
        world.images,
        world.masks,
        SPEC,
        device=CPU,
        beside=Beside(soft=True),
        group_of_N=groups,
    )
    for group, frames in enumerate(([1, 3], [0, 2])):
        # pixels that rounding turns
        np.testing.assert_allclose(found.confusions_GKK[group], confusion(world, frames), atol=2)
    expected = np.zeros((4, 4))
    for mask, probable in zip(world.masks, world.probable, strict=True):
        for label in (1, 2, 3):
            expected[label, [1, 3]] += probable[:, mask == label].sum(axis=1)
    assert found.soft
    np.testing.assert_allclose(found.soft.expected_KK, expected, rtol=1e-4)


def test_prediction_inspection_and_ensembles_see_the_same(world: World) -> None:
    labels = predict(world.segmenter, world.images, SPEC, device=CPU)
    for ours, expected in zip(labels, world.labels, strict=True):
        assert ours.dtype == np.uint8
        assert (ours != expected).mean() < 0.002
    groups = np.arange(4)
    inspected = inspect_frames(
        world.segmenter, world.images, world.masks, SPEC, groups_N=groups, device=CPU
    )
    for frame in range(4):
        counts = confusion(world, [frame])
        np.testing.assert_allclose(inspected.confusions_GKK[frame], counts, atol=2)
        score = SPEC.scoring.of(inspected.confusions_GKK[frame])
        assert inspected.frame_scores_N[frame] == score
    judged = sum(int(np.isin(mask, SPEC.scored).sum()) for mask in world.masks)
    assert inspected.calibration.pixels_M.sum() == judged
    frames = LabelledFrames(world.images, world.masks, groups, SPEC)
    member = measure_member(world.segmenter, frames, device=CPU)
    expected = np.concatenate(
        [each[:, mask != 0].T for each, mask in zip(world.probable, world.masks, strict=True)]
    )
    found = decode_probabilities(member.codes_PK)[:, [1, 3]]
    np.testing.assert_allclose(found, expected, atol=0.01)
    library = frames.library((member.codes_PK,))
    np.testing.assert_array_equal(
        library.labels_P, np.concatenate([mask[mask != 0] for mask in world.masks])
    )
    np.testing.assert_allclose(
        library.confusions_GKK((1.0,)).sum(0), member.evaluation.confusion_KK, atol=20
    )


def test_the_loss_is_that_of_the_windows_and_what_lies_beyond_a_frame_is_ignored(
    world: World,
) -> None:
    assert SPEC.windows

    def loss(logits_BKHW: Tensor, masks_BHW: Tensor) -> Tensor:
        return functional.cross_entropy(logits_BKHW, masks_BHW, ignore_index=0)

    found = evaluate(
        world.segmenter, world.images[3:], world.masks[3:], SPEC, device=CPU, beside=Beside(loss)
    )
    logits, masks = [], []
    for corner in SPEC.windows.corners(33, 5):
        pixels = cut(world.images[3], corner, 16, 24).copy()
        with torch.inference_mode():
            logits.append(world.segmenter(torch.from_numpy(pixels).permute(2, 0, 1)[None]))
        mask = np.zeros((16, 24), np.int64)
        mask[:, :5] = world.masks[3][corner.row : corner.row + 16]
        masks.append(torch.from_numpy(mask)[None])
    assert found.loss == pytest.approx(float(loss(torch.cat(logits), torch.cat(masks))), rel=1e-5)


def test_a_ragged_map_gives_what_a_list_does(world: World) -> None:
    sizes = np.array(SIZES)
    images = one_behind_the_other(np.concatenate([each.ravel() for each in world.images]), sizes, 2)
    masks = one_behind_the_other(np.concatenate([each.ravel() for each in world.masks]), sizes)
    assert images.size(2) == (9, 60)
    chosen = np.array([3, 0])
    ours = evaluate(world.segmenter, images[chosen], masks[chosen], SPEC, device=CPU)
    theirs = evaluate(
        world.segmenter,
        [world.images[3], world.images[0]],
        [world.masks[3], world.masks[0]],
        SPEC,
        device=CPU,
    )
    np.testing.assert_array_equal(ours.confusion_KK, theirs.confusion_KK)
    inside = images[np.array([False, True, False, True])]
    assert [each.shape for each in inside] == [(16, 24, 2), (33, 5, 2)]
    assert np.shares_memory(inside[0], images.values)


def test_what_a_model_sees_is_all_of_one_size(world: World) -> None:
    assert SPEC.windows
    seen = np.concatenate(list(seen_batches(world.images, SPEC)))
    count = sum(len(list(SPEC.windows.corners(*size))) for size in SIZES)
    assert seen.shape == (count, 16, 24, 2)
