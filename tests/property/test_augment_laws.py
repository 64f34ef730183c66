"""Laws of augmentation: masks stay masks, seeds decide, and a flip moves image and mask alike."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.augmentation.transforms import Augmenter
from objectives.config import Augment
from objectives.data.spec import FrameSpec
from tests.support.frame_specs import frame_spec

AUGMENTS = st.builds(
    Augment,
    intensity=st.floats(0.0, 1.0),
    flip=st.booleans(),
    vertical_flip=st.booleans(),
    geometry=st.booleans(),
    elastic=st.booleans(),
    photometric=st.booleans(),
    rotation=st.booleans(),
    shift=st.booleans(),
    zoom=st.booleans(),
    shear=st.booleans(),
    elastic_waves=st.booleans(),
    grid_distortion=st.booleans(),
    brightness=st.booleans(),
    contrast=st.booleans(),
    gamma=st.booleans(),
    noise=st.booleans(),
    blur=st.booleans(),
)
SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(st.integers(8, 40), st.integers(8, 40))


def spec_of(height: int, width: int, channels: int, ignore_label: int | None) -> FrameSpec:
    return frame_spec(
        (height, width),
        tuple("abcdef"),
        channels,
        colours=((0, 0, 0),) * 6,
        ignore_label=ignore_label,
        scored=(1, 2),
    )


@settings(max_examples=60, deadline=None)
@given(AUGMENTS, SEEDS, SIZES, st.integers(1, 5), st.sampled_from([None, 0, 5]))
def test_labels_stay_among_the_originals_and_the_ignored_one(
    augment: Augment, seed: int, size: tuple[int, int], channels: int, ignore_label: int | None
) -> None:
    rng = np.random.default_rng(seed)
    image, mask = (
        rng.integers(0, 255, (*size, channels), dtype=np.uint8),
        rng.integers(1, 4, size, dtype=np.uint8) * 2 - 1,
    )
    augmenter = Augmenter(augment, spec_of(*size, channels, ignore_label))
    first, again = augmenter(image, mask, seed), augmenter(image, mask, seed)
    assert (first[0] == again[0]).all()
    assert (first[1] == again[1]).all()
    assert set(np.unique(first[1])) <= set(np.unique(mask)) | ({ignore_label} - {None})


@settings(max_examples=40, deadline=None)
@given(SEEDS, SIZES, st.floats(0.01, 1.0), st.booleans())
def test_a_flip_moves_image_and_mask_alike(
    seed: int, size: tuple[int, int], intensity: float, vertical: bool
) -> None:
    mask = np.random.default_rng(seed).integers(0, 6, size, dtype=np.uint8)
    image = mask[..., None] * np.uint8(40)
    flips = Augment(intensity=intensity, vertical_flip=vertical, geometry=False, photometric=False)
    moved_image, moved_mask = Augmenter(flips, spec_of(*size, 1, 0))(image, mask, seed)
    assert (moved_image[..., 0] == moved_mask * np.uint8(40)).all()
    flipped = [mask, mask[:, ::-1], *([mask[::-1], mask[::-1, ::-1]] if vertical else [])]
    assert any((moved_mask == expected).all() for expected in flipped)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.booleans())
def test_geometry_moves_image_and_mask_alike(seed: int, elastic: bool) -> None:
    """Away from the blended border between two classes, the frame shows the colour of the label
    under it.
    """
    mask = np.full((32, 48), 1, np.uint8)
    mask[:, 24:] = 2
    image = (mask * np.uint8(100))[..., None]
    moving = Augment(intensity=0.6, elastic=elastic, photometric=False)
    moved_image, moved_mask = Augmenter(moving, spec_of(32, 48, 1, 0))(image, mask, seed)
    # the picture's own border may be blended, too
    padded = np.pad(moved_mask, 2, constant_values=99)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5)).reshape(32, 48, 25)
    pure = (windows == windows[..., :1]).all(axis=-1)
    colours = np.array([102, 100, 200])  # of the filled border (mean 0.4) and of the two classes
    difference = np.abs(moved_image[pure, 0].astype(int) - colours[moved_mask[pure]])
    # resampled twice, a border between classes is blended further
    assert (difference <= (40 if elastic else 0)).all()
