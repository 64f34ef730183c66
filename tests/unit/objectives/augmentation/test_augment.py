"""Augmentation: identity, seeds, borders, every dtype and channel count."""

import pickle
import subprocess
import sys
import time
from collections import Counter
from itertools import product

import cv2
import numpy as np
import pytest

from objectives.augmentation.transforms import Augmenter, frame_seed
from objectives.config import Augment
from objectives.data.preparing.training_pixels import TrainingPixels, type_maximum
from objectives.data.spec import FrameSpec
from tests.support.frame_specs import frame_spec

GROUPS = ("flip", "vertical_flip", "geometry", "elastic", "photometric")
SWITCHES = {
    "geometry": ("rotation", "shift", "zoom", "shear"),
    "elastic": ("elastic_waves", "grid_distortion"),
    "photometric": ("brightness", "contrast", "gamma", "noise", "blur"),
}
EVERYTHING = Augment(intensity=1.0, vertical_flip=True, elastic=True)


def spec_of(channels: int = 1, ignore_label: int | None = 0, max_value: int = 255) -> FrameSpec:
    return frame_spec(
        (24, 40),
        ("void", "soil", "rock", "sand"),
        channels,
        max_value=max_value,
        mean=tuple(0.2 + 0.1 * channel for channel in range(channels))
        if channels < 5
        else (0.5,) * channels,
        colours=((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)),
        ignore_label=ignore_label,
        scored=(1, 2, 3),
    )


