"""The numbers of a whole epoch: what happens to each frame, and how strongly; a function of its seed alone.

They are distributed as albumentations draws them, not the same numbers.
"""

from dataclasses import dataclass, fields
from enum import IntEnum, auto
from typing import Self

import numpy as np
import numpy.typing as npt

from objectives.augmentation.strengths import Limits, Strengths
from objectives.data.ragged import Size

Numbers = npt.NDArray[np.float64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class _Column(IntEnum):
    """What each of a frame's uniform numbers is for; new ones go to the end."""

    FLIP = 0
    VERTICAL_FLIP = auto()
    MOVED = auto()
    SHIFT_X = auto()
    SHIFT_Y = auto()
    SLANT_X = auto()
    SLANT_Y = auto()
    GROWS = auto()
    ZOOM = auto()
    TURN = auto()
    LIT = auto()
    CONTRAST = auto()
    BRIGHTNESS = auto()
    GAMMAS = auto()
    GAMMA = auto()
    NOISY = auto()
    NOISE = auto()
    BLURRED = auto()
    BLUR = auto()


def uniforms(seeds_N: npt.NDArray[np.uint32], columns: int) -> Numbers:
    """Return (N, columns) numbers in [0, 1) with 53 bits each; a row is a function of its seed.

    Source: Steele, Lea and Flood 2014, Fast splittable pseudorandom number generators, figure 17
    (splitmix64): its n-th number for the state that is the seed and 32 bits of 0.
    """
    steps = np.arange(1, columns + 1, dtype=np.uint64)
    mixed = (seeds_N.astype(np.uint64)[:, None] << np.uint64(32)) + steps * GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray((mixed >> np.uint64(11)) * 2.0**-53)


@dataclass(frozen=True)
class Draws:
    """What happens to each of N frames; a frame that a transform passes by has the number that changes
    nothing.
    """

    flip_N: Numbers  # -1: left to right, else 1
    vertical_flip_N: Numbers  # -1: upside down, else 1
    shift_N2: Numbers  # whole pixels to the right and down
    slant_N2: Numbers  # degrees
    scale_N: Numbers
    turn_N: Numbers  # degrees
    contrast_N: Numbers  # a factor
    brightness_N: Numbers  # a share of the range
    gamma_N: Numbers
    noise_N: Numbers  # its deviation, a share of the range
    blur_N: Numbers  # its deviation, pixels; 0: none

    def __getitem__(self, frames: slice) -> Self:
        return type(self)(*(getattr(self, each.name)[frames] for each in fields(self)))

    def __len__(self) -> int:
        return len(self.flip_N)

    @classmethod
    def of(
        cls,
        strengths: Strengths,
        seeds_N: npt.NDArray[np.uint32],
        size: Size,
        changed_N: npt.NDArray[np.bool_],
    ) -> Self:
        """Draw for frames of a height and width; those that are not to be ``changed`` stay as they are."""
        drawn = _Uniform(uniforms(seeds_N, len(_Column)), changed_N)
        moved_N = drawn.happens(_Column.MOVED, strengths.moved)
        lit_N = drawn.happens(_Column.LIT, strengths.lit)
        # as often larger as smaller
        zoom = 1 + strengths.zoom
        scale_N = np.where(
            drawn.happens(_Column.GROWS, 0.5),
            drawn.number(moved_N, _Column.ZOOM, (1.0, zoom), 1.0),
            drawn.number(moved_N, _Column.ZOOM, (1 / zoom, 1.0), 1.0),
        )
        shares_N2 = drawn.pair(moved_N, (_Column.SHIFT_X, _Column.SHIFT_Y), strengths.shift)
        gammas_N, noisy_N, blurred_N = (
            drawn.happens(column, share)
            for column, share in (
                (_Column.GAMMAS, strengths.gammas),
                (_Column.NOISY, strengths.noisy),
                (_Column.BLURRED, strengths.blurred),
            )
        )
        dimmer, brighter = 1 - strengths.contrast, 1 + strengths.contrast
        return cls(
            flip_N=drawn.sign(_Column.FLIP, strengths.flip),
            vertical_flip_N=drawn.sign(_Column.VERTICAL_FLIP, strengths.vertical_flip),
            shift_N2=np.trunc(shares_N2 * (size[1], size[0])),
            slant_N2=drawn.pair(moved_N, (_Column.SLANT_X, _Column.SLANT_Y), strengths.slant),
            scale_N=scale_N,
            turn_N=drawn.number(moved_N, _Column.TURN, _either(strengths.turn), 0.0),
            contrast_N=drawn.number(lit_N, _Column.CONTRAST, (dimmer, brighter), 1.0),
            brightness_N=drawn.number(
                lit_N, _Column.BRIGHTNESS, _either(strengths.brightness), 0.0
            ),
            gamma_N=drawn.number(gammas_N, _Column.GAMMA, strengths.gamma, 1.0),
            noise_N=drawn.number(noisy_N, _Column.NOISE, strengths.noise, 0.0),
            blur_N=drawn.number(blurred_N, _Column.BLUR, strengths.blur, 0.0),
        )


@dataclass(frozen=True)
class _Uniform:
    """A row of uniform numbers for each frame, and whether it may be changed at all."""

    values_ND: Numbers
    changed_N: npt.NDArray[np.bool_]

    def happens(self, column: _Column, share: float) -> npt.NDArray[np.bool_]:
        return np.asarray((self.values_ND[:, column] < share) & self.changed_N)

    def number(
        self, happens_N: npt.NDArray[np.bool_], column: _Column, limits: Limits, else_: float
    ) -> Numbers:
        low, high = limits
        return np.where(happens_N, low + (high - low) * self.values_ND[:, column], else_)

    def pair(
        self, happens_N: npt.NDArray[np.bool_], columns: tuple[_Column, _Column], most: float
    ) -> Numbers:
        return np.stack(
            [self.number(happens_N, column, _either(most), 0.0) for column in columns], axis=1
        )

    def sign(self, column: _Column, share: float) -> Numbers:
        return np.where(self.happens(column, share), -1.0, 1.0)


def _either(most: float) -> Limits:
    return -most, most
