"""The numbers of the device's way: uniform and independent, and distributed as albumentations draws them."""

import itertools

import numpy as np
import pytest
from albumentations.augmentations.blur.functional import create_gaussian_kernel_1d
from albumentations.augmentations.geometric.functional import (
    center,
    create_affine_transformation_matrix,
)
from scipy.stats import ks_2samp, kstest

from objectives.augmentation.on_device.draws import Draws, uniforms
from objectives.augmentation.on_device.light import blur_kernels
from objectives.augmentation.on_device.moving import origins
from objectives.augmentation.strengths import Strengths
from objectives.augmentation.transforms import Augmenter, frame_seed
from objectives.config import Augment
from tests.support.recorded_augmentation import Record, draws_of, recorded
from tests.unit.objectives.augmentation.test_device_pictures import GEOMETRIC, frames_of, spec_of

SIZE = (24, 40)
COUNT = 4_000


def seeds(count: int) -> np.ndarray:
    return np.array([frame_seed(3, 5, frame, frame) for frame in range(count)], np.uint32)


def drawn(augment: Augment, count: int = COUNT) -> Draws:
    return Draws.of(Strengths.of(augment), seeds(count), SIZE, np.ones(count, bool))


def splitmix64(state: int) -> int:
    """One step as in the paper, by Python's whole numbers; the state is moved before."""
    mask = 2**64 - 1
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


def test_uniform_numbers_are_those_of_splitmix64() -> None:
    found = uniforms(np.array([0, 1, 2**32 - 1], np.uint32), 5)
    for row, seed in zip(found, (0, 1, 2**32 - 1), strict=True):
        for column, value in enumerate(row):
            state = ((seed << 32) + (column + 1) * 0x9E3779B97F4A7C15) % 2**64
            assert value == (splitmix64(state) >> 11) / 2**53
    # the first numbers of the state 0, as published with the algorithm
    assert [int(value * 2**53) for value in found[0][:2]] == [
        0xE220A8397B1DCDAF >> 11,
        0x6E789E6AA1B965F4 >> 11,
    ]


@pytest.mark.parametrize("keys", ["frames", "in a row"])
def test_uniform_numbers_are_uniform_and_independent(keys: str) -> None:
    count, columns = 20_000, 19
    found = uniforms(
        seeds(count) if keys == "frames" else np.arange(count, dtype=np.uint32), columns
    )
    for column in found.T:
        assert kstest(column, "uniform").pvalue > 1e-4
    between = np.corrcoef(found.T)[np.triu_indices(columns, 1)]
    along = [np.corrcoef(column[:-1], column[1:])[0, 1] for column in found.T]
    assert np.abs([*between, *along]).max() < 5 / np.sqrt(count)
    # pairs of columns fill the square evenly
    for one, other in itertools.pairwise(range(columns)):
        counts, *_ = np.histogram2d(found[:, one], found[:, other], bins=8, range=[[0, 1]] * 2)
        assert ((counts - count / 64) ** 2 / (count / 64)).sum() < 63 + 5 * np.sqrt(2 * 63)


@pytest.fixture(scope="module")
def theirs() -> Draws:
    """What albumentations draws, at intensity 0.8."""
    augment = Augment(intensity=0.8, vertical_flip=True)
    augmenter = Augmenter(augment, spec_of(1, 0, np.float32))
    (frame,) = frames_of(1, 1, np.float32)
    _, records = recorded(augmenter, [frame] * COUNT, list(range(COUNT)))
    return draws_of(records)


