"""Copy-paste: which pieces are cut, how they are turned, and what changes in a frame that gets
some.
"""

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.augmentation import copy_paste
from objectives.augmentation.copy_paste import (
    CopyPaste,
    FrameAugmenter,
    Piece,
    cut_out,
    find_pieces,
    turned,
)
from objectives.augmentation.transforms import Augmenter
from objectives.config import Augment
from objectives.data.dataset import Dataset, rarest_class

RARE = 4
THING, GROUND = 200, 50  # pixel values: of frames with the rare class, and of those without
ONLY_PASTE = Augment(intensity=0.0, copy_paste=1.0)


def data_of(
    terrain: Dataset, *, channels: int = 1, dtype: type = np.uint8, ignore_label: int | None = 0
) -> Dataset:
    """Four frames 24x40 of even grey: 0 and 3 hold things, 0 and 1 are for training, 3 for
    validation; 1 has a part ignored.
    """
    unit = np.iinfo(dtype).max // 255
    images = np.full((4, 24, 40, channels), GROUND * unit, dtype)
    masks = np.ones((4, 24, 40), np.uint8)
    images[[0, 3]] = THING * unit
    masks[0, 4:8, 5:10] = RARE  # 20 pixels
    # two squares that touch at a corner: one thing of 18
    masks[0, 12:15, 12:15] = masks[0, 15:18, 15:18] = RARE
    masks[0, 20:22, 30:34] = RARE  # 8 pixels: too small
    masks[3, 2:20, 2:20] = RARE
    masks[1, :, 20:] = 0
    spec = terrain.spec.model_copy(
        update={
            "height": 24,
            "width": 40,
            "channels": channels,
            "max_value": np.iinfo(dtype).max,
            "ignore_label": ignore_label,
        }
    )
    parts = {
        "train": np.array([0, 1]),
        "validation": np.array([2, 3]),
        "test": np.array([], np.int64),
    }
    counts = np.array([np.bincount(mask.ravel(), minlength=5) for mask in masks])
    counts[0, [2, 3]] = 10_000  # or an absent class would be the rarest
    return replace(terrain, images=images, masks=masks, spec=spec, parts=parts, class_pixels=counts)


def test_pieces_are_the_components_of_the_training_part_without_the_tiniest(
    terrain: Dataset,
) -> None:
    data = data_of(terrain)
    assert rarest_class(data) == RARE
    pieces = find_pieces(data)
    assert sorted(int(piece.mask_HW.sum()) for piece in pieces) == [18, 20]
    square = next(piece for piece in pieces if piece.mask_HW.sum() == 20)
    assert square.mask_HW.shape == (4 + 6, 5 + 6), "three pixels of surroundings on each side"
    assert square.image_HWC.shape == (10, 11, 1)
    assert square.mask_HW[3:7, 3:8].all()


def test_a_piece_at_the_border_has_what_surroundings_there_are() -> None:
    mask = np.zeros((10, 12), bool)
    mask[:3, 9:] = True
    image = np.arange(120, dtype=np.uint8).reshape(10, 12, 1)
    (piece,) = cut_out(image, mask)
    np.testing.assert_array_equal(piece.image_HWC, image[:6, 6:])
    np.testing.assert_array_equal(piece.mask_HW, mask[:6, 6:])


def test_the_pool_of_real_frames_holds_only_training_pixels(terrain: Dataset) -> None:
    train = {terrain.images[frame].tobytes(): frame for frame in terrain.parts["train"]}
    pieces = find_pieces(terrain)
    assert len(pieces) > 5
    rare = sum(
        int((terrain.masks[frame] == rarest_class(terrain)).sum()) for frame in train.values()
    )
    assert 0.9 * rare < sum(int(piece.mask_HW.sum()) for piece in pieces) <= rare
    nothing = replace(terrain, parts={**terrain.parts, "train": np.array([], np.int64)})
    assert find_pieces(nothing) == ()


