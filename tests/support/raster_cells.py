"""What the tests of image files share: numbers to write, what they mean, and the two outcomes that
a cell may have.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from objectives.data.reading.decode import decode_image
from objectives.errors import ProblemsError

HEIGHT, WIDTH = 5, 7  # not square, so that a turn shows
ORIENTATIONS = range(1, 9)


def numbers(channels: int, bits: int, seed: int = 0) -> np.ndarray:
    """Pixels of every value that so many bits hold; largest and smallest are among them."""
    kind = np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32
    found = np.random.default_rng(seed).integers(0, 2**bits, (HEIGHT, WIDTH, channels)).astype(kind)
    found[0, 0], found[0, 1] = 0, 2**bits - 1
    return found


def as_image(stored: np.ndarray, bits: int) -> np.ndarray:
    """What an image of these numbers is: fewer than 8 bits fill 0..255, others stay."""
    return (stored.astype(int) * 255 // (2**bits - 1)).astype(np.uint8) if bits < 8 else stored


def read(
    place: Path, content: bytes, reader: Callable[[Path, str], np.ndarray] = decode_image
) -> np.ndarray:
    (place / "a").write_bytes(content)  # the content says what it is, not the name
    return reader(place / "a", "images/a")


def assert_equal(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)


def assert_refused(place: Path, content: bytes, reason: str, reader: Any = decode_image) -> None:
    with pytest.raises(ProblemsError) as raised:
        read(place, content, reader)
    (problem,) = raised.value.problems
    assert problem.where == "images/a"
    assert reason in str(problem)
    assert "\n" not in str(problem)


def written(array: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


GREY, COLOUR = numbers(1, 8), numbers(3, 8)
SMOOTH = np.add.outer(np.arange(40), np.arange(56)).astype(np.uint8)[..., None] * np.array(
    [1, 2, 1], np.uint8
)
