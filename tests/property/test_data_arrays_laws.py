"""Laws of arrays in an npz: wherever channels stand, frames are the same, or the axes are asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.data.reading.array_frames import frames_alone, frames_of
from objectives.data.reading.array_layout import ArrayLayout
from objectives.data.reading.axes import FEW_CHANNELS
from objectives.data.reading.raster import RefusalError

SIDES = st.integers(1, 9)
SHAPES = st.tuples(st.integers(1, 3), SIDES, SIDES, SIDES)


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    """Images (N, H, W, C) in which no two pixels are equal."""
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)


@given(SHAPES)
def test_channels_are_where_height_and_width_are_not(shape: tuple[int, int, int, int]) -> None:
    images = numbered(shape)
    masks = np.zeros(shape[:3], np.uint8)
    for axes, stored in (("NHWC", images), ("NCHW", np.moveaxis(images, 3, 1))):
        assert np.array_equal(frames_of(stored, masks, axes, ranged=False), images)
        if len(set(shape[1:])) > 1:
            assert np.array_equal(frames_of(stored, masks, "", ranged=False), images)
        else:  # a cube may lie either way, and nothing else
            with pytest.raises(RefusalError, match="does not tell"):
                frames_of(stored, masks, "", ranged=False)


@given(SHAPES)
def test_frames_alone_are_read_where_one_axis_alone_may_be_channels(
    shape: tuple[int, int, int, int],
) -> None:
    stored = numbered(shape)
    _, first, middle, last = shape
    few = [side <= FEW_CHANNELS for side in (first, last)]
    odd = [middle == last != first, first == middle != last]
    signs = few if any(few) and not all(few) else odd
    expected = {"NCHW": np.moveaxis(stored, 1, 3), "NHWC": stored}
    if any(signs):
        axes = "NCHW" if signs[0] else "NHWC"
        assert np.array_equal(frames_alone(stored, "", ranged=False), expected[axes])
    else:
        with pytest.raises(RefusalError, match="does not tell"):
            frames_alone(stored, "", ranged=False)


@given(
    st.lists(st.from_regex(r"[a-z]{1,4}(_\{part\})?", fullmatch=True), min_size=1, max_size=3),
    st.sampled_from(["train", "val", "test"]),
)
def test_what_a_layout_names_it_finds(names: list[str], word: str) -> None:
    images = tuple(dict.fromkeys(names))
    layout = ArrayLayout(images, tuple(f"{name}_mask" for name in images))
    held = [name.format(part=word) for name in images]
    found = {each.images: each for each in layout.named(held)}
    assert set(held) == set(found)
    for each in found.values():
        assert each.masks == f"{each.images}_mask"
        assert each.part in ("", word)
