"""A data set while it is prepared: frames as they are read, and what was found of each. A builder that
was killed is gone on from.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from objectives.data.preparing.facts import Facts, Look, Looked, look_line, read_look
from objectives.data.preparing.streamed_file import StreamedFile, read_back

IMAGES, MASKS, LOOKS = "images.npy", "masks.raw", "looks.jsonl"
HEADER_BYTES = 128  # of a .npy file that holds one long row; written when its length is known


class _Stored(NamedTuple):
    """A frame that could be read, and where it lies in the files, in bytes."""

    facts: Facts
    image: tuple[int, int]  # start and end
    mask: tuple[int, int]


class Draft:
    """Files in ``directory`` that grow by one frame at a time: images, raw masks, and lines of facts.

    A frame counts once its line is written, which is last of all; what lies behind it is cut off when it is
    opened again.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.looks: list[Look] = []
        self._places: dict[int, _Stored] = {}  # of the frames that could be read
        self._image_end, self._mask_end = HEADER_BYTES, 0
        with ExitStack() as opened:
            files = [
                opened.enter_context(StreamedFile(directory / name))
                for name in (IMAGES, MASKS, LOOKS)
            ]
            self._images, self._masks, self._lines = files
            self._recall()
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: Any) -> None:
        self._opened.__exit__(*raised)

    def add(self, looked: Looked) -> None:
        """Keep a frame.

        Raises:
            OSError: The disk cannot take it.
        """
        look, image_HWC, mask_HW = looked
        if isinstance(look, Facts) and image_HWC is not None and mask_HW is not None:
            gap = self._next(look).image[0] - self._image_end
            self._images.write(bytes(gap))
            self._images.write(image_HWC)
            self._masks.write(mask_HW)
        self._lines.write(look_line(look))
        self._note(look)

    def images(self, frames: Iterable[int]) -> Iterator[np.ndarray]:
        """Yield the images (H, W, C) of some frames that could be read, in ascending order.

        Raises:
            OSError: They cannot be read back.
        """
        for stored, values in self._read_back(IMAGES, frames, lambda stored: stored.image):
            facts = stored.facts
            yield values.view(facts.dtype).reshape(*facts.size, facts.shape[2])

    def masks(self, frames: Iterable[int]) -> Iterator[np.ndarray]:
        """Yield the raw labels (H, W) of some frames that could be read, in ascending order.

        Raises:
            OSError: They cannot be read back.
        """
        for stored, values in self._read_back(MASKS, frames, lambda stored: stored.mask):
            yield values.view(stored.facts.mask_dtype).reshape(stored.facts.size)

    def starts(self, frames: Iterable[int], dtype: np.dtype[np.generic]) -> list[int]:
        """Return where the images of some frames begin, counted in values of their type."""
        starts = (self._places[index].image[0] - HEADER_BYTES for index in frames)
        return [start // dtype.itemsize for start in starts]

    def finish_images(self, dtype: np.dtype[np.generic]) -> None:
        """Give the file of images its header."""
        values = (self._image_end - HEADER_BYTES) // dtype.itemsize
        header = npy_header((values,), dtype)
        assert len(header) == HEADER_BYTES, len(header)
        with (self.directory / IMAGES).open("r+b") as opened:
            opened.write(header)

    def give_to_disk(self) -> None:
        """Wait until the disk has images and raw masks.

        Raises:
            OSError: It cannot take them.
        """
        self._images.settle()
        self._masks.settle()

    def forget_raw(self) -> None:
        """Remove what only the preparation reads."""
        for name in (MASKS, LOOKS):
            (self.directory / name).unlink()

    def _read_back(
        self, name: str, frames: Iterable[int], place: Callable[[_Stored], tuple[int, int]]
    ) -> Iterator[tuple[_Stored, np.ndarray]]:
        """Yield what one of the files holds of each of these frames, as bytes."""
        wanted = [self._places[index] for index in sorted(frames)]
        return zip(wanted, read_back(self.directory / name, map(place, wanted)), strict=True)

    def _next(self, facts: Facts) -> _Stored:
        """Return where the next frame is to lie; values of two bytes begin at even places."""
        height, width = facts.size
        value = np.dtype(facts.dtype).itemsize
        start = -(-self._image_end // value) * value
        image = start, start + height * width * facts.shape[2] * value
        mask_bytes = height * width * np.dtype(facts.mask_dtype).itemsize
        return _Stored(facts, image, (self._mask_end, self._mask_end + mask_bytes))

    def _note(self, look: Look) -> None:
        """Count a frame in, now that it is written."""
        if isinstance(look, Facts):
            place = self._places[len(self.looks)] = self._next(look)
            self._image_end, self._mask_end = place.image[1], place.mask[1]
        self.looks.append(look)

    def _recall(self) -> None:
        """Read which frames a builder before has kept whole, and cut off what else it has written."""
        lines = 0
        for line in (self.directory / LOOKS).read_bytes().splitlines(keepends=True):
            look: Look | None = None
            with suppress(ValueError):
                look = read_look(line) if line.endswith(b"\n") else None
            if look is None or not self._is_whole(look):
                break
            self._note(look)
            lines += len(line)
        self._images.go_on_from(self._image_end)  # at least the header's place, as zeros
        self._masks.go_on_from(self._mask_end)
        self._lines.go_on_from(lines)

    def _is_whole(self, look: Look) -> bool:
        if not isinstance(look, Facts):
            return True
        place = self._next(look)
        return place.image[1] <= self._images.length and place.mask[1] <= self._masks.length


def npy_header(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> bytes:
    """Return how a .npy file of such an array begins."""
    header = BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    said = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, said)
    return header.getvalue()
