"""One pass over labelled frames: the same score as `evaluate`, matrices by group, frames by score,
and probabilities.
"""

import numpy as np
import pytest
import torch

from objectives.bundle.pixel_program import PixelProgram
from objectives.config import Config, Train, UNet
from objectives.data.reading.on_demand import ReadOnDemand
from objectives.data.spec import FrameSpec
from objectives.device import portions
from objectives.program.segmenter import Segmenter, build_segmenter
from objectives.scoring.calibration import BINS, Calibration
from objectives.scoring.evaluate import evaluate, predict
from objectives.scoring.inspection import (
    Inspection,
    inspect_frames,
    inspect_logits,
    top_probability,
)
from objectives.scoring.metrics import confusion_KK
from tests.support.frame_specs import frame_spec

CPU = torch.device("cpu")


def spec_of(
    channels: int, max_value: int, classes: int, ignore_label: int | None, scored: tuple[int, ...]
) -> FrameSpec:
    return frame_spec(
        (12, 20),
        tuple(f"class {label}" for label in range(classes)),
        channels,
        max_value=max_value,
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        ignore_label=ignore_label,
        scored=scored,
    )


KINDS = {
    "grey, first ignored": spec_of(1, 255, 5, 0, (1, 2, 3, 4)),
    "two classes, RGB, nothing ignored": spec_of(3, 255, 2, None, (0, 1)),
    "16 bit, last ignored, one not scored": spec_of(2, 65535, 9, 8, (0, 2, 3, 4, 5, 6, 7)),
    "one scored class": spec_of(1, 255, 3, 2, (1,)),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def spec(request: pytest.FixtureRequest) -> FrameSpec:
    kind: FrameSpec = request.param
    return kind


def frames_of(spec: FrameSpec, count: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    dtype = np.uint8 if spec.max_value == 255 else np.uint16
    images = rng.integers(
        0, spec.max_value, (count, spec.height, spec.width, spec.channels), endpoint=True
    ).astype(dtype)
    masks = rng.integers(0, spec.num_classes, (count, spec.height, spec.width)).astype(np.uint8)
    images.flags.writeable = masks.flags.writeable = False  # as maps are
    return images, masks


def segmenter_of(spec: FrameSpec) -> Segmenter:
    torch.manual_seed(1)
    return build_segmenter(
        Config(model=UNet(depth=2, base_filters=4), train=Train(scale=0.5)), spec
    )


def inspected(spec: FrameSpec, groups: list[int]) -> Inspection:
    return inspect_frames(
        segmenter_of(spec), *frames_of(spec), spec, groups_N=np.array(groups), device=CPU
    )


def test_the_score_is_that_of_evaluate_whatever_the_groups(spec: FrameSpec) -> None:
    expected = evaluate(segmenter_of(spec), *frames_of(spec), spec, device=CPU)
    for groups in ([0] * 7, list(range(7)), [5, -2, 5, 9, 9, 5, -2]):
        found = inspected(spec, groups)
        assert found.groups_G.tolist() == sorted(set(groups))
        assert found.confusions_GKK.shape == (len(set(groups)), spec.num_classes, spec.num_classes)
        assert found.confusions_GKK.dtype == np.int64
        np.testing.assert_array_equal(found.evaluation.confusion_KK, expected.confusion_KK)
        assert found.evaluation.score == expected.score
        np.testing.assert_array_equal(found.classes.iou, expected.iou)


def test_each_group_has_the_pixels_of_its_own_frames(spec: FrameSpec) -> None:
    images, masks = frames_of(spec)
    groups = np.array([4, 1, 4, 4, 7, 1, 7])
    labels = np.stack(predict(segmenter_of(spec), images, spec, device=CPU))
    found = inspected(spec, groups.tolist())
    for group, confusion in zip(found.groups_G, found.confusions_GKK, strict=True):
        mine = groups == group
        np.testing.assert_array_equal(
            confusion, confusion_KK(labels[mine], masks[mine], spec.num_classes, spec.ignore_label)
        )


def test_frames_are_scored_by_their_own_classes_and_the_worst_come_first(spec: FrameSpec) -> None:
    images, masks = frames_of(spec)
    labels = np.stack(predict(segmenter_of(spec), images, spec, device=CPU))
    expected = []
    for mask, predicted in zip(masks, labels, strict=True):
        seen = mask != (-1 if spec.ignore_label is None else spec.ignore_label)
        own = [label for label in spec.scored if (mask == label).any()]
        parts = [
            ((mask == k) & (predicted == k)).sum() / (((mask == k) | (predicted == k)) & seen).sum()
            for k in own
        ]
        expected.append(float(np.mean(parts)))
    found = inspected(spec, [0] * 7)
    np.testing.assert_allclose(found.frame_scores_N, expected, rtol=1e-12)
    assert found.worst(3) == tuple(sorted(range(7), key=expected.__getitem__)[:3])
    assert sorted(found.worst(99)) == list(range(7))
    assert found.worst(0) == ()


def test_calibration_is_that_of_the_probabilities_that_the_exported_program_gives(
    spec: FrameSpec,
) -> None:
    images, masks = frames_of(spec)
    program = PixelProgram(segmenter_of(spec), spec).eval()
    with torch.inference_mode():
        labels, probabilities = program(
            torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32))
        )
    judged = np.isin(masks, spec.scored)
    top = probabilities.amax(dim=1).numpy()[judged].astype(np.float64)
    right = (labels.numpy() == masks)[judged]
    bins = np.minimum(np.ceil(top * BINS).astype(int), BINS) - 1
    gaps = [
        abs(right[bins == m].mean() - top[bins == m].mean()) * (bins == m).mean()
        for m in set(bins.tolist())
    ]
    found = inspected(spec, [0] * 7).calibration
    assert found.pixels_M.sum() == judged.sum()
    assert found.correct_M.sum() == right.sum()
    assert found.error == pytest.approx(sum(gaps), abs=1e-4)


