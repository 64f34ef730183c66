"""How often and how strongly frames are changed: shares and limits that grow with the intensity, the same
for every way of augmenting.
"""

from dataclasses import dataclass
from typing import Self

from objectives.config import Augment

Limits = tuple[float, float]


@dataclass(frozen=True)
class Strengths:
    """Shares of the frames that get a transform, 0 for none, and the limits its numbers are drawn between.

    Elastic deformation and copy-paste are not among them.
    """

    flip: float  # left to right
    vertical_flip: float
    moved: float  # by the four that follow at once
    zoom: float  # to 1 / (1 + zoom) .. 1 + zoom of its size
    shift: float  # up to so much of a frame's sides, either way
    turn: float  # degrees, either way
    slant: float  # degrees, either way
    lit: float  # by these two at once
    brightness: float  # up to so much of the range that pixels use, either way
    contrast: float  # factors 1 - contrast .. 1 + contrast
    gammas: float
    gamma: Limits
    noisy: float
    noise: Limits  # its deviation, as a share of the range that pixels use
    blurred: float
    blur: Limits  # its deviation, pixels

    @classmethod
    def of(cls, augment: Augment) -> Self:
        """Return those of a config; they grow linearly with its intensity, without which all shares are 0."""
        strength = augment.intensity
        on = strength > 0.0
        moves = augment.rotation or augment.shift or augment.zoom or augment.shear
        light = on and augment.photometric
        return cls(
            flip=0.5 * (on and augment.flip),
            vertical_flip=0.5 * (on and augment.vertical_flip),
            moved=0.8 * (on and augment.geometry and moves),
            zoom=0.5 * strength * augment.zoom,
            shift=0.2 * strength * augment.shift,
            turn=30 * strength * augment.rotation,
            slant=16 * strength * augment.shear,
            lit=0.5 * (light and (augment.brightness or augment.contrast)),
            brightness=0.25 * strength * augment.brightness,
            contrast=0.4 * strength * augment.contrast,
            gammas=0.25 * (light and augment.gamma),
            gamma=(1 / (1 + strength), 1 + strength),
            noisy=0.25 * (light and augment.noise),
            noise=(0.0, 0.06 * strength),
            blurred=0.15 * (light and augment.blur),
            blur=(0.1, 0.1 + 1.2 * strength),
        )

    @property
    def moves(self) -> bool:
        """Whether any frame is moved."""
        return bool(self.flip or self.vertical_flip or self.moved)

    @property
    def lights(self) -> bool:
        """Whether the light of any frame is changed."""
        return bool(self.lit or self.gammas or self.noisy or self.blurred)
