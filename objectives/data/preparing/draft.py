"""A data set while it is prepared: frames as they are read, and what was found of each. A builder that
was killed is gone on from.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from io import RawIOBase
from pathlib import Path
from typing import Self, cast

import numpy as np

from objectives.data.preparing.facts import Facts, Look, Looked, look_line, read_look

IMAGES = "images.npy"
HEADER_BYTES = 128  # of a .npy file that holds one long row; written when its length is known


class Draft:
    """Files in ``directory`` that grow by one frame at a time: images, raw masks, and lines of facts.

    A frame counts once its line is written, which is last of all; what lies behind it was cut off.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.looks: list[Look] = []
        self._images = _appended(directory / IMAGES)
        self._masks = _appended(directory / "masks.raw")
        self._lines = _appended(directory / "looks.jsonl")
        self._recall()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in (self._images, self._masks, self._lines):
            opened.close()

    @property
    def facts(self) -> Iterator[Facts]:
        """Those of the frames that could be read, in the order in which they lie in the files."""
        return (look for look in self.looks if isinstance(look, Facts))

    def add(self, looked: Looked) -> None:
        """Keep a frame.

        Raises:
            OSError: The disk cannot take it.
        """
        if looked.image_HWC is not None and looked.mask_HW is not None:
            _write(self._images, looked.image_HWC)
            _write(self._masks, looked.mask_HW)
        _write(self._lines, np.frombuffer(look_line(looked.look), np.uint8))
        self.looks.append(looked.look)

    def finish_images(self, dtype: np.dtype[np.generic]) -> None:
        """Give the file of images its header."""
        values = (self._images.seek(0, os.SEEK_END) - HEADER_BYTES) // dtype.itemsize
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": (values,),
        }
        with (self.directory / IMAGES).open("r+b") as opened:
            np.lib.format.write_array_header_1_0(opened, header)
            assert opened.tell() == HEADER_BYTES, opened.tell()

    def give_to_disk(self) -> None:
        """Wait until the disk has the images.

        Raises:
            OSError: It cannot take them.
        """
        os.fsync(self._images.fileno())

    def raw_masks(self) -> Iterator[np.ndarray]:
        """Yield the raw labels (H, W) of each frame that could be read."""
        stored = np.memmap(self.directory / "masks.raw", np.uint8, "r")
        start = 0
        for each in self.facts:
            end = start + _mask_bytes(each)
            yield stored[start:end].view(each.mask_dtype).reshape(each.size)
            start = end

    def forget_raw(self) -> None:
        """Remove what only the preparation reads."""
        for name in ("masks.raw", "looks.jsonl"):
            (self.directory / name).unlink()

    def _recall(self) -> None:
        """Read which frames a builder before has kept whole, and cut off what else it has written."""
        images, masks, lines = HEADER_BYTES, 0, 0
        whole_images, whole_masks = _length(self._images), _length(self._masks)
        for line in (self.directory / "looks.jsonl").read_bytes().splitlines(keepends=True):
            look: Look | None = None
            with suppress(ValueError):
                look = read_look(line) if line.endswith(b"\n") else None
            if look is None:
                break
            if isinstance(look, Facts):
                images += image_bytes(look)
                masks += _mask_bytes(look)
            if images > whole_images or masks > whole_masks:
                break
            self.looks.append(look)
            lines += len(line)
        images = HEADER_BYTES + sum(map(image_bytes, self.facts))
        masks = sum(map(_mask_bytes, self.facts))
        for opened, length in ((self._images, images), (self._masks, masks), (self._lines, lines)):
            opened.truncate(length)  # beyond the end: the header's place, as zeros
            opened.seek(length)


def image_bytes(facts: Facts) -> int:
    """Return how long a prepared image is."""
    return facts.size[0] * facts.size[1] * facts.shape[2] * np.dtype(facts.dtype).itemsize


def _mask_bytes(facts: Facts) -> int:
    return facts.size[0] * facts.size[1] * np.dtype(facts.mask_dtype).itemsize


def _appended(path: Path) -> RawIOBase:
    path.touch()
    return cast("RawIOBase", path.open("r+b", buffering=0))


def _length(opened: RawIOBase) -> int:
    return opened.seek(0, os.SEEK_END)


def _write(opened: RawIOBase, array: np.ndarray) -> None:
    """Write all of an array; one call takes two gigabytes at most."""
    left = np.ascontiguousarray(array).data.cast("B")
    while left:
        left = left[opened.write(left) or 0 :]
