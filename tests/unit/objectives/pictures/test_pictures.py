"""Pictures: valid PNGs of any channels and dtype, and the colours that they are made of."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from objectives.augmentation.transforms import Augmenter
from objectives.config import Augment
from objectives.data.preparing.check import Report
from objectives.data.spec import FrameSpec
from objectives.device.processor import Processor
from objectives.pictures.cells import coloured, displayable, error_map
from objectives.pictures.charts import confusion_picture, curve_picture, data_picture
from objectives.pictures.panels import prediction_panel, preview_sheet
from objectives.training.results import EpochResult
from tests.support.frame_specs import frame_spec


def spec_of(channels: int = 1, max_value: int = 255) -> FrameSpec:
    return frame_spec(
        (16, 32),
        ("void", "soil", "rock"),
        channels,
        max_value=max_value,
        mean=(0.5,) * channels,
        colours=((0, 0, 0), (200, 10, 10), (10, 10, 200)),
    )


def pixels_of(png: bytes) -> np.ndarray:
    picture = Image.open(io.BytesIO(png))
    assert picture.format == "PNG"
    return np.asarray(picture.convert("RGB"))


def has_colour(pixels: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((pixels == colour).all(axis=-1).any())


@pytest.mark.parametrize(
    ("channels", "dtype"), [(1, np.uint8), (2, np.uint8), (3, np.uint16), (7, np.uint8)]
)
def test_panel_and_sheet_show_any_frames(channels: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, np.iinfo(dtype).max, (2, 16, 32, channels)).astype(dtype)
    masks = rng.integers(0, 3, (2, 16, 32)).astype(np.uint8)
    spec = spec_of(channels, np.iinfo(dtype).max)
    panel = pixels_of(prediction_panel(images, masks, np.full_like(masks, 1), spec))
    assert has_colour(panel, (200, 10, 10))
    assert has_colour(panel, (214, 39, 40))  # an error
    augmenter = Augmenter(Augment(intensity=0.5), spec)
    sheet = pixels_of(
        preview_sheet(
            images,
            masks,
            spec,
            {"": lambda index, seed: augmenter(images[index], masks[index], seed)},
            0,
        )
    )
    assert sheet.shape[0] > sheet.shape[1]
    assert has_colour(sheet, (10, 10, 200))


def test_preview_changes_with_the_seed_only() -> None:
    rng = np.random.default_rng(0)
    images, masks = (
        rng.integers(0, 255, (1, 16, 32, 1)).astype(np.uint8),
        rng.integers(0, 3, (1, 16, 32)).astype(np.uint8),
    )
    augmenter = Augmenter(Augment(intensity=0.8), spec_of())
    first, again, other = (
        preview_sheet(
            images,
            masks,
            spec_of(),
            {"": lambda index, each: augmenter(images[index], masks[index], each)},
            seed,
        )
        for seed in (1, 1, 2)
    )
    assert (pixels_of(first) == pixels_of(again)).all()
    assert (pixels_of(first) != pixels_of(other)).any()


def test_errors_are_red_right_green_and_the_ignored_grey() -> None:
    mask, predicted = np.array([[0, 1, 2, 2]]), np.array([[1, 1, 2, 1]])
    assert error_map(mask, predicted, spec_of())[0].tolist() == [
        [60, 60, 60],
        [200, 225, 200],
        [200, 225, 200],
        [214, 39, 40],
    ]


def test_masks_take_the_colours_of_their_classes() -> None:
    assert coloured(np.array([[0, 2]], np.uint8), spec_of()).tolist() == [
        [[0, 0, 0], [10, 10, 200]]
    ]


@pytest.mark.parametrize("top", [255, 65535])
def test_frames_are_stretched_to_the_full_range(top: int) -> None:
    ramp = np.linspace(top * 0.4, top * 0.6, 16 * 32).reshape(16, 32, 1).astype(np.uint16)
    shown = displayable(ramp)
    assert (shown.dtype, shown.shape) == (np.uint8, (16, 32, 3))
    assert (shown.min(), shown.max()) == (0, 255)
    # a flat frame divides by nothing
    assert displayable(np.full((4, 4, 1), 7, np.uint8)).max() == 0


def test_confusion_and_curve_are_pictures_even_without_values() -> None:
    empty = pixels_of(confusion_picture(np.zeros((3, 3), np.int64), spec_of()))
    full = pixels_of(confusion_picture(np.array([[0, 0, 0], [0, 90, 10], [0, 0, 50]]), spec_of()))
    assert empty.shape == full.shape
    assert (empty != full).any()
    history = [
        EpochResult(number, 0.1 * number, 1 / number, 1e-3, (), 1.0, Processor("cpu", "any"))
        for number in range(1, 6)
    ]
    assert (pixels_of(curve_picture(history)) != pixels_of(curve_picture([]))).any()


def test_names_of_classes_are_no_formulas() -> None:
    names = ("void", "$\\frac{x$", "b$ and c$")
    spec = spec_of().model_copy(update={"class_names": names})
    frames, masks = np.zeros((1, 16, 32, 1), np.uint8), np.ones((1, 16, 32), np.uint8)
    for png in (
        confusion_picture(np.eye(3, dtype=np.int64), spec),
        prediction_panel(frames, masks, masks, spec),
    ):
        assert pixels_of(png).size
    report = Report(
        5,
        4,
        classes=tuple((name, 0.25) for name in names),
        colours=spec.colours,
        frames_with=(1, 2, 3),
    )
    assert has_colour(pixels_of(data_picture(report)), (200, 10, 10))


def test_histograms_are_those_of_the_data() -> None:
    plain = Report(
        5,
        4,
        classes=(("a", 0.75), ("b", 0.25)),
        colours=((1, 2, 3), (200, 10, 10)),
        frames_with=(4, 1),
    )
    dark, bright = (replace(plain, means=(mean,) * 4, dropped_means=(0.5,)) for mean in (0.1, 0.9))
    pictures = [
        data_picture(each) for each in (plain, dark, bright, replace(plain, frames_with=(4, 2)))
    ]
    assert len(set(pictures)) == 4