@pytest.mark.parametrize(("name", "most"), [("MOST_PIECES", 3), ("MOST_BYTES", 2_000)])
def test_the_pool_is_bounded(
    terrain: Dataset, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    whole = find_pieces(terrain)
    monkeypatch.setattr(copy_paste, name, most)
    kept = find_pieces(terrain)
    assert 0 < len(kept) < len(whole)
    held = {
        "MOST_PIECES": len(kept),
        "MOST_BYTES": sum(piece.image_HWC.nbytes + piece.mask_HW.nbytes for piece in kept),
    }
    assert held[name] <= most
    assert all(np.array_equal(a.mask_HW, b.mask_HW) for a, b in zip(kept, whole, strict=False)), (
        "a fixed sample"
    )


def test_turning_by_quarters_is_exact() -> None:
    rng = np.random.default_rng(0)
    for dtype, channels in ((np.uint8, 1), (np.uint16, 5)):
        piece = Piece(
            rng.integers(0, np.iinfo(dtype).max, (7, 12, channels)).astype(dtype),
            rng.random((7, 12)) < 0.5,
        )
        for quarters in range(4):
            got = turned(piece, 90.0 * quarters, 1.0, most=(50, 50))
            np.testing.assert_array_equal(got.mask_HW, np.rot90(piece.mask_HW, quarters))
            np.testing.assert_array_equal(got.image_HWC, np.rot90(piece.image_HWC, quarters))


@settings(max_examples=80, deadline=None)
@given(
    size=st.tuples(st.integers(3, 40), st.integers(3, 40)),
    most=st.tuples(st.integers(3, 40), st.integers(3, 40)),
    angle=st.floats(0.0, 360.0),
    scale=st.floats(0.5, 1.5),
)
def test_a_turned_piece_fits_and_keeps_its_area_as_far_as_it_does(
    size: tuple[int, int], most: tuple[int, int], angle: float, scale: float
) -> None:
    got = turned(
        Piece(np.full((*size, 2), 77, np.uint8), np.ones(size, bool)), angle, scale, most=most
    )
    assert all(side <= limit for side, limit in zip(got.mask_HW.shape, most, strict=True))
    assert got.image_HWC.shape == (*got.mask_HW.shape, 2)
    assert (got.image_HWC == 77).all()
    fitting = turned(
        Piece(np.full((*size, 2), 77, np.uint8), np.ones(size, bool)), angle, scale, most=(100, 100)
    )
    area = scale**2 * size[0] * size[1]
    assert abs(int(fitting.mask_HW.sum()) - area) <= 2 * scale * sum(size) + 4, (
        "but for half a pixel along the edge"
    )


@pytest.mark.parametrize(
    ("channels", "dtype"), [(1, np.uint8), (3, np.uint8), (1, np.uint16), (5, np.uint16)]
)
@pytest.mark.parametrize("edge", ["hard", "feathered"])
def test_picture_and_mask_are_pasted_alike_and_only_where_there_are_labels(
    terrain: Dataset, channels: int, dtype: type, edge: str
) -> None:
    data = data_of(terrain, channels=channels, dtype=dtype)
    unit = np.iinfo(dtype).max // 255
    paste = CopyPaste(Augment(copy_paste=1.0, copy_paste_edge=edge), data)
    image, mask = data.images[1].copy(), data.masks[1].copy()
    # distance from what is pasted: mean pixel values there
    edges: dict[float, list[float]] = {1.0: [], 2.0: []}
    for seed in range(40):
        got_image, got_mask = paste(image, mask, seed)
        assert (got_image.dtype, got_image.shape) == (image.dtype, image.shape)
        assert (got_mask.dtype, got_mask.shape) == (mask.dtype, mask.shape)
        pasted = got_mask != mask
        assert (got_mask[pasted] == RARE).all()
        assert not pasted[mask == 0].any()
        assert (got_image[mask == 0] == GROUND * unit).all()
        assert (got_image[pasted] == THING * unit).all()
        outside = ~pasted & (mask != 0)
        away = cv2.distanceTransform((~pasted).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for distance, values in edges.items():
            values += got_image[outside & (away == distance)].ravel().tolist()
        assert (
            got_image[outside & (away > (5 if edge == "feathered" else 0))] == GROUND * unit
        ).all()
    assert (data.images[1] == image).all()
    assert (data.masks[1] == mask).all()
    near, next_to_it = (np.mean(values) / unit for values in edges.values())
    if edge == "feathered":
        assert GROUND + 60 < near < THING - 20
        assert GROUND + 5 < next_to_it < near - 40
    else:
        assert near == next_to_it == GROUND


def test_frames_with_the_class_and_frames_without_labels_stay_as_they_are(terrain: Dataset) -> None:
    data = data_of(terrain)
    paste = CopyPaste(ONLY_PASTE, data)
    for mask in (data.masks[0], np.zeros_like(data.masks[0])):
        for seed in range(20):
            image, same = paste(data.images[0], mask, seed)
            assert image is data.images[0] or np.array_equal(image, data.images[0])
            assert same is mask


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_the_share_is_that_of_frames_without_the_class(terrain: Dataset, share: float) -> None:
    data = data_of(terrain, ignore_label=None)
    data.masks[0, 12:18] = 1  # what touches at a corner may come apart
    paste = CopyPaste(Augment(copy_paste=share), data)
    image, mask = data.images[2], data.masks[2]
    results = [paste(image, mask, seed)[1] for seed in range(600)]
    assert np.mean([(got == RARE).any() for got in results]) == pytest.approx(share, abs=0.06)
    if share == 0.0:
        assert "pieces" not in vars(paste), "no pool is made"
        assert all(got is mask for got in results)
    else:
        components = [
            cv2.connectedComponents((got == RARE).astype(np.uint8))[0] - 1 for got in results
        ]
        assert max(components) == 3
        assert len({got.tobytes() for got in results}) > 100


def test_sizes_vary_around_those_of_the_pieces(terrain: Dataset) -> None:
    paste = CopyPaste(ONLY_PASTE, data := data_of(terrain, ignore_label=None))
    pixels = sorted(
        int((paste(data.images[2], data.masks[2], seed)[1] == RARE).sum()) for seed in range(200)
    )
    assert pixels[0] < 0.5 * 18
    assert pixels[-1] > 3 * 20
    assert all(a <= 3 * 1.5**2 * 20 * 1.2 for a in pixels)


def test_without_pieces_nothing_is_pasted(terrain: Dataset) -> None:
    data = data_of(terrain)
    data = replace(data, masks=np.where(data.masks == RARE, 1, data.masks).astype(np.uint8))
    paste = CopyPaste(ONLY_PASTE, data)
    assert paste.pieces == ()
    image, mask = data.images[2], data.masks[2]
    assert all(paste(image, mask, seed)[1] is mask for seed in range(5))


def test_the_seed_alone_decides(terrain: Dataset) -> None:
    one, other = (FrameAugmenter(Augment(intensity=0.5, copy_paste=0.8), terrain) for _ in range(2))
    bare = [frame for frame in terrain.parts["train"] if not (terrain.masks[frame] == RARE).any()]
    keys = [
        (terrain.images[frame], terrain.masks[frame], seed)
        for frame in bare[:8]
        for seed in (0, 2**32 - 1)
    ]
    first = [one(*key) for key in keys]
    again = [other(*key) for key in reversed(keys)][::-1]
    assert all(
        (a[0] == b[0]).all() and (a[1] == b[1]).all() for a, b in zip(first, again, strict=True)
    )
    assert any((a[1] != b[1]).any() for a, b in pairwise(first))


def test_pasting_comes_before_the_transforms_and_knows_no_intensity(terrain: Dataset) -> None:
    bare = next(
        frame for frame in terrain.parts["train"] if not (terrain.masks[frame] == RARE).any()
    )
    image, mask = terrain.images[bare], terrain.masks[bare]
    alone = FrameAugmenter(ONLY_PASTE, terrain)(image, mask, 5)
    assert (alone[1] == RARE).any()
    both = Augment(intensity=1.0, vertical_flip=True, copy_paste=1.0)
    expected = Augmenter(both, terrain.spec)(*alone, 5)
    got = FrameAugmenter(both, terrain)(image, mask, 5)
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_array_equal(got[1], expected[1])
