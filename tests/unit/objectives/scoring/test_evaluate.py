"""Validation: one confusion matrix over the whole set, whatever the batches."""

import numpy as np
import pytest
import torch

from objectives.config import Config, Train, UNet
from objectives.data.dataset import Dataset
from objectives.device import portions
from objectives.device.memory import DoesNotFitError
from objectives.ensemble.probabilities import LabelledFrames, measure_member
from objectives.errors import ProblemsError
from objectives.program.pixels import pixels_BCHW
from objectives.program.segmenter import Segmenter, build_segmenter
from objectives.scoring import latency
from objectives.scoring.evaluate import evaluate, predict
from objectives.scoring.inspection import inspect_frames
from tests.support.training_checks import TOO_MUCH

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def segmenter(terrain: Dataset) -> Segmenter:
    torch.manual_seed(0)
    return build_segmenter(
        Config(model=UNet(depth=2, base_filters=4), train=Train(scale=0.5)), terrain.spec
    )


def test_the_score_is_that_of_ten_lines_of_numpy(segmenter: Segmenter, terrain: Dataset) -> None:
    images, spec = terrain.images[:10], terrain.spec
    masks = np.asarray(terrain.masks[:10])
    found = evaluate(segmenter, images, masks, spec, device=CPU)
    labels = np.stack(predict(segmenter, images, spec, device=CPU))
    assert (labels.dtype, labels.shape) == (np.uint8, masks.shape)
    assert set(np.unique(labels)) <= set(spec.scored)
    judged = masks != spec.ignore_label
    ious = []
    for label in spec.scored:
        there, said = (masks == label) & judged, (labels == label) & judged
        ious.append((there & said).sum() / (there | said).sum())
        assert found.iou[label] == pytest.approx(ious[-1])
    assert found.score == pytest.approx(np.mean(ious))
    assert found.confusion_KK.sum() == judged.sum()


