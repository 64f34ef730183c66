"""The numbers that albumentations draws for a frame, read while our `Augmenter` runs, as `Draws`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import albumentations as albu
import numpy as np
from albumentations.augmentations.blur import functional as blurring

from objectives.augmentation.on_device.draws import Draws
from objectives.augmentation.transforms import Augmenter


@dataclass
class Record:
    """What albumentations did to one frame; as nothing where a transform passed it by."""

    flip: float = 1.0
    vertical_flip: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    slant: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    turn: float = 0.0
    contrast: float = 1.0
    brightness: float = 0.0
    gamma: float = 1.0
    noise: float = 0.0
    blur: float = 0.0
    # of noise, deviation 1
    normal_HWC: np.ndarray = field(default_factory=lambda: np.zeros(0), compare=False)


def draws_of(records: list[Record]) -> Draws:
    """As numbers of the device's way."""
    names = [name for name in Record.__dataclass_fields__ if name != "normal_HWC"]
    return Draws(*(np.array([getattr(each, name) for each in records], float) for name in names))


def recorded(
    augmenter: Augmenter, frames: list[tuple[np.ndarray, np.ndarray]], seeds: list[int]
) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[Record]]:
    """Frames as they are augmented on the host, and the numbers by which they were."""
    pairs, records = [], []
    for (image_HWC, mask_HW), seed in zip(frames, seeds, strict=True):
        record = Record()
        with _written_to(record):
            pairs.append(augmenter(image_HWC, mask_HW, seed))
        records.append(record)
    return pairs, records


@contextmanager
def _written_to(record: Record) -> Iterator[None]:
    def after(kind: type, name: str, note: Callable[[Any, Any], None]) -> Any:
        original = getattr(kind, name)

        def noted(self: Any, *arguments: Any, **named: Any) -> Any:
            found = original(self, *arguments, **named)
            note(self, found)
            return found

        return patch.object(kind, name, noted)

    def write(**values: Any) -> None:
        for name, value in values.items():
            setattr(record, name, value)

    def noise(transform: albu.GaussNoise, found: dict[str, Any]) -> None:
        noise_map = found["noise_map"]
        deviation = float(noise_map.std())
        write(noise=deviation, normal_HWC=noise_map / deviation if deviation else noise_map)

    data = "get_params_dependent_on_data"
    kernel = blurring.create_gaussian_kernel_1d

    def kernel_noted(sigma: float, ksize: int = 0) -> np.ndarray:
        write(blur=sigma)
        return np.asarray(kernel(sigma, ksize))

    with (
        after(albu.HorizontalFlip, "apply", lambda _, __: write(flip=-1.0)),
        after(albu.VerticalFlip, "apply", lambda _, __: write(vertical_flip=-1.0)),
        after(albu.Affine, "_get_translate_params", lambda _, at: write(shift=(at["x"], at["y"]))),
        after(albu.Affine, "_get_shear_params", lambda _, at: write(slant=(at["x"], at["y"]))),
        after(
            albu.Affine,
            data,
            lambda _, found: write(scale=found["scale"]["x"], turn=found["rotate"]),
        ),
        after(
            albu.RandomBrightnessContrast,
            data,
            lambda _, found: write(contrast=found["alpha"], brightness=found["beta"]),
        ),
        after(albu.RandomGamma, data, lambda _, found: write(gamma=found["gamma"])),
        after(albu.GaussNoise, data, noise),
        patch.object(blurring, "create_gaussian_kernel_1d", kernel_noted),
    ):
        yield