def frame_of(
    channels: int = 1, dtype: type = np.uint8, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    image_HWC = rng.integers(0, np.iinfo(dtype).max, (24, 40, channels), endpoint=True).astype(
        dtype
    )
    mask_HW = np.repeat(np.repeat(rng.integers(1, 3, (3, 5)), 8, axis=0), 8, axis=1).astype(
        np.uint8
    )
    return image_HWC, mask_HW


@pytest.mark.parametrize(
    "augment",
    [
        Augment(intensity=0.0, vertical_flip=True, elastic=True),
        Augment(flip=False, geometry=False, photometric=False),
        Augment(
            flip=False,
            elastic=True,
            **dict.fromkeys([name for names in SWITCHES.values() for name in names], False),
        ),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_nothing_happens_at_intensity_zero_or_with_every_group_off(
    augment: Augment, dtype: type
) -> None:
    image, mask = frame_of(3, dtype)
    augmenter = Augmenter(augment, spec_of(3, max_value=np.iinfo(dtype).max))
    for seed in range(20):
        moved_image, moved_mask = augmenter(image, mask, seed)
        assert moved_image.tobytes() == image.tobytes()
        assert moved_mask.tobytes() == mask.tobytes()


@pytest.mark.parametrize(
    ("channels", "dtype"), list(product([1, 2, 3, 4, 5, 9], [np.uint8, np.uint16]))
)
@pytest.mark.parametrize("ignore_label", [0, 3, None])
def test_shape_and_dtype_stay_and_the_originals_are_not_touched(
    channels: int, dtype: type, ignore_label: int | None
) -> None:
    image, mask = frame_of(channels, dtype)
    image_before, mask_before = image.copy(), mask.copy()
    augmenter = Augmenter(EVERYTHING, spec_of(channels, ignore_label, np.iinfo(dtype).max))
    for seed in range(15):
        moved_image, moved_mask = augmenter(image, mask, seed)
        assert (moved_image.shape, moved_image.dtype) == (image.shape, image.dtype)
        assert (moved_mask.shape, moved_mask.dtype) == (mask.shape, mask.dtype)
    assert (image == image_before).all()
    assert (mask == mask_before).all()


@pytest.mark.parametrize("ignore_label", [0, 3])
def test_what_is_moved_out_becomes_the_ignored_label_under_the_mean_colour(
    ignore_label: int,
) -> None:
    spec = spec_of(3, ignore_label)
    image, mask = np.full((24, 40, 3), 250, np.uint8), np.full((24, 40), 1, np.uint8)
    augmenter = Augmenter(Augment(intensity=1.0, flip=False, photometric=False), spec)
    filled = 0
    for seed in range(30):
        moved_image, moved_mask = augmenter(image, mask, seed)
        assert set(np.unique(moved_mask)) <= {1, ignore_label}
        inside = (
            np.lib.stride_tricks.sliding_window_view(np.pad(moved_mask, 2, mode="edge"), (5, 5))
            == ignore_label
        )
        outside = inside.all(axis=(2, 3))  # away from the blended edge
        assert (moved_image[outside] == np.rint(np.array(spec.mean) * 255)).all()
        filled += int(outside.sum())
    assert filled > 500


def test_borders_are_reflected_where_no_label_is_ignored() -> None:
    image, mask = np.full((24, 40, 1), 250, np.uint8), np.full((24, 40), 2, np.uint8)
    augmenter = Augmenter(Augment(intensity=1.0, photometric=False, elastic=True), spec_of(1, None))
    for seed in range(30):
        moved_image, moved_mask = augmenter(image, mask, seed)
        assert (moved_image == 250).all()
        assert (moved_mask == 2).all()


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_does_its_own_work(group: str) -> None:
    switches = {name: name == group for name in GROUPS}
    image, mask = frame_of()
    augmenter = Augmenter(Augment(intensity=0.7, **switches), spec_of())
    pairs = [augmenter(image, mask, seed) for seed in range(40)]
    assert any((moved != image).any() for moved, _ in pairs)
    assert any((moved != mask).any() for _, moved in pairs) == (group != "photometric")
    if group == "flip":
        assert {moved.tobytes() for moved, _ in pairs} == {
            image.tobytes(),
            image[:, ::-1].tobytes(),
        }
    if group == "vertical_flip":
        assert {moved.tobytes() for moved, _ in pairs} == {image.tobytes(), image[::-1].tobytes()}


@pytest.mark.parametrize(
    ("group", "switch"), [(group, switch) for group, names in SWITCHES.items() for switch in names]
)
def test_every_switch_turns_its_own_transform_off(group: str, switch: str) -> None:
    """Alone in its group it changes frames; off, others are left of the group, and they change
    frames otherwise.
    """
    only = {name: name == group for name in GROUPS}
    image, mask = frame_of()

    def moved(**switches: bool) -> list[bytes]:
        augmenter = Augmenter(Augment(intensity=0.7, **only, **switches), spec_of())
        return [
            b"".join(array.tobytes() for array in augmenter(image, mask, seed))
            for seed in range(40)
        ]

    as_it_is = image.tobytes() + mask.tobytes()
    alone = moved(**{name: name == switch for name in SWITCHES[group]})
    without = moved(**{switch: False})
    assert any(pair != as_it_is for pair in alone)
    assert any(pair != as_it_is for pair in without)
    assert without not in (alone, moved())


@pytest.mark.parametrize("switch", SWITCHES["geometry"])
def test_one_kind_of_movement_alone_is_what_its_name_says(switch: str) -> None:
    """Two points and the way between them: a shift keeps it, a turn its length, a zoom its
    direction, a slant neither.
    """
    mask = np.zeros((161, 161), np.uint8)
    for label, (row, column) in enumerate([(80, 80), (80, 120)], start=1):
        mask[row - 4 : row + 5, column - 4 : column + 5] = label
    others = {name: name == switch for name in SWITCHES["geometry"]}
    augmenter = Augmenter(
        Augment(intensity=0.5, flip=False, photometric=False, **others), spec_of()
    )
    ways = []
    for seed in range(40):
        _, moved = augmenter(np.zeros((161, 161, 1), np.uint8), mask, seed)
        ways.append(np.subtract(*(np.argwhere(moved == label).mean(axis=0) for label in (2, 1))))
    lengths, turns = np.linalg.norm(ways, axis=1), np.degrees(np.arctan2(*np.transpose(ways)))
    assert (np.ptp(lengths) > 3, np.ptp(turns) > 3) == {
        "shift": (False, False),
        "rotation": (False, True),
        "zoom": (True, False),
        "shear": (False, True),
    }[switch]


def test_transforms_are_applied_independently_of_each_other() -> None:
    """Seeded each by itself they would all draw the same numbers, and a frame would be blurred only
    where it was flipped.
    """
    augment = Augment(intensity=0.7, vertical_flip=True, geometry=False)
    image, mask = np.full((24, 40, 1), 90, np.uint8), np.ones((24, 40), np.uint8)
    mask[0, 0] = 2
    augmenter, times = Augmenter(augment, spec_of()), 1_000
    seen: Counter[tuple[bool, bool, bool]] = Counter()
    for seed in range(times):
        moved_image, moved_mask = augmenter(image, mask, seed)
        row, column = np.argwhere(moved_mask == 2)[0]
        seen[bool(row), bool(column), bool((moved_image != image).any())] += 1
    coloured = sum(count for (*_, changed), count in seen.items() if changed) / times
    for outcome in product([False, True], repeat=3):
        share = 0.25 * (coloured if outcome[2] else 1 - coloured)
        assert abs(seen[outcome] / times - share) < 4 * (share * (1 - share) / times) ** 0.5


@pytest.mark.parametrize("shear", [True, False])
def test_geometry_keeps_right_angles_unless_it_shears(shear: bool) -> None:
    """A corner and two points at equal distances from it, found again by their labels."""
    mask = np.zeros((160, 160), np.uint8)
    for label, (row, column) in enumerate([(60, 60), (60, 110), (110, 60)], start=1):
        mask[row - 4 : row + 5, column - 4 : column + 5] = label
    augmenter = Augmenter(
        Augment(intensity=0.5, flip=False, photometric=False, shear=shear), spec_of()
    )
    angles = []
    for seed in range(40):
        _, moved = augmenter(np.zeros((160, 160, 1), np.uint8), mask, seed)
        corner, along, down = (np.argwhere(moved == label).mean(axis=0) for label in (1, 2, 3))
        one, other = along - corner, down - corner
        angles.append(
            np.degrees(np.arccos(one @ other / np.linalg.norm(one) / np.linalg.norm(other)))
        )
    assert (np.abs(np.array(angles) - 90).max() > 3) == shear


def test_stronger_intensity_changes_frames_more() -> None:
    image, mask = frame_of()
    image[:] = np.linspace(40, 200, 40, dtype=np.uint8)[None, :, None]

    def change(intensity: float) -> float:
        augmenter = Augmenter(Augment(intensity=intensity, flip=False), spec_of())
        return float(
            np.mean(
                [
                    np.abs(augmenter(image, mask, seed)[0].astype(float) - image).mean()
                    for seed in range(60)
                ]
            )
        )

    assert change(0.05) < change(0.4) < change(1.0)


def test_the_seed_decides_whatever_came_before_and_in_any_process() -> None:
    image, mask = frame_of(3)
    one, other = Augmenter(EVERYTHING, spec_of(3)), Augmenter(EVERYTHING, spec_of(3))
    for seed in (5, 6, 7):
        one(image, mask, seed)
    expected = one(image, mask, 99)
    for augmenter in (other, pickle.loads(pickle.dumps(one))):
        assert all(
            (left == right).all()
            for left, right in zip(augmenter(image, mask, 99), expected, strict=True)
        )
    outcomes = {one(image, mask, seed)[0].tobytes() for seed in range(20)}
    assert len(outcomes) > 15


def test_frame_seed_is_stable_and_separates_its_parts() -> None:
    assert frame_seed(0, 0, 0, 0) == 2_764_884_783
    seeds = {frame_seed(*parts) for parts in product(range(5), range(5), range(20), range(4))}
    assert len(seeds) == 5 * 5 * 20 * 4
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_frame_seed_is_the_same_in_another_process() -> None:
    code = (
        "from objectives.augmentation.transforms import frame_seed; print(frame_seed(3, 1, 4, 1))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert int(printed) == frame_seed(3, 1, 4, 1)


def test_augmentation_keeps_up_with_small_networks() -> None:
    """About 2,900 frames/s were measured on one core; a tenth of it already starves a small
    network.
    """
    rng = np.random.default_rng(0)
    image, mask = (
        rng.integers(0, 255, (64, 128, 1)).astype(np.uint8),
        rng.integers(0, 4, (64, 128)).astype(np.uint8),
    )
    augmenter = Augmenter(Augment(intensity=0.5), spec_of())
    start = time.process_time()
    for frame in range(300):
        augmenter(image, mask, frame_seed(0, 0, frame, 0))
    assert 300 / (time.process_time() - start) > 300


DEPTHS = {
    "8": (np.uint8, 255),
    "10 in 16": (np.uint16, 1023),
    "12 in 16": (np.uint16, 4095),
    "16": (np.uint16, 65535),
    "float": (np.float32, 1.5),
}


@pytest.fixture(scope="module")
def lit() -> dict[str, np.ndarray]:
    """One scene of soft light at each depth, with light transforms of 300 seeds, in units of its
    range.
    """
    scene_HW1 = np.clip(
        cv2.resize(np.random.default_rng(3).random((6, 10)), (40, 24))[..., None], 0.0, 1.0
    )
    only_light, mask_HW = Augment(flip=False, geometry=False), np.ones((24, 40), np.uint8)
    found = {}
    for depth, (dtype, highest) in DEPTHS.items():
        if dtype == np.float32:
            image_HWC = (scene_HW1 * highest).astype(dtype)
            whole, ranges = (
                65535,
                ((float(image_HWC.min()) / 65535, float(image_HWC.max()) / 65535),),
            )
        else:
            image_HWC = np.rint(scene_HW1 * highest).astype(dtype)
            seen = TrainingPixels(1, type_maximum(np.dtype(dtype)))
            seen.add(image_HWC)
            whole, ranges = seen.max_value, seen.ranges
        spec = spec_of(max_value=whole).model_copy(update={"ranges": ranges})
        augmenter = Augmenter(only_light, spec)
        found[depth] = (
            np.stack([image_HWC, *(augmenter(image_HWC, mask_HW, seed)[0] for seed in range(300))])
            / highest
        )
    return found


@pytest.mark.parametrize("depth", DEPTHS)
def test_light_changes_a_frame_by_a_share_of_its_own_range(
    lit: dict[str, np.ndarray], depth: str
) -> None:
    original, frames = lit[depth][0], lit[depth][1:]
    shifts = np.abs(frames.mean(axis=(1, 2, 3)) - original.mean()) / original.std()
    assert 0.1 < np.quantile(shifts, 0.9) < 1.5
    # none is black, or white
    assert (frames.reshape(300, -1).std(axis=1) > 0.3 * original.std()).all()
    alike = [np.corrcoef(original.ravel(), frame.ravel())[0, 1] for frame in frames]
    assert min(alike) > 0.7


@pytest.mark.parametrize("depth", DEPTHS)
def test_light_is_distributed_alike_at_every_depth(lit: dict[str, np.ndarray], depth: str) -> None:
    shares = np.linspace(0.05, 0.95, 10)
    of_8_bit, of_this = (
        np.quantile(lit[each][1:].mean(axis=(1, 2, 3)), shares) for each in ("8", depth)
    )
    assert np.abs(of_this - of_8_bit).max() < 0.02


def test_frames_of_floats_keep_their_fractions_and_what_lies_beyond_their_range() -> None:
    image_HWC, mask_HW = (
        np.random.default_rng(0).normal(0.4, 0.2, (24, 40, 1)).astype(np.float32),
        np.ones((24, 40), np.uint8),
    )
    image_HWC[3, 3] = 7.5
    spec = spec_of(max_value=65535).model_copy(
        update={"ranges": ((0.0, 0.8 / 65535),), "ignore_label": None}
    )
    flipped = Augmenter(Augment(geometry=False, photometric=False), spec)
    seen = {flipped(image_HWC, mask_HW, seed)[0].tobytes() for seed in range(20)}
    assert seen == {image_HWC.tobytes(), np.ascontiguousarray(image_HWC[:, ::-1]).tobytes()}
    everything = Augmenter(EVERYTHING, spec)
    for seed in range(20):
        frame_HWC, _ = everything(image_HWC, mask_HW, seed)
        assert (frame_HWC.dtype, frame_HWC.shape) == (np.float32, image_HWC.shape)
        assert np.isfinite(frame_HWC).all()
        assert len(np.unique(frame_HWC)) > 500  # not rounded


def test_each_channel_is_lit_in_its_own_range_and_outliers_keep_their_distance() -> None:
    image_HWC, mask_HW = frame_of(2, np.uint16)
    image_HWC[..., 0] = 100 + image_HWC[..., 0] // 1000
    image_HWC[0, 0, 0] = 60_000  # a hot pixel, far beyond the range
    ranges = ((100 / 65535, 165 / 65535), (0.0, 1.0))
    augmenter = Augmenter(
        Augment(flip=False, geometry=False, intensity=1.0),
        spec_of(2, max_value=65535).model_copy(update={"ranges": ranges}),
    )
    lit = np.stack([augmenter(image_HWC, mask_HW, seed)[0] for seed in range(60)]).astype(
        np.float64
    )
    moved = np.abs(lit - image_HWC).mean(axis=(0, 1, 2))
    assert 1.0 < moved[0] < 40.0
    assert moved[1] > 1000.0
    assert np.abs(lit[:, 0, 0, 0] - 60_000).max() < 70


def test_without_ranges_as_in_bundles_of_before_the_whole_of_what_files_hold_counts() -> None:
    image, mask = frame_of()
    whole, unknown = (
        Augmenter(EVERYTHING, spec_of().model_copy(update={"ranges": ranges}))
        for ranges in (((0.0, 1.0),), ())
    )
    for seed in range(20):
        np.testing.assert_array_equal(whole(image, mask, seed)[0], unknown(image, mask, seed)[0])