def test_groups_of_frames_are_scored_apart_and_together(
    segmenter: Segmenter, terrain: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one pass, in parts that hold several groups."""
    images, masks, spec = terrain.images[:10], terrain.masks[:10], terrain.spec
    group_of = np.array([2, 0, 1, 2, 0, 0, 1, 2, 2, 1])
    monkeypatch.setattr(portions, "PIXELS", 4 * spec.height * spec.width)
    found = evaluate(segmenter, images, masks, spec, device=CPU, group_of_N=group_of)
    for group in range(3):
        mine = group_of == group
        alone = evaluate(segmenter, images[mine], masks[mine], spec, device=CPU)
        # pixels that rounding turns
        np.testing.assert_allclose(found.confusions_GKK[group], alone.confusion_KK, atol=3)
    whole = evaluate(segmenter, images, masks, spec, device=CPU)
    np.testing.assert_array_equal(found.confusion_KK, whole.confusion_KK)
    assert found.score == whole.score


def test_a_study_may_score_by_another_measure(segmenter: Segmenter, terrain: Dataset) -> None:
    by_dice = terrain.spec.model_copy(update={"measure": "dice"})
    frames = terrain.images[:10], terrain.masks[:10]
    usual = evaluate(segmenter, *frames, terrain.spec, device=CPU)
    found = evaluate(segmenter, *frames, by_dice, device=CPU)
    np.testing.assert_array_equal(found.confusion_KK, usual.confusion_KK)
    ious = usual.iou[list(terrain.spec.scored)]
    assert found.score == pytest.approx(np.mean(2 * ious / (1 + ious)))
    whole = inspect_frames(segmenter, *frames, by_dice, groups_N=np.arange(10), device=CPU)
    assert whole.evaluation.score == pytest.approx(found.score, abs=1e-3)
    assert (by_dice.score_words, by_dice.score_title) == ("mean Dice", "Mean Dice")


def test_a_score_of_a_package_that_is_not_here_is_refused(terrain: Dataset) -> None:
    elsewhere = terrain.spec.model_copy(update={"measure": "f2", "measure_package": "parts 1.2"})
    assert elsewhere.score_words == "mean f2"
    with pytest.raises(ProblemsError, match=r"scores\.f2: must come from parts 1\.2: install that"):
        _ = elsewhere.scoring


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_batches_change_nothing(
    batch: int, segmenter: Segmenter, terrain: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate(segmenter, terrain.images[:7], terrain.masks[:7], terrain.spec, device=CPU)
    monkeypatch.setattr(portions, "PIXELS", batch * terrain.spec.height * terrain.spec.width)
    parts = evaluate(
        segmenter.train(), terrain.images[:7], terrain.masks[:7], terrain.spec, device=CPU
    )
    assert not segmenter.training
    # pixels that rounding turns
    np.testing.assert_allclose(parts.confusion_KK, whole.confusion_KK, atol=3)


def test_scoring_leaves_weights_and_statistics_alone(
    segmenter: Segmenter, terrain: Dataset
) -> None:
    before = {name: value.clone() for name, value in segmenter.state_dict().items()}
    evaluate(segmenter.train(), terrain.images[:4], terrain.masks[:4], terrain.spec, device=CPU)
    assert all(torch.equal(value, before[name]) for name, value in segmenter.state_dict().items())


@pytest.mark.parametrize(
    ("dtype", "expected"), [(np.uint8, torch.uint8), (np.uint16, torch.float32)]
)
def test_pixels_keep_their_values_in_channels_last(dtype: type, expected: torch.dtype) -> None:
    images = np.random.default_rng(0).integers(
        0, np.iinfo(dtype).max, (2, 4, 6, 3), dtype=dtype, endpoint=True
    )
    tensor = pixels_BCHW(images)
    assert tensor.dtype == expected
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(tensor.permute(0, 2, 3, 1).numpy(), images)


@pytest.mark.parametrize(
    ("height", "width", "frames"), [(64, 128, 64), (512, 512, 2), (4096, 4096, 1)]
)
def test_large_frames_are_scored_few_at_once(height: int, width: int, frames: int) -> None:
    assert portions.frames_at_once(height, width) == frames


class Cramped(torch.nn.Module):
    """A program with memory for so many frames at once."""

    def __init__(self, segmenter: Segmenter, room: int) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.room = room
        self.seen: list[int] = []

    def forward(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(pixels_BCHW))
        if len(pixels_BCHW) > self.room:
            raise torch.OutOfMemoryError(TOO_MUCH)
        logits_BKHW: torch.Tensor = self.segmenter(pixels_BCHW)
        return logits_BKHW


@pytest.mark.parametrize(
    ("room", "seen"), [(3, [7, 3, 3, 1]), (2, [7, 3, 1, 1, 1, 1, 1, 1, 1]), (9, [7])]
)
def test_frames_that_memory_is_too_small_for_are_halved(
    room: int, seen: list[int], segmenter: Segmenter, terrain: Dataset
) -> None:
    images, masks, spec, beats = terrain.images[:7], terrain.masks[:7], terrain.spec, list[int]()
    program = Cramped(segmenter, room)
    found = evaluate(program, images, masks, spec, device=CPU, beat=lambda: beats.append(1))
    assert program.seen == seen
    assert len(beats) == sum(frames <= room for frames in seen)
    np.testing.assert_allclose(
        found.confusion_KK,
        evaluate(segmenter, images, masks, spec, device=CPU).confusion_KK,
        atol=3,
    )
    labels = np.stack(predict(Cramped(segmenter, room), images, spec, device=CPU))
    assert (labels != np.stack(predict(segmenter, images, spec, device=CPU))).mean() < 1e-3


def test_an_inspection_and_a_member_of_an_ensemble_are_halved_alike(
    segmenter: Segmenter, terrain: Dataset
) -> None:
    images, masks, spec, groups = terrain.images[:7], terrain.masks[:7], terrain.spec, np.arange(7)
    program = Cramped(segmenter, 3)
    found = inspect_frames(program, images, masks, spec, groups_N=groups, device=CPU)
    assert program.seen == [7, 3, 3, 1]
    whole = inspect_frames(segmenter, images, masks, spec, groups_N=groups, device=CPU)
    np.testing.assert_allclose(found.confusions_GKK, whole.confusions_GKK, atol=3)
    np.testing.assert_allclose(found.frame_scores_N, whole.frame_scores_N, atol=1e-2)

    frames = LabelledFrames(images, masks, groups, spec)
    member = measure_member(Cramped(segmenter, 3), frames, device=CPU)
    together = measure_member(segmenter, frames, device=CPU)
    assert member.codes_PK.shape == together.codes_PK.shape
    assert (np.abs(member.codes_PK.astype(int) - together.codes_PK) <= 1).all()
    with pytest.raises(DoesNotFitError):
        measure_member(Cramped(segmenter, 0), frames, device=CPU)


def test_a_single_frame_that_does_not_fit_is_an_error_in_one_line(
    segmenter: Segmenter, terrain: Dataset
) -> None:
    images, masks, spec = terrain.images[:7], terrain.masks[:7], terrain.spec
    with pytest.raises(
        DoesNotFitError, match=r"a single frame of 64 x 128 does not fit .* memory of cpu"
    ) as caught:
        evaluate(Cramped(segmenter, 0), images, masks, spec, device=CPU)
    assert "\n" not in str(caught.value)
    with pytest.raises(DoesNotFitError):
        np.stack(predict(Cramped(segmenter, 0), images, spec, device=CPU))


def test_a_frame_is_timed_alone_and_a_slow_network_once(
    segmenter: Segmenter, terrain: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that the network itself sets forward: the first pass, which warms up, does not count."""
    clock, passed = [0.0], []

    def costs(images: np.ndarray, first: float, others: float) -> None:
        passed.append(images.shape)
        clock[0] += others if len(passed) > 1 else first

    monkeypatch.setattr(latency, "predict", lambda _, images, *__, **___: costs(images, 0.1, 0.01))
    monkeypatch.setattr(latency.time, "perf_counter", lambda: clock[0])
    spec = terrain.spec
    assert latency.latency_s(segmenter, spec, device=CPU) == pytest.approx(0.01)
    assert set(passed) == {(1, spec.height, spec.width, spec.channels)}
    assert len(passed) == 1 + latency.PASSES
    passed.clear()
    monkeypatch.setattr(latency, "predict", lambda _, images, *__, **___: costs(images, 3.0, 3.0))
    assert latency.latency_s(segmenter, spec, device=CPU) == pytest.approx(3.0)
    assert len(passed) == 1
