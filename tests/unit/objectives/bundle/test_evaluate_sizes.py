"""``search evaluate`` on frames of other sizes than the study's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from objectives.bundle.bundle_folder import load_bundle, write_bundle
from objectives.bundle.evaluate import evaluate_bundle
from objectives.bundle.provenance import PartScore
from objectives.config import Config, UNet
from objectives.data.dataset import read_labelled
from objectives.predict.segmentation import load
from objectives.program.segmenter import build_segmenter
from objectives.program.settings import ProgramSettings
from objectives.scoring.boundary import boundary_confusion_LL
from objectives.scoring.metrics import confusion_KK
from tests.support.bundles_made import origin
from tests.support.frame_specs import frame_spec

CONFIG = Config(model=UNet(depth=2, base_filters=4))
CLASSES = ("void", "soil", "rock", "sand")
RNG = np.random.default_rng(1)


def bundle(folder: Path, measure: str = "iou") -> Path:
    torch.manual_seed(0)
    spec = frame_spec((16, 24), CLASSES, measure=measure)
    part = PartScore(frames=3, score=0.5, iou=(None, 0.5, 0.5, 0.5))
    settings = ProgramSettings.single(CONFIG, spec)
    segmenter = build_segmenter(CONFIG, spec).eval()
    write_bundle(folder / "model", segmenter, settings, origin(part), frames={})
    return folder / "model"


def test_frames_of_another_size_are_said_to_be_scored_at_the_studys(
    tmp_path: Path,
) -> None:
    """Lines of one pixel are lost there: they do not occur in what is scored."""
    model = bundle(tmp_path)
    images = RNG.integers(0, 256, (4, 160, 240)).astype(np.uint8)
    masks = RNG.integers(1, 3, (4, 16, 24)).repeat(10, axis=1).repeat(10, axis=2).astype(np.uint8)
    masks[:, ::10] = 3
    np.savez(tmp_path / "new.npz", training_set=np.stack([images, masks], axis=1))
    found = evaluate_bundle(model, tmp_path / "new.npz")
    assert (found.resized, found.foreign) == (4, 4)
    notes = " ".join(found.notes)
    assert "4 frames have other sizes than 16x24, that of the study: they are scored at it" in notes
    assert "sand does not occur in these frames at 16x24" in notes
    same = evaluate_bundle(model, _npz(tmp_path, images[:, :16, :24], masks[:, :16, :24]))
    assert not same.resized
    assert "other sizes" not in " ".join(same.notes)


@pytest.mark.long
@pytest.mark.parametrize("measure", ["iou", "boundary-iou"])
def test_at_their_own_size_frames_score_what_predictions_of_them_would(
    tmp_path: Path, measure: str
) -> None:
    model = bundle(tmp_path, measure)
    sizes = [(160, 240), (16, 24), (31, 47), (8, 90)]
    for number, (height, width) in enumerate(sizes):
        for folder, top in (("images", 256), ("masks", 4)):
            (tmp_path / "new" / folder).mkdir(parents=True, exist_ok=True)
            array = RNG.integers(0, top, (height, width)).astype(np.uint8)
            Image.fromarray(array).save(tmp_path / "new" / folder / f"{number}.png")
    spec = load_bundle(model).spec

    found = evaluate_bundle(model, tmp_path / "new", own_size=True)

    read = read_labelled(tmp_path / "new", spec)
    segmentation = load(model, engine="torch")
    pairs = [
        (segmentation.predict(image), mask)
        for image, mask in zip(read.images, read.masks, strict=True)
    ]
    assert [mask.shape for _, mask in pairs] == sizes
    confusion = sum(confusion_KK(labels, mask, 4, 0) for labels, mask in pairs)
    np.testing.assert_array_equal(found.evaluation.confusion_KK, confusion)
    if measure == "boundary-iou":
        share = spec.score.boundary
        bands = sum(boundary_confusion_LL(labels, mask, 4, 0, share) for labels, mask in pairs)
        np.testing.assert_array_equal(found.inspection.contours_GLL, [bands])
    assert found.resized == 3
    assert "scored at their own, as `search predict` writes masks" in " ".join(found.notes)


def _npz(folder: Path, images: np.ndarray, masks: np.ndarray) -> Path:
    path = folder / "same.npz"
    np.savez(path, training_set=np.stack([images, masks], axis=1))
    return path