def test_batches_change_nothing(spec: FrameSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = inspected(spec, list(range(7)))
    monkeypatch.setattr(portions, "PIXELS", 2 * spec.height * spec.width)
    parts = inspected(spec, list(range(7)))
    # pixels that rounding turns
    np.testing.assert_allclose(parts.confusions_GKK, whole.confusions_GKK, atol=2)
    np.testing.assert_allclose(
        parts.calibration.confidence_M.sum(), whole.calibration.confidence_M.sum(), rtol=1e-5
    )


def test_frames_are_read_once_and_the_model_is_left_in_evaluation_mode() -> None:
    spec = KINDS["grey, first ignored"]
    segmenter = segmenter_of(spec).train()
    before = {name: value.clone() for name, value in segmenter.state_dict().items()}
    images, masks = frames_of(spec)
    asked: list[int] = []

    def read(index: int) -> np.ndarray:
        asked.append(index)
        return images[index]

    frames = ReadOnDemand(7, read)
    found = inspect_frames(segmenter, frames, masks, spec, groups_N=np.zeros(7, int), device=CPU)
    assert len(found.frame_scores_N) == 7
    assert asked == list(range(7))
    assert not segmenter.training
    assert all(torch.equal(value, before[name]) for name, value in segmenter.state_dict().items())


def test_a_frame_without_a_group_is_our_mistake() -> None:
    spec = KINDS["grey, first ignored"]
    with pytest.raises(AssertionError, match="7 frames, 9 of them"):
        inspect_frames(
            segmenter_of(spec), *frames_of(spec), spec, groups_N=np.zeros(9, np.int32), device=CPU
        )


def test_frames_whose_pixels_are_all_ignored_have_no_score_and_change_nothing() -> None:
    spec = KINDS["grey, first ignored"]
    images, masks = frames_of(spec)
    empty = masks.copy()
    empty[[1, 4]] = 0
    found = inspect_frames(
        segmenter_of(spec), images, empty, spec, groups_N=np.arange(7), device=CPU
    )
    assert np.flatnonzero(np.isnan(found.frame_scores_N)).tolist() == [1, 4]
    assert not {1, 4} & set(found.worst(7))
    assert len(found.worst(7)) == 5
    assert found.confusions_GKK[[1, 4]].sum() == 0
    assert found.calibration.pixels_M.sum() == (empty != 0).sum()
    nothing = inspect_frames(
        segmenter_of(spec), images, np.zeros_like(masks), spec, groups_N=np.arange(7), device=CPU
    )
    assert np.isnan(nothing.evaluation.score)
    assert np.isnan(nothing.calibration.error)
    assert nothing.worst(7) == ()


def test_no_frames_at_all_are_nothing() -> None:
    spec = KINDS["grey, first ignored"]
    images, masks = frames_of(spec)
    found = inspect_frames(
        segmenter_of(spec), images[:0], masks[:0], spec, groups_N=np.zeros(0, int), device=CPU
    )
    assert found.confusions_GKK.shape == (0, 5, 5)
    assert found.evaluation.confusion_KK.shape == (5, 5)
    assert np.isnan(found.evaluation.score)


def test_what_the_network_gives_to_unscored_classes_has_no_share() -> None:
    """Of the logits log 6, log 1, log 3 and a huge one that is never scored, the first gets 6 of
    10.
    """
    spec = spec_of(1, 255, 4, 3, (0, 1, 2))
    logits_KHW = torch.log(torch.tensor([6.0, 1.0, 3.0, 1e30]))[:, None, None].expand(4, 2, 3)
    np.testing.assert_allclose(top_probability(logits_KHW[None], spec).numpy(), 0.6, rtol=1e-6)
    mask_HW = np.array([[0, 0, 1], [2, 3, 3]], np.uint8)
    confusion, calibration = inspect_logits(logits_KHW, mask_HW, spec)
    assert confusion.tolist() == [[2, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert (calibration.pixels_M.sum(), calibration.correct_M.sum()) == (4, 2)
    assert calibration.error == pytest.approx(0.1)


def test_pixels_of_a_class_that_cannot_be_predicted_count_in_the_matrix_and_not_in_the_calibration() -> (
    None
):
    spec = spec_of(1, 255, 3, None, (0, 1))
    logits_KHW = torch.tensor([2.0, 0.0, 9.0])[:, None, None].expand(3, 1, 4)
    confusion, calibration = inspect_logits(logits_KHW, np.array([[0, 1, 2, 2]], np.uint8), spec)
    assert confusion.tolist() == [[1, 0, 0], [1, 0, 0], [2, 0, 0]]
    assert calibration.pixels_M.sum() == 2


def test_ignored_pixels_are_left_out_even_where_their_label_is_scored() -> None:
    spec = spec_of(1, 255, 3, 0, (0, 1, 2))
    confusion, calibration = inspect_logits(
        torch.randn(3, 2, 2), np.array([[0, 1], [2, 0]], np.uint8), spec
    )
    assert confusion.sum() == calibration.pixels_M.sum() == 2


def test_flipping_frame_and_mask_alike_changes_nothing() -> None:
    spec = KINDS["16 bit, last ignored, one not scored"]
    logits_KHW = torch.randn(9, 12, 20, generator=torch.Generator().manual_seed(0))
    mask_HW = frames_of(spec)[1][0]
    confusion, calibration = inspect_logits(logits_KHW, mask_HW, spec)
    turned, same = inspect_logits(logits_KHW.flip(1, 2), mask_HW[::-1, ::-1], spec)
    np.testing.assert_array_equal(turned, confusion)
    assert same.error == pytest.approx(calibration.error, rel=1e-9)
    assert isinstance(same, Calibration)