@pytest.mark.parametrize(
    "name", [name for name in Record.__dataclass_fields__ if name != "normal_HWC"]
)
def test_each_number_is_distributed_as_albumentations_draws_it(name: str, theirs: Draws) -> None:
    ours = drawn(Augment(intensity=0.8, vertical_flip=True))
    field = next(each for each in Draws.__dataclass_fields__ if each.startswith(f"{name}_N"))
    found, expected = getattr(ours, field), getattr(theirs, field)
    assert found.shape == expected.shape
    for one, other in zip(np.atleast_2d(found.T), np.atleast_2d(expected.T), strict=True):
        assert len(np.unique(one)) > 1
        assert ks_2samp(one, other).pvalue > 1e-3
        # as often nothing happens
        neutral = getattr(Record(), name)
        neutral = neutral[0] if isinstance(neutral, tuple) else neutral
        share = (other == neutral).mean()
        assert abs((one == neutral).mean() - share) < 4 * np.sqrt(2 * share * (1 - share) / COUNT)


def test_what_is_off_changes_nothing() -> None:
    neutral = draws_of([Record()] * 50)
    off = (
        Augment(intensity=0.0),
        Augment(flip=False, geometry=False, photometric=False),
        Augment(flip=False, photometric=False, **dict.fromkeys(GEOMETRIC, False)),
    )
    for augment in off:
        found = drawn(augment, 50)
        assert all(
            (getattr(found, name) == getattr(neutral, name)).all() for name in found.__dict__
        )
        strengths = Strengths.of(augment)
        assert (strengths.moves, strengths.lights) == (False, False)


@pytest.mark.parametrize("switch", GEOMETRIC)
def test_a_movement_that_is_off_leaves_the_others_as_they_were(switch: str) -> None:
    of_switch = {
        "rotation": "turn_N",
        "shift": "shift_N2",
        "zoom": "scale_N",
        "shear": "slant_N2",
    }
    every, without = drawn(Augment(), 200), drawn(Augment(**{switch: False}), 200)
    for name in Draws.__dataclass_fields__:
        same = (getattr(every, name) == getattr(without, name)).all()
        assert same == (name != of_switch[switch]), name
    neutral = getattr(draws_of([Record()]), of_switch[switch])
    assert (getattr(without, of_switch[switch]) == neutral).all()


@pytest.mark.parametrize("reflects", [True, False])
def test_maps_are_albumentations_matrices(reflects: bool) -> None:
    draws = drawn(Augment(intensity=1.0, vertical_flip=True), 100)
    height, width = SIZE
    found = origins(draws, SIZE, reflects=reflects)
    half = np.array([width, height]) / 2 - 0.5 * reflects
    middle = np.array(center(SIZE))
    places = np.random.default_rng(0).uniform(0, 20, (30, 2))
    for number in range(100):
        matrix = create_affine_transformation_matrix(
            dict(zip("xy", draws.shift_N2[number], strict=True)),
            dict(zip("xy", draws.slant_N2[number], strict=True)),
            dict.fromkeys("xy", draws.scale_N[number]),
            float(draws.turn_N[number]),
            center(SIZE),
        )
        there = places @ matrix[:2, :2].T + matrix[:2, 2]
        flips = [draws.flip_N[number], draws.vertical_flip_N[number]]
        flipped = (places - middle) * flips + middle
        back = (there - middle) / half @ found[number, :, :2].T + found[number, :, 2]
        np.testing.assert_allclose(back * half + middle, flipped, atol=1e-9)


def test_kernels_are_albumentations() -> None:
    deviations = np.array([0.0, 0.1, 0.28, 0.29, 0.6, 0.86, 1.3])
    for deviation, found in zip(deviations, blur_kernels(deviations, 4), strict=True):
        expected = create_gaussian_kernel_1d(max(deviation, 1e-6))
        beyond = (9 - len(expected)) // 2
        np.testing.assert_allclose(found, np.pad(expected, beyond), atol=1e-12)


def test_a_frames_numbers_depend_on_its_own_seed_alone() -> None:
    augment, every = Strengths.of(Augment()), seeds(50)
    whole = Draws.of(augment, every, SIZE, np.ones(50, bool))
    part = Draws.of(augment, every[20:30][::-1].copy(), SIZE, np.ones(10, bool))
    for name in Draws.__dataclass_fields__:
        assert (getattr(part, name) == getattr(whole, name)[20:30][::-1]).all()
