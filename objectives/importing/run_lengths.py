"""Pixel masks that are written as lengths of runs: those of COCO, as numbers or as text, Kaggle's, and Label
Studio's.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def from_counts(counts: Sequence[int], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return the mask (H, W) of COCO's counts: lengths of runs of 0, 1, 0, ... down the columns.

    Raises:
        ValueError: They do not fill the image.
    """
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        raise ValueError(f"counts of {sum(counts)} pixels")
    lengths = np.array(counts, np.int64)
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(width, height).T


def from_starts(text: str, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return the mask (H, W) of Kaggle's runs: start, length, start, length, ... down the columns, from 1.

    Raises:
        ValueError: They are no such numbers, or lie outside the image.
    """
    numbers = text.split()
    if len(numbers) % 2 or not all(each.isascii() and each.isdecimal() for each in numbers):
        odd = next((each for each in numbers if not each.isdecimal()), f"{len(numbers)} numbers")
        raise ValueError(odd)
    inside = np.zeros(height * width, bool)
    for start, length in zip(map(int, numbers[::2]), map(int, numbers[1::2]), strict=True):
        if start < 1 or start + length - 1 > len(inside):
            raise ValueError(f"{start} {length}")
        inside[start - 1 : start - 1 + length] = True
    return inside.reshape(width, height).T


def from_text(text: str) -> list[int]:
    """Return the counts that COCO's text has: groups of five bits, lowest first, each in a character from ``0`` on whose
    sixth bit says that more follow; from the fourth count on, differences to the last but one.

    Raises:
        ValueError: It ends within a count, or has other characters.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64:
            raise ValueError(f"the character {letter!r}")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("a text that ends within a count")
    return counts


def from_brush(codes: Sequence[int], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return the mask (H, W) of a brush stroke of Label Studio: where its picture, four bytes a pixel, is opaque.

    The bytes ``codes`` are a stream of bits, highest first: 32 of the number of values, 5 of the bits of a value less one,
    four times 4 of the bits of a length less one; then, until all values are there, a bit that says whether one
    value follows for all or each has its own, 2 that choose the bits of the length, the length less one, and values.
    The format is rle-pack's.

    Raises:
        ValueError: The picture is of another size, or the stream ends too early.
    """
    if not all(isinstance(code, int) and 0 <= code < 256 for code in codes):
        raise ValueError("a brush that is no list of bytes")
    bits = _Bits(codes)
    count = bits.number(32)
    if count != 4 * height * width:
        raise ValueError(f"a brush of {count} values")
    value_bits = bits.number(5) + 1
    length_bits = [bits.number(4) + 1 for _ in range(4)]
    values = np.zeros(count, np.int64)
    done = 0
    while done < count:
        is_run = bits.number(1)
        length = bits.number(length_bits[bits.number(2)]) + 1
        if done + length > count:
            raise ValueError("a brush with more values than it says")
        values[done : done + length] = (
            bits.number(value_bits) if is_run else bits.numbers(value_bits, length)
        )
        done += length
    return np.asarray(values.reshape(height, width, 4)[:, :, 3] > 0)


class _Bits:
    """A stream of bits, highest first."""

    def __init__(self, codes: Sequence[int]) -> None:
        self._bits = np.unpackbits(np.array(codes, np.uint8))
        self._at = 0

    def number(self, bits: int) -> int:
        """Return the next number of so many bits."""
        return int(self.numbers(bits, 1)[0])

    def numbers(self, bits: int, count: int) -> npt.NDArray[np.int64]:
        """Return the next numbers of so many bits each."""
        taken = self._bits[self._at : self._at + bits * count]
        if len(taken) < bits * count:
            raise ValueError("a brush that ends too early")
        self._at += bits * count
        weights = 1 << np.arange(bits - 1, -1, -1, dtype=np.int64)
        return np.asarray(taken.reshape(count, bits).astype(np.int64) @ weights)
