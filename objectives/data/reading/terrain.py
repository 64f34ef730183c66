"""Drawing of generated Mars-like terrain: grey frames of ground, rock and sky with the masks that
belong to them.

A place is one wide panorama; its frames are windows of it under slightly different light, so that
they look alike. The five classes are the course's (0 unlabelled, 1 soil, 2 bedrock, 3 sand, 4 big
rock) and differ in texture and shading, not in grey level alone.
"""

from dataclasses import dataclass

import cv2
import numpy as np

UNLABELLED, SOIL, BEDROCK, SAND, BIG_ROCK = range(5)
HEIGHT = 64
WIDTH = 128
_MARGIN = 24  # how far windows of one place may shift


@dataclass(frozen=True)
class Panorama:
    """A panorama, larger than a frame on every side: ``grey`` (H, W) in about 0..1 and ``mask`` (H,
    W) uint8.
    """

    grey: np.ndarray
    mask: np.ndarray


def draw_panorama(
    generator: np.random.Generator, *, with_rocks: bool, plain: bool = False
) -> Panorama:
    """Return a new panorama; ``with_rocks`` puts big rocks on it, ``plain`` makes it all soil."""
    shape = (HEIGHT + _MARGIN, WIDTH + 2 * _MARGIN)
    mask = np.full(shape, SOIL, np.uint8)
    if not plain:
        mask[_noise(generator, shape, 40) > 0.1] = BEDROCK
        mask[_noise(generator, shape, 30) > 1.2] = SAND
    grey = np.choose(
        mask - SOIL, [_soil(generator, shape), _bedrock(generator, shape), _sand(generator, shape)]
    )
    grey += 0.04 * _noise(generator, shape, 50)
    if with_rocks:
        for _ in range(int(generator.integers(3, 6))):
            _put_rock(generator, grey, mask)
    if not plain:
        _put_sky(generator, grey, mask)
    return Panorama(grey.astype(np.float32), mask)


def take_frame(
    generator: np.random.Generator, panorama: Panorama, *, bordered: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return a frame (H, W) uint8 of the panorama and its mask; ``bordered`` unlabels the bottom row
    only.
    """
    top = int(generator.integers(0, _MARGIN // 3))
    left = int(generator.integers(0, 2 * _MARGIN))
    window = np.s_[top : top + HEIGHT, left : left + WIDTH]
    mask = panorama.mask[window].copy()
    light = generator.uniform(0.85, 1.1)
    grey = panorama.grey[window] * light + generator.normal(0, 0.012, (HEIGHT, WIDTH))
    if bordered:
        mask[-1] = UNLABELLED
    else:
        mask[(_noise(generator, mask.shape, 24) > 1.0) & (mask != BIG_ROCK)] = UNLABELLED
    return np.clip(grey * 255, 0, 255).astype(np.uint8), mask


def paste_alien(generator: np.random.Generator, frame_HW: np.ndarray) -> np.ndarray:
    """Return the frame with an alien on it: a pale body, a large head, two dark eyes."""
    alien = frame_HW.copy()
    x = int(generator.integers(20, WIDTH - 20))
    y = int(generator.integers(16, HEIGHT - 24))
    cv2.ellipse(alien, (x, y + 18), (6, 14), 0, 0, 360, 200, -1)
    cv2.ellipse(alien, (x, y), (11, 13), 0, 0, 360, 220, -1)
    for side in (-5, 5):
        cv2.ellipse(alien, (x + side, y), (3, 6), 2 * side, 0, 360, 10, -1)
    return alien


def _noise(generator: np.random.Generator, shape: tuple[int, ...], grain: int) -> np.ndarray:
    """Smooth noise of mean 0 and deviation 1 whose bumps are about ``grain`` pixels wide."""
    coarse = generator.normal(size=(shape[0] // grain + 3, shape[1] // grain + 3))
    field = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray((field - field.mean()) / (field.std() + 1e-9))


def _soil(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    pebbles = np.maximum(_noise(generator, shape, 2) - 1.2, 0)
    return (
        0.28
        + 0.03 * generator.normal(size=shape)
        + 0.02 * _noise(generator, shape, 6)
        + 0.06 * pebbles
    )


def _bedrock(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    # dark lines where the noise crosses zero
    cracks = np.exp(-((_noise(generator, shape, 10) / 0.12) ** 2))
    return 0.46 + 0.03 * _noise(generator, shape, 5) - 0.2 * cracks


def _sand(generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.indices(shape)
    phase = (rows + 0.35 * columns) * 0.9 + 1.5 * _noise(generator, shape, 20)
    return 0.2 + 0.035 * np.sin(phase)


def _put_rock(generator: np.random.Generator, grey: np.ndarray, mask: np.ndarray) -> None:
    """One boulder: lit from the upper left, dark below right, with a cast shadow that keeps the
    ground's label.
    """
    radius_y = generator.uniform(3.0, 5.5)
    radius_x = generator.uniform(4.0, 7.5)
    y = generator.uniform(32, mask.shape[0] - 12)
    x = generator.uniform(10, mask.shape[1] - 12)
    rows, columns = np.indices(mask.shape)
    down = (rows - y) / radius_y
    right = (columns - x) / radius_x
    shadow = (down - 0.5) ** 2 + (right - 0.7) ** 2 < 1
    body = down**2 + right**2 < 1
    grey[shadow] *= 0.45
    grey[body] = (0.62 - 0.28 * (0.7 * down + 0.7 * right))[body]
    mask[body] = BIG_ROCK


def _put_sky(generator: np.random.Generator, grey: np.ndarray, mask: np.ndarray) -> None:
    """Draw a bright, even sky above a wavy horizon; unlabelled, as far hills are."""
    horizon = generator.uniform(6, 22) + 2 * _noise(generator, (3, mask.shape[1]), 20)[0]
    sky = np.arange(mask.shape[0])[:, None] < horizon[None, :]
    grey[sky] = 0.72
    mask[sky] = UNLABELLED
