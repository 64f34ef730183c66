"""A bundle in one's own program."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import search
from objectives.bundle.bundle_folder import load_bundle
from objectives.errors import ProblemsError, UserError
from objectives.predict.segmentation import load
from tests.support.small_bundles import IMAGES, SPEC

OTHER_SIZE = np.random.default_rng(1).integers(0, 256, (37, 90), dtype=np.uint8)


@pytest.mark.parametrize("bundle", ["single", "ensemble"])
def test_labels_are_those_of_the_highest_probability_by_either_engine(
    bundle: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(bundle)
    torchs, onnxs = (load(folder, engine=engine) for engine in ("torch", "onnx"))
    assert torchs.class_names == SPEC.class_names
    for image in (IMAGES[0], IMAGES[1, :, :, 0], OTHER_SIZE):
        probabilities = torchs.probabilities(image)
        height, width = image.shape[:2]
        assert probabilities.shape == (len(SPEC.class_names), height, width)
        assert probabilities.dtype == np.float32
        labels = torchs.predict(image)
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, probabilities.argmax(axis=0))
        np.testing.assert_array_equal(labels, onnxs.predict(image))
        np.testing.assert_allclose(probabilities, onnxs.probabilities(image), atol=1e-4)
        np.testing.assert_allclose(probabilities.sum(axis=0), 1.0, atol=1e-5)
        never = [label for label in range(SPEC.num_classes) if label not in SPEC.scored]
        assert never
        assert (probabilities[never] == 0).all()


def test_probabilities_are_the_softmax_of_the_programs_logits(single: Path) -> None:
    logits = load_bundle(single).segmenter.eval()
    from objectives.program.pixels import pixels_BCHW

    expected = np.exp(logits(pixels_BCHW(IMAGES[:1]))[0].detach().numpy()[list(SPEC.scored)])
    expected /= expected.sum(axis=0)
    found = load(single).probabilities(IMAGES[0])[list(SPEC.scored)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_many_images_of_any_sizes_are_labelled_in_their_order(single: Path) -> None:
    segmentation = search.load(single)
    images = [IMAGES[0], OTHER_SIZE, IMAGES[1], IMAGES[2]]
    for labels, image in zip(segmentation.predict_many(images), images, strict=True):
        np.testing.assert_array_equal(labels, segmentation.predict(image))
    assert len(segmentation.predict_many(IMAGES)) == len(IMAGES)
    assert segmentation.predict_many([]) == []


def test_what_is_no_such_image_is_refused_with_what_is_taken(single: Path) -> None:
    segmentation = load(single)
    grey = IMAGES[0, :, :, 0]
    for image, message in (
        (grey.astype(float), "must be raw pixels, uint8 or uint16, got float64"),
        (np.stack([grey] * 3, axis=2), r"the bundle takes 1 channel\(s\) of 0..255: convert it"),
        (grey.astype(np.uint16), r"got 1 channel\(s\) of 0..65535"),
        (IMAGES, "must be an array of height, width and channels, got axes"),
        (grey.tolist(), "must be an array of height, width and channels, got list"),
        (grey[:0], "must have pixels"),
    ):
        with pytest.raises(ProblemsError, match=message):
            segmentation.predict(image)
        with pytest.raises(ProblemsError, match=message):
            segmentation.probabilities(image)
        with pytest.raises(ProblemsError, match=message):
            segmentation.uncertainty(image)
    with pytest.raises(ProblemsError, match=r"image 1: .*float64"):
        segmentation.predict_many([grey, grey.astype(float)])
    with pytest.raises(UserError):
        load(single / "nothing")


def test_the_name_is_there_without_what_it_needs() -> None:
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, search; print(search.load is not None, 'torch' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert said == ["True", "False"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        search.nothing  # noqa: B018
