"""Augmentation: one intensity drives the groups of albumentations transforms, seeded for every
single frame.
"""

import hashlib
import os
import random
import struct

import numpy as np

from objectives.augmentation.strengths import Strengths
from objectives.config import Augment
from objectives.data.spec import FrameSpec

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # or its import asks the network for a newer version

import albumentations as albu
import cv2

cv2.setNumThreads(0)  # many processes augment at once, one core each


def frame_seed(trial_seed: int, epoch: int, frame: int, repeat: int) -> int:
    """Return a 32-bit seed of one appearance of one frame; the same in every process and on every
    machine.

    ``repeat`` counts the appearances of a frame within an epoch (rare-class repetition). Any
    integers of 64 bits will do.
    """
    packed = struct.pack("<4q", trial_seed, epoch, frame, repeat)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=4).digest(), "little")


class Augmenter:
    """Augments a frame with its mask; what comes out depends on the frame, the mask and the seed
    alone.

    Masks are moved by nearest neighbour. Where a frame is moved out of the picture, the frame is
    filled with the mean colour and the mask with the ignored label; a data set that ignores no
    label gets reflected borders in both instead.

    An instance draws from a generator that it seeds on every call: use one per process, never from
    two threads at once.
    """

    def __init__(self, augment: Augment, spec: FrameSpec) -> None:
        moving = _moving(augment, spec) if augment.intensity else []
        self.photometric = _photometric(Strengths.of(augment))
        self.identity = not moving and not self.photometric
        self.moving = albu.Compose(moving)
        self.lighting = albu.Compose(self.photometric)
        self.range = OwnRange(spec)

    def __call__(
        self, image_HWC: np.ndarray, mask_HW: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the augmented image and mask, of the same shapes and dtypes; the originals stay
        as they are.

        Args:
            image_HWC: uint8, uint16 or float32 (which is neither rounded nor cut), any number of channels.
            mask_HW: uint8 labels.
            seed: 32 bits, see `frame_seed`.
        """
        if self.identity:
            return image_HWC.copy(), mask_HW.copy()
        # One state for all of them: set_random_seed would give every transform the same draws,
        # flips that come with blur
        state = np.random.default_rng(seed), random.Random(seed)
        self.moving.set_random_state(*state)
        moved = self.moving(image=_to_supported(image_HWC), mask=mask_HW)
        return self._lit(_restore(moved["image"], image_HWC), state), np.ascontiguousarray(
            moved["mask"]
        )

    def _lit(
        self, image_HWC: np.ndarray, state: tuple[np.random.Generator, random.Random]
    ) -> np.ndarray:
        if not self.photometric:
            return image_HWC
        self.lighting.set_random_state(*state)
        units_HWC = self.range.units(image_HWC)
        return self.range.changed(image_HWC, units_HWC, self.lighting(image=units_HWC)["image"])


class OwnRange:
    """A frame in units of the range that the training part uses, channel by channel: what
    transforms of light work in.

    They change a share of what is there, whether 12 bits come in 8-bit or in 16-bit files. Values
    beyond the range move as those at its ends do, and keep their distance from them.
    """

    def __init__(self, spec: FrameSpec) -> None:
        ends_C2 = np.array(spec.ranges or [(0.0, 1.0)] * spec.channels) * spec.max_value
        self.low_C = ends_C2[:, 0].astype(np.float32)
        self.span_C = (ends_C2[:, 1] - ends_C2[:, 0]).astype(np.float32)
        units_LC = np.rint(self._shares(np.arange(256, dtype=np.float32)[:, None]) * 255).astype(
            np.uint8
        )
        self.units_of_8_bit_1LC = np.ascontiguousarray(units_LC)[None]

    def units(self, image_HWC: np.ndarray) -> np.ndarray:
        """Return the frame as uint8 in 0..255, or of wider pixels as float32 in 0..1:
        albumentations knows these two.
        """
        if image_HWC.dtype == np.uint8:
            return np.asarray(cv2.LUT(image_HWC, self.units_of_8_bit_1LC)).reshape(image_HWC.shape)
        return self._shares(image_HWC)

    def _shares(self, values_HWC: np.ndarray) -> np.ndarray:
        return np.asarray(np.clip((values_HWC - self.low_C) / self.span_C, 0.0, 1.0))

    def changed(
        self, image_HWC: np.ndarray, before_HWC: np.ndarray, after_HWC: np.ndarray
    ) -> np.ndarray:
        """Return the frame changed as much as these units of it were, in its own dtype."""
        one = np.float32(255 if image_HWC.dtype == np.uint8 else 1)
        after_HWC = after_HWC.reshape(before_HWC.shape)
        if np.array_equal(after_HWC, before_HWC):  # of the transforms none was drawn
            return image_HWC
        changed_HWC = np.subtract(after_HWC, before_HWC, dtype=np.float32)
        changed_HWC *= self.span_C / one
        changed_HWC += image_HWC
        if image_HWC.dtype == np.float32:
            return np.asarray(changed_HWC)
        np.clip(changed_HWC, 0, np.iinfo(image_HWC.dtype).max, out=changed_HWC)
        return np.asarray(np.rint(changed_HWC).astype(image_HWC.dtype))


def _to_supported(image_HWC: np.ndarray) -> np.ndarray:
    """Uint8 as it is; wider pixels as float32, of 16 bits in 0..1, exactly reversible:
    albumentations knows these two only.
    """
    if image_HWC.dtype == np.uint8:
        return image_HWC
    return image_HWC.astype(np.float32) / np.float32(65535)


def _restore(moved_HWC: np.ndarray, original_HWC: np.ndarray) -> np.ndarray:
    """Return the picture in the dtype and shape of the original."""
    if original_HWC.dtype == np.float32:
        moved_HWC = moved_HWC * np.float32(65535)
    elif original_HWC.dtype == np.uint16:
        moved_HWC = np.rint(np.clip(moved_HWC.astype(np.float32), 0.0, 1.0) * 65535).astype(
            np.uint16
        )
    return np.ascontiguousarray(moved_HWC).reshape(original_HWC.shape)


def _moving(augment: Augment, spec: FrameSpec) -> list[albu.BasicTransform]:
    """Return the transforms of the geometric groups that are on, in their order."""
    strengths = Strengths.of(augment)
    borders = _borders(spec)
    chosen: list[albu.BasicTransform] = []
    if strengths.flip:
        chosen.append(albu.HorizontalFlip(p=strengths.flip))
    if strengths.vertical_flip:
        chosen.append(albu.VerticalFlip(p=strengths.vertical_flip))
    if strengths.moved:
        chosen.append(_affine(strengths, borders))
    if augment.elastic and (augment.elastic_waves or augment.grid_distortion):
        chosen.append(_elastic(augment, borders))
    return chosen


def _borders(spec: FrameSpec) -> dict[str, object]:
    """Return what a moved frame shows where it has no pixels of its own."""
    if spec.ignore_label is None:
        return {"border_mode": cv2.BORDER_REFLECT_101}
    fill = _fill_colour(spec)
    return {"border_mode": cv2.BORDER_CONSTANT, "fill": fill, "fill_mask": spec.ignore_label}


def _fill_colour(spec: FrameSpec) -> tuple[float, ...]:
    """Return the four numbers that OpenCV wants, whatever the channels: it warps four at a time."""
    values = fill_values(spec)
    if spec.max_value > 255:  # see _to_supported
        values = tuple(value / 65535 for value in values)
    return (*values[:4], 0.0, 0.0, 0.0)[:4]


def fill_values(spec: FrameSpec) -> tuple[float, ...]:
    """Return what the channels of a frame show where it has no pixels of its own: the mean colour; of more
    than four channels the mean of them all, in each.
    """
    mean = spec.mean if spec.channels <= 4 else (sum(spec.mean) / spec.channels,) * spec.channels
    if spec.max_value <= 255:
        return tuple(float(round(value * spec.max_value)) for value in mean)
    return tuple(value * spec.max_value for value in mean)


def _affine(strengths: Strengths, borders: dict[str, object]) -> albu.BasicTransform:
    """Return the transform of the group; those of the four that are off change nothing, and draw
    their numbers all the same.
    """
    zoom, shift, turn, slant = strengths.zoom, strengths.shift, strengths.turn, strengths.slant
    return albu.Affine(
        scale=(1 / (1 + zoom), 1 + zoom),
        translate_percent=(-shift, shift),
        rotate=(-turn, turn),
        shear=(-slant, slant),
        keep_ratio=True,
        balanced_scale=True,
        interpolation=cv2.INTER_LINEAR,
        mask_interpolation=cv2.INTER_NEAREST,
        p=strengths.moved,
        **borders,
    )


def _elastic(augment: Augment, borders: dict[str, object]) -> albu.BasicTransform:
    strength = augment.intensity
    nearest = {
        "interpolation": cv2.INTER_LINEAR,
        "mask_interpolation": cv2.INTER_NEAREST,
        **borders,
    }
    chosen: list[albu.BasicTransform] = []
    if augment.elastic_waves:
        chosen.append(
            albu.ElasticTransform(alpha=60 * strength, sigma=6, approximate=True, p=1.0, **nearest)
        )
    if augment.grid_distortion:
        limit = 0.4 * strength
        chosen.append(
            albu.GridDistortion(num_steps=5, distort_limit=(-limit, limit), p=1.0, **nearest)
        )
    return albu.OneOf(chosen, p=0.5)


def _photometric(strengths: Strengths) -> list[albu.BasicTransform]:
    """Return the transforms of light that are on, in units of the range that pixels use."""
    chosen: list[albu.BasicTransform] = []
    if strengths.lit:
        limits = {
            "brightness_limit": (-strengths.brightness, strengths.brightness),
            "contrast_limit": (-strengths.contrast, strengths.contrast),
        }
        chosen.append(albu.RandomBrightnessContrast(**limits, p=strengths.lit))
    if strengths.gammas:
        percent = tuple(100 * gamma for gamma in strengths.gamma)
        chosen.append(albu.RandomGamma(gamma_limit=percent, p=strengths.gammas))
    if strengths.noisy:
        chosen.append(albu.GaussNoise(std_range=strengths.noise, p=strengths.noisy))
    if strengths.blurred:
        chosen.append(
            albu.GaussianBlur(blur_limit=0, sigma_limit=strengths.blur, p=strengths.blurred)
        )
    return chosen
