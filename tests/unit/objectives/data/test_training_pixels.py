"""The range that pixels use: percentiles by channel, whatever the depth; dead and glaring pixels do
not stretch it.
"""

import numpy as np
import pytest

from objectives.data.preparing.facts import Facts, counted, look_at
from objectives.data.preparing.training_pixels import TAIL, TrainingPixels, type_maximum
from objectives.data.reading.frames import ArraySource


def of(image_HWC: np.ndarray) -> TrainingPixels:
    seen = TrainingPixels(image_HWC.shape[-1], type_maximum(image_HWC.dtype))
    for frame_HWC in np.array_split(image_HWC, 3):
        seen.add(frame_HWC)
    return seen


@pytest.mark.parametrize(
    ("dtype", "highest"),
    [(np.uint8, 255), (np.uint16, 1023), (np.uint16, 4095), (np.uint16, 65535)],
)
def test_the_range_is_that_of_the_values(dtype: type, highest: int) -> None:
    image_HWC = (
        np.random.default_rng(0).integers(0, highest, (90, 80, 2), endpoint=True).astype(dtype)
    )
    image_HWC[..., 1] //= 4
    ranges = np.array(of(image_HWC).ranges) * np.iinfo(dtype).max
    np.testing.assert_allclose(ranges[0], (0, highest), atol=0.003 * highest)
    np.testing.assert_allclose(ranges[1], (0, highest // 4), atol=0.003 * highest)
    expected = np.quantile(image_HWC[..., 0], (TAIL, 1 - TAIL))
    np.testing.assert_allclose(ranges[0], expected, atol=0.001 * highest + 1)


def test_a_few_glaring_pixels_do_not_stretch_it() -> None:
    image_HWC = np.random.default_rng(0).integers(100, 200, (100, 100, 1)).astype(np.uint16)
    image_HWC[0, :5] = 65535
    ((low, high),) = of(image_HWC).ranges
    assert (low * 65535, high * 65535) == pytest.approx((100, 199), abs=1)


@pytest.mark.parametrize("value", [0, 7, 255])
def test_an_even_channel_has_a_range(value: int) -> None:
    ((low, high),) = of(np.full((30, 30, 1), value, np.uint8)).ranges
    assert 0.0 <= low <= value / 255 <= high <= 1.0
    assert low < high


def test_where_nearly_all_is_black_the_few_bright_pixels_make_the_range() -> None:
    image_HWC = np.zeros((100, 100, 1), np.uint8)
    image_HWC[3, 3] = 180
    assert of(image_HWC).ranges == ((0.0, 180 / 255),)


def test_many_channels_are_counted_more_coarsely_and_never_too_narrow() -> None:
    image_HWC = np.random.default_rng(0).integers(1000, 3000, (6, 6, 300)).astype(np.uint16)
    seen = of(image_HWC)
    assert seen.histogram_CL.nbytes <= 2**25
    middle = image_HWC.reshape(-1, 300) / 65535
    np.testing.assert_allclose(seen.mean, middle.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(seen.deviation, np.maximum(middle.std(axis=0), 1e-3), atol=1e-4)
    ranges = np.array(seen.ranges) * 65535
    assert (ranges[:, 0] <= image_HWC.min(axis=(0, 1))).all()
    assert (ranges[:, 1] >= image_HWC.max(axis=(0, 1))).all()
    assert (ranges[:, 1] < 3100).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_channels_beyond_those_counted_side_by_side(dtype: type) -> None:
    highest = int(np.iinfo(dtype).max)
    image_HWC = np.random.default_rng(0).integers(0, highest, (9, 7, 6), dtype, endpoint=True)
    for channel, counts_L in enumerate(of(image_HWC).histogram_CL):
        found = np.bincount(image_HWC[..., channel].ravel(), minlength=highest + 1)
        np.testing.assert_array_equal(counts_L, found)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_mean_of_a_frame_is_numpys_to_the_last_bit(dtype: type) -> None:
    highest = int(np.iinfo(dtype).max)
    image_HWC = np.random.default_rng(0).integers(0, highest, (600, 501, 7), dtype, endpoint=True)
    masks = np.zeros((1, *image_HWC.shape[:2]), np.uint8)
    look = look_at(ArraySource([image_HWC], masks, ("",), None), 0, None).look
    assert isinstance(look, Facts)
    assert look.mean == float(image_HWC.mean() / highest)


@pytest.mark.parametrize("highest", [0, 3, 11, 12, 255, 256, 65535])
def test_labels_are_counted_however_many_there_are(highest: int) -> None:
    dtype = np.uint8 if highest < 256 else np.uint16
    labels_HW = np.random.default_rng(0).integers(0, highest, (40, 37), dtype, endpoint=True)
    labels_HW[0, 0] = highest
    counts = counted(labels_HW)
    expected = dict(zip(*np.unique(labels_HW, return_counts=True), strict=True))
    assert {label: counts[label] for label in np.flatnonzero(counts)} == expected
